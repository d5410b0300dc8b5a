import { FnError, newId, type WireEvent } from "@fn/core"
import type { InboxListener, RawMsg } from "@fn/nats"
import type { CallTarget } from "./call-target.js"
import type { CarriedData } from "./claim-check.js"
import type { KnownFunction } from "./function-directory.js"
import { CallPulse, type WatchedCall } from "./lost-call-watch.js"
import type { CallOptions, StartedCall } from "./options.js"

/** One call under way. */
export interface OngoingCall {
  /** `Fn-Invocation-Id`: names the call in logs, in status and when cancelling. */
  readonly invocationId: string
  /** The events of the reply. Rejects with an FnError. */
  readonly events: Promise<WireEvent[]>
  /** Ends the wait with `cancelled CANCELLED` and tells the host. Nothing happens when the call has ended. */
  cancel(why?: string): void
}

/** What a call tells its client. */
export interface CallHooks {
  onEnd(call: Call, error: FnError | undefined): void
  onCancel(call: Call): void
  onMessage(call: Call, msg: RawMsg): void
  /** No message can come any more. */
  onCut(call: Call, error: FnError): void
}

const NOTHING = new Uint8Array(0)

/** A call from its start to its end, whatever comes first: reply, error, deadline, cancel, loss of host or connection. */
export class Call implements OngoingCall, WatchedCall, InboxListener {
  readonly invocationId: string = newId()
  readonly events: Promise<WireEvent[]>
  readonly startedAt: number = performance.now()
  readonly pulse: CallPulse = new CallPulse()
  readonly wire: WireEvent
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
  /** What it accepts beside what every call does. */
  readonly acceptLines: string = ""
  target: CallTarget | undefined
  /** The function, once it is known. */
  fn: KnownFunction | undefined
  /** Where it was sent. */
  questionSubject = ""
  /** Its number among the calls in flight. */
  slot = -1
  /** Token of the reply inbox; 0 while nothing is sent. */
  token = 0
  /** Slot of the deadline, -1 without one. */
  deadlineSlot = -1
  /** What its message carries: the event's data, or header lines that say where the data is. */
  body: Uint8Array
  bodyLines = ""
  /** Object its data is stored in; undefined until that is decided, empty when it stays in the message. */
  payload: string | undefined
  /** How often it was sent: again only when nobody was there to take it. */
  sends = 0
  ended = false
  /** A host said that it waits in the durable queue. */
  isQueued = false
  /** No other message will come to its subject. */
  isQuiet = false
  readonly #hooks: CallHooks
  #onStarted: ((started: StartedCall) => void) | undefined
  #resolve!: (events: WireEvent[]) => void
  #reject!: (error: FnError) => void
  #abort: (() => void) | undefined

  constructor(wire: WireEvent, options: CallOptions, hooks: CallHooks) {
    this.wire = wire
    this.body = wire.data ?? NOTHING
    this.timeoutMs = options.timeoutMs
    this.signal = options.signal
    this.#onStarted = options.onStarted
    this.#hooks = hooks
    this.events = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (this.signal) this.#watchSignal(this.signal)
  }

  get functionKey(): string {
    return this.target?.key ?? ""
  }

  /** Time left, in ms, at least 1; undefined without a time-out. */
  timeLeftMs(): number | undefined {
    if (this.timeoutMs === undefined) return undefined
    return Math.max(1, Math.ceil(this.timeoutMs - (performance.now() - this.startedAt)))
  }

  /** It is decided how its data travels. */
  carry({ body, bodyLines, payload }: CarriedData): void {
    this.body = body
    this.bodyLines = bodyLines
    this.payload = payload ?? ""
  }

  onMessage(msg: RawMsg): void {
    this.#hooks.onMessage(this, msg)
  }

  onFailed(error: FnError): void {
    this.#hooks.onCut(this, error)
  }

  /** Takes a message that is more than a reply. */
  take(_msg: RawMsg): boolean {
    return false
  }

  /** The server refuses what this client publishes to `subject`. */
  denied(_subject: string, _error: FnError): void {}

  /** Its reply is here. Where one message was sent and nothing was said of it before, one host has it and has now said all. */
  settle(): void {
    this.isQuiet = this.sends === 1 && this.pulse.host === undefined && !this.isQueued
  }

  /** A host said that it has the call. */
  started(host: string): void {
    this.pulse.started(host)
    const tell = this.#onStarted
    this.#onStarted = undefined
    try {
      tell?.({ host, invocationId: this.invocationId })
    } catch (thrown) {
      this.#cancel(FnError.from(thrown))
    }
  }

  /** No host has it until one takes it from the queue, and says so. */
  queued(): void {
    this.isQueued = true
    this.pulse.pause()
  }

  finish(events: WireEvent[]): void {
    if (this.ended) return
    this.#end(undefined)
    this.#resolve(events)
  }

  fail(error: FnError): void {
    if (this.ended) return
    this.#end(error)
    this.#reject(error)
  }

  cancel(why: string = "the caller cancelled"): void {
    this.#cancel(FnError.of("CANCELLED", why))
  }

  #watchSignal(signal: AbortSignal): void {
    this.#abort = () => this.#cancel(abortError(signal.reason))
    signal.addEventListener("abort", this.#abort, { once: true })
  }

  #cancel(error: FnError): void {
    if (this.ended) return
    this.#hooks.onCancel(this)
    this.fail(error)
  }

  #end(error: FnError | undefined): void {
    this.ended = true
    if (this.#abort) this.signal?.removeEventListener("abort", this.#abort)
    this.#hooks.onEnd(this, error)
  }
}

/** Why a signal fired: AbortSignal.timeout means the deadline, everything else that the caller cancelled. */
export function abortError(reason: unknown): FnError {
  const error = FnError.from(reason, "cancelled")
  return error.code === "cancelled" || error.code === "deadline_exceeded"
    ? error
    : FnError.of("CANCELLED", error.message, { cause: reason })
}
