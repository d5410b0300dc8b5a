/**
 * Gives a call to a host that has a free slot for it.
 *
 * The message carries the caller's reply subject as a header; its own reply subject is this host's inbox, where the other one says whether
 * it takes the call. Until then the call is this host's: it can expire and be cancelled here, and whoever asks is told that it is here.
 * So a host that is gone, or full by now, costs a round trip and not the call, and there is no moment at which nobody has it.
 * (With the caller's own inbox as reply subject, the server's notice that the other host is gone would go to the caller.)
 * A call is handed over once. Neighbours: hand-over-desk.ts is the other side.
 */
import { errorFromReply, FnError, Header, headerLine, type Logger, readHeaderBlock, type Subjects } from "@fn/core"
import { isReplySubject, type RawMsg, type ReplyInbox, rawHeaders } from "@fn/nats"
import type { Call, Destination } from "../dispatch/call.js"
import type { HostedFunction, OpenVersion } from "../dispatch/hosted-function.js"
import { forwarded } from "./forwarded.js"
import type { HostView } from "./host-view.js"

/** A host that lives says within this time whether it takes a call, ms. */
const ANSWER_MS = 2_000

/** What hand-overs go through. */
export interface HandOverOptions {
  readonly inbox: ReplyInbox
  readonly subjects: Subjects
  readonly replyPrefixes: readonly string[]
  readonly view: HostView
  readonly logger: Logger
  /** The other host has the call now. */
  readonly onTaken: (open: OpenVersion, call: Call) => void
  /** It does not want it. */
  readonly onReturned: (open: OpenVersion, call: Call) => void
  /** It took the message and says nothing: the call may have run. */
  readonly onLost: (call: Call, error: FnError) => void
}

/** See the head of this file. */
export class HandOver {
  readonly #options: HandOverOptions
  readonly #tried = new WeakSet<Call>()

  constructor(options: HandOverOptions) {
    this.#options = options
  }

  /** Sends a call of the active version to a host that has a free slot, if there is one. False: the call stays here. */
  send(open: OpenVersion, call: Call): boolean {
    const fn = call.fn as HostedFunction
    const { destination } = call.responder
    if (!destination || this.#tried.has(call) || call.runningVersion !== fn.record.activeVersion) return false
    const host = this.#options.view.takeSlot(fn.key)
    if (host === undefined) return false
    this.#tried.add(call)
    void this.#send(open, call, host, destination)
    return true
  }

  async #send(open: OpenVersion, call: Call, host: string, destination: Destination): Promise<void> {
    const { inbox, subjects, view, logger } = this.#options
    const fn = call.fn as HostedFunction
    const leftMs = Math.max(1, Math.round(call.deadline - Date.now()))
    const { lines, data } = forwarded(call, destination)
    try {
      const answer = await inbox.request(subjects.hostInvoke(host), {
        lines: this.#lines(fn, call, leftMs, destination) + lines,
        data,
        timeoutMs: Math.min(ANSWER_MS, leftMs),
      })
      const refusal = refusalIn(answer)
      if (!refusal) return this.#options.onTaken(open, call)
      view.isFull(fn.key, host)
      logger.debug("hand-over refused", { functionName: fn.ref.name, to: host, reason: refusal.reason })
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (error.reason === "DEADLINE_EXCEEDED" || error.reason === "DISCONNECTED") {
        const why = `host ${host}, which the call was handed to, does not answer; it may have run`
        this.#options.onLost(call, FnError.of("HOST_LOST", why, { cause: error }))
        return
      }
      // Nobody is there; or the message with its headers is too large to be sent.
      if (error.reason === "NO_HOST") view.forget(host)
      logger.debug("hand-over failed", { functionName: fn.ref.name, to: host, error: error.message })
    }
    this.#options.onReturned(open, call)
  }

  #lines(fn: HostedFunction, call: Call, leftMs: number, { reply }: Destination): string {
    return (
      headerLine(Header.fn, fn.key) +
      headerLine(Header.invocationId, call.invocationId) +
      headerLine(Header.revision, fn.revision) +
      headerLine(Header.timeoutMs, leftMs) +
      (isReplySubject(reply, this.#options.replyPrefixes) ? headerLine(Header.replyTo, reply) : "") +
      (call.version === undefined ? "" : headerLine(Header.version, call.version)) +
      (call.hops > 0 ? headerLine(Header.hops, call.hops) : "")
    )
  }
}

/** Why the other host does not take the call; undefined when it does. */
function refusalIn(answer: RawMsg): FnError | undefined {
  const headers = new Map<string, string>()
  const block = rawHeaders(answer)
  if (block) readHeaderBlock(block, (name, value) => headers.set(name, value))
  return headers.has(Header.errorCode) ? errorFromReply((name) => headers.get(name), answer.data) : undefined
}
