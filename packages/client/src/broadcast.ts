/**
 * One event for a function on every host that serves it. docs/protocol.md#broadcast
 *
 * NATS does not say how many heard a message, so the hosts are asked who serves the function while their answers come in: the broadcast is
 * over when each of those has answered, or when its time is up.
 */
import { binaryHeaderLines, FnError, Header, headerLine, newId, readHeaderBlock, type Subjects, type WireEvent } from "@fn/core"
import { isNoResponders, type NatsConnection, publishLines, publishRaw, type RawMsg, type ReplyInbox, rawHeaders } from "@fn/nats"
import { abortError } from "./call.js"
import type { CallTarget } from "./call-target.js"
import type { Hosts } from "./hosts.js"
import { standing } from "./no-host.js"
import type { BroadcastCallOptions } from "./options.js"
import { readReply } from "./reply.js"

/** What one host answered. */
export type BroadcastAnswer<Event> =
  | { readonly host: string; readonly ok: true; readonly events: Event[] }
  | { readonly host: string; readonly ok: false; readonly error: FnError }

/** What broadcasts go through. */
export interface BroadcastParts {
  readonly nc: NatsConnection
  readonly inbox: ReplyInbox
  readonly subjects: Subjects
  readonly hosts: Hosts
}

const DEFAULT_TIMEOUT_MS = 30_000
const NOTHING = new Uint8Array(0)

/**
 * Publishes the event and resolves with the answers, by host id. A host that serves the function and has not answered in time is an answer
 * with DEADLINE_EXCEEDED.
 * @throws {FnError} resource_exhausted PAYLOAD_TOO_LARGE; unavailable DISCONNECTED; cancelled
 */
export function broadcastWire(
  parts: BroadcastParts,
  target: CallTarget,
  wire: WireEvent,
  options: BroadcastCallOptions,
): Promise<BroadcastAnswer<WireEvent>[]> {
  return new Promise((resolve, reject) => {
    const round = new Round(parts, target, options, resolve, reject)
    round.start(wire)
  })
}

/** One broadcast, from its publish to its last answer. */
class Round {
  readonly #parts: BroadcastParts
  readonly #target: CallTarget
  readonly #options: BroadcastCallOptions
  readonly #resolve: (answers: BroadcastAnswer<WireEvent>[]) => void
  readonly #reject: (error: FnError) => void
  readonly #id = newId()
  readonly #answers = new Map<string, BroadcastAnswer<WireEvent>>()
  /** Hosts that serve the function; undefined until it is known. */
  #serving: readonly string[] | undefined
  #timer: NodeJS.Timeout | undefined
  #token = 0
  #ended = false

  constructor(
    parts: BroadcastParts,
    target: CallTarget,
    options: BroadcastCallOptions,
    resolve: (answers: BroadcastAnswer<WireEvent>[]) => void,
    reject: (error: FnError) => void,
  ) {
    this.#parts = parts
    this.#target = target
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
  }

  start(wire: WireEvent): void {
    const { nc, inbox, subjects } = this.#parts
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS, expect } = this.#options
    if (signal?.aborted) return this.#fail(abortError(signal.reason))
    const subject = subjects.broadcast(this.#target.ref)
    this.#token = inbox.open({
      questionSubject: subject,
      onMessage: (msg) => this.#take(msg),
      onFailed: (error) => this.#fail(error),
    })
    this.#timer = setTimeout(() => this.#finish(), timeoutMs)
    signal?.addEventListener("abort", this.#onAbort, { once: true })
    const lines =
      headerLine(Header.invocationId, this.#id) +
      headerLine(Header.timeoutMs, timeoutMs) +
      this.#target.versionLine +
      binaryHeaderLines(wire.attributes)
    try {
      publishLines(nc, subject, lines, wire.data ?? NOTHING, inbox.subjectOf(this.#token))
    } catch (thrown) {
      return this.#fail(FnError.from(thrown, "unavailable"))
    }
    if (expect === undefined) void this.#ask()
  }

  readonly #onAbort = (): void => {
    const { nc, subjects } = this.#parts
    const { ref } = this.#target
    try {
      publishRaw(nc, subjects.cancel(ref.namespace, this.#id), NOTHING)
    } catch {
      // The connection closed under us: there is nobody to tell.
    }
    this.#fail(abortError(this.#options.signal?.reason))
  }

  async #ask(): Promise<void> {
    const { key } = this.#target
    const answers = await this.#parts.hosts.askAll({ function: key })
    this.#serving = [...answers].filter(([, answer]) => standing(answer, key).served).map(([host]) => host)
    this.#look()
  }

  #take(msg: RawMsg): void {
    // There is no host at all.
    if (isNoResponders(msg)) return this.#finish()
    const block = rawHeaders(msg)
    const host = hostIn(block)
    const reply = readReply(block, msg.data)
    if (host === undefined) return
    if (reply.kind === "events") this.#answers.set(host, { host, ok: true, events: reply.events })
    else if (reply.kind === "error") this.#answers.set(host, { host, ok: false, error: reply.error })
    this.#look()
  }

  #look(): void {
    const { expect } = this.#options
    if (expect === undefined ? this.#serving?.every((host) => this.#answers.has(host)) : this.#answers.size >= expect) this.#finish()
  }

  #finish(): void {
    if (!this.#end()) return
    for (const host of this.#serving ?? []) {
      if (this.#answers.has(host)) continue
      this.#answers.set(host, {
        host,
        ok: false,
        error: FnError.of("DEADLINE_EXCEEDED", `host ${host} did not answer in time; the function may have run there`),
      })
    }
    this.#resolve([...this.#answers.values()].sort((a, b) => (a.host < b.host ? -1 : 1)))
  }

  #fail(error: FnError): void {
    if (this.#end()) this.#reject(error)
  }

  #end(): boolean {
    if (this.#ended) return false
    this.#ended = true
    clearTimeout(this.#timer)
    if (this.#token > 0) this.#parts.inbox.close(this.#token)
    this.#options.signal?.removeEventListener("abort", this.#onAbort)
    return true
  }
}

function hostIn(block: Uint8Array | undefined): string | undefined {
  let host: string | undefined
  if (block)
    readHeaderBlock(block, (name, value) => {
      if (name === Header.host) host = value
    })
  return host
}
