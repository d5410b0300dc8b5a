/**
 * Invocations that are stored before they run: a message of the queue stream, acknowledged; the result by its id.
 *
 * A call with an idempotency key is one of them whose caller waits: its id follows from the key, so everybody who makes it waits for the
 * same result.
 */
import { binaryHeaderLines, FnError, Header, headerLine, type Instruments, newId, type WireEvent } from "@fn/core"
import { type ConnectionWatch, publishAcked } from "@fn/nats"
import {
  DEFAULT_CLAIM_AGE_MS,
  enqueue,
  type InvocationSettings,
  invocationLines,
  keyedInvocationId,
  payloadName,
  type QueueAccess,
} from "@fn/queue"
import { abortError, type OngoingCall } from "../call.js"
import type { CallTarget, CallTargets } from "../call-target.js"
import type { CarriedData, ClaimCheck } from "../claim-check.js"
import type { FunctionDirectory } from "../function-directory.js"
import type { Hosts } from "../hosts.js"
import type { CallOptions, RefInput } from "../options.js"
import { readReply } from "../reply.js"
import type { AsyncCallOptions, CancelOutcome, InvocationScope, InvocationStatus, ResultOptions, StatusOptions } from "./durable-client.js"
import { checkKey, checkSpan, queueSettings } from "./enqueue-options.js"
import { finalStatus } from "./final-status.js"
import { invocationStatus } from "./invocation-status.js"
import { QueueDepths } from "./queue-depths.js"
import { type RawResult, type ResultWait, ResultWaits } from "./result-wait.js"

const DEFAULT_WAIT_MS = 30_000
const CONNECT_WAIT_MS = 2_000
/** Time for the stream's acknowledgement, repeats included. */
const STORE_MS = 5_000
const CANCEL_WAIT_MS = 3_000
const NOTHING = new Uint8Array(0)
/** After these the message may be in the stream all the same, and its data is needed. */
const MAY_BE_STORED: ReadonlySet<string> = new Set(["DEADLINE_EXCEEDED", "DISCONNECTED", "JETSTREAM_UNAVAILABLE", "CANCELLED"])
const ACCEPT = headerLine(Header.accept, "payload-ref")

/** What they work with; all of it is the client's. */
export interface DurableParts {
  readonly access: QueueAccess
  readonly connection: ConnectionWatch
  readonly targets: CallTargets
  readonly directory: FunctionDirectory
  readonly hosts: Hosts
  readonly claimCheck: ClaimCheck
  readonly instruments: Instruments | undefined
  /** Called when nothing is under way any more. */
  readonly onIdle: () => void
}

/** The durable side of one client. */
export class DurableCalls {
  readonly #parts: DurableParts
  readonly #waits: ResultWaits
  readonly #depths: QueueDepths
  #ongoing = 0

  constructor(parts: DurableParts) {
    this.#parts = parts
    this.#waits = new ResultWaits(parts.access, parts.connection)
    this.#depths = new QueueDepths(parts.access)
  }

  /** Whether nothing is under way. */
  get idle(): boolean {
    return this.#ongoing === 0
  }

  /** See `invokeAsyncWire` of the client. */
  store(ref: RefInput, wire: WireEvent, options: AsyncCallOptions): Promise<string> {
    return this.#counted(this.#target(ref, options.version), async (target) => {
      const { idempotencyKey, signal } = options
      const settings = queueSettings(options)
      const invocationId = idempotencyKey === undefined ? newId() : keyedInvocationId(target.ref, checkKey(idempotencyKey))
      const keyed = idempotencyKey !== undefined
      await this.#untilConnected(CONNECT_WAIT_MS, signal)
      await this.#enqueue(target, wire, { ...settings, invocationId, version: target.ref.version, keyed }, { timeoutMs: STORE_MS, signal })
      return invocationId
    })
  }

  /** A call with an idempotency key; `refused` says why none may begin. Never throws: `events` rejects. */
  startKeyed(ref: RefInput, wire: WireEvent, options: CallOptions, refused: FnError | undefined): OngoingCall {
    const abort = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal
    let invocationId = newId()
    let target: CallTarget | FnError
    try {
      if (refused) throw refused
      target = this.#parts.targets.of(ref, options.version)
      invocationId = keyedInvocationId(target.ref, checkKey(options.idempotencyKey as string))
    } catch (thrown) {
      target = FnError.from(thrown)
    }
    const events = this.#counted(target, (known) => this.#keyed(known, invocationId, wire, { timeoutMs: options.timeoutMs, signal }))
    return { invocationId, events, cancel: (why = "the caller cancelled") => abort.abort(FnError.of("CANCELLED", why)) }
  }

  /** See `resultWire` of the client. */
  result(id: string, options: ResultOptions): Promise<WireEvent[]> {
    return this.#tracked(async () => {
      const timeoutMs = checkSpan("timeoutMs", options.timeoutMs ?? DEFAULT_WAIT_MS)
      const wait = this.#waits.wait(options.namespace ?? "default", id, { timeoutMs, signal: options.signal })
      return this.#read(await wait.result)
    })
  }

  /** See `cancel` of the client. */
  cancel(invocationId: string, options: InvocationScope): Promise<CancelOutcome> {
    return this.#tracked(async () => {
      const namespace = options.namespace ?? "default"
      const { inbox, names } = this.#parts.access
      const subject = names.subjects.cancelQueued(namespace, invocationId)
      await this.#untilConnected(CONNECT_WAIT_MS, undefined)
      const wait = this.#startWait(namespace, invocationId, { timeoutMs: CANCEL_WAIT_MS })
      try {
        // One message a subject is kept, so a repeat changes nothing.
        if (!(await wait.looked)) await publishAcked(inbox, subject, { timeoutMs: STORE_MS, repeat: true })
      } catch (thrown) {
        wait.end(FnError.from(thrown))
      }
      return { invocationId, status: await this.#outcome(wait) }
    })
  }

  /** See `status` of the client. */
  status(id: string, options: StatusOptions): Promise<InvocationStatus> {
    return this.#tracked(async () => {
      await this.#untilConnected(CONNECT_WAIT_MS, options.signal)
      return invocationStatus(this.#parts, id, options)
    })
  }

  /** Ends what is under way. */
  close(): void {
    this.#waits.close(FnError.of("CANCELLED", "the client was closed"))
  }

  async #keyed(
    target: CallTarget,
    invocationId: string,
    wire: WireEvent,
    options: { readonly timeoutMs: number | undefined; readonly signal: AbortSignal },
  ): Promise<WireEvent[]> {
    const { signal } = options
    const timeoutMs = checkSpan("timeoutMs", options.timeoutMs ?? DEFAULT_WAIT_MS)
    const until = performance.now() + timeoutMs
    if (signal.aborted) throw abortError(signal.reason)
    await this.#untilConnected(timeoutMs, signal)
    const wait = this.#startWait(target.ref.namespace, invocationId, { timeoutMs: until - performance.now(), signal })
    try {
      if (!(await wait.looked) && !signal.aborted && performance.now() < until) {
        const settings = { invocationId, version: target.ref.version, keyed: true }
        await this.#enqueue(target, wire, settings, { timeoutMs: Math.max(1, until - performance.now()), signal })
      }
    } catch (thrown) {
      wait.end(FnError.from(thrown, "unavailable"))
    }
    return this.#read(await wait.result)
  }

  /** Stores one message. Resolves when the stream has it. */
  async #enqueue(
    target: CallTarget,
    wire: WireEvent,
    settings: InvocationSettings,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    const { access, claimCheck, directory } = this.#parts
    const fn = await directory.find(target.ref, target.key)
    await this.#depths.check(fn)
    const head = ACCEPT + invocationLines(settings) + binaryHeaderLines(wire.attributes)
    let carried: CarriedData = { body: wire.data ?? NOTHING, bodyLines: "", payload: undefined }
    if (claimCheck.isLarge(head, carried.body)) {
      checkKeptLongEnough(settings)
      // Objects are never overwritten: two who use one key at the same time upload two, and each message names its own.
      const name = payloadName(settings.invocationId, "in", settings.keyed ? newId() : undefined)
      carried = await claimCheck.store(name, wire, head)
    }
    try {
      const { timeoutMs, signal } = options
      const ack = await enqueue(access, { ref: target.ref, lines: head + carried.bodyLines, data: carried.body, timeoutMs, signal })
      // Another message of this key was there first; nobody reads this one's data.
      if (ack.duplicate && settings.keyed && carried.payload !== undefined) claimCheck.discard(carried.payload)
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (carried.payload !== undefined && !MAY_BE_STORED.has(error.reason)) claimCheck.discard(carried.payload)
      throw error
    }
  }

  #startWait(namespace: string, id: string, options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): ResultWait {
    const wait = this.#waits.wait(namespace, id, { ...options, timeoutMs: Math.max(1, options.timeoutMs) })
    // It may fail before it is awaited: its owner is busy storing the invocation.
    wait.result.catch(() => undefined)
    return wait
  }

  async #read(raw: RawResult): Promise<WireEvent[]> {
    const reply = await this.#parts.claimCheck.read(raw.block, raw.data, { once: false })
    if (reply.kind === "events") return reply.events
    if (reply.kind === "error") throw reply.error
    throw FnError.of("BAD_OUTPUT", "the stored result is no result")
  }

  async #outcome(wait: ResultWait): Promise<CancelOutcome["status"]> {
    try {
      const raw = await wait.result
      const reply = readReply(raw.block, raw.data)
      return finalStatus(reply.kind === "error" ? reply.error : undefined)
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (error.details?.pending === true) return "pending"
      throw error
    }
  }

  #target(ref: RefInput, version: string | undefined): CallTarget | FnError {
    try {
      return this.#parts.targets.of(ref, version)
    } catch (thrown) {
      return FnError.from(thrown)
    }
  }

  async #untilConnected(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { connection } = this.#parts
    if (!connection.connected) await connection.untilConnected({ timeoutMs: Math.min(timeoutMs, CONNECT_WAIT_MS), signal })
  }

  /** Counts `work` as a call of the function. */
  #counted<T>(target: CallTarget | FnError, work: (target: CallTarget) => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    return this.#tracked(async () => {
      const { instruments, directory } = this.#parts
      let code: FnError["code"] | "ok" = "ok"
      try {
        if (FnError.is(target)) throw target
        return await work(target)
      } catch (thrown) {
        const error = FnError.from(thrown)
        code = error.code
        throw error
      } finally {
        const key = FnError.is(target) ? undefined : directory.peek(target.key)?.key
        instruments?.invocation(key ?? "unknown", code, performance.now() - startedAt)
      }
    })
  }

  /** What is under way keeps a drain waiting. */
  async #tracked<T>(work: () => Promise<T>): Promise<T> {
    this.#ongoing++
    try {
      return await work()
    } finally {
      this.#ongoing--
      if (this.#ongoing === 0) this.#parts.onIdle()
    }
  }
}

/** Stored data lives a day and an hour: an invocation that starts later would not find it. */
function checkKeptLongEnough({ notBefore }: InvocationSettings): void {
  if (notBefore !== undefined && notBefore - Date.now() > DEFAULT_CLAIM_AGE_MS)
    throw FnError.of("PAYLOAD_TOO_LARGE", "an event too large for a message cannot wait for longer than a day")
}
