/**
 * Stores a call in the durable queue, for whichever host is free first. It runs once there, or not at all: docs/protocol.md#limits-and-waiting
 *
 * The call is on this host's books until the stream has it; then its caller is told that it is queued, and this host forgets it.
 */
import { FnError, formatRef, type Logger, messageOf, type Subjects } from "@fn/core"
import { isReplySubject, publishRaw } from "@fn/nats"
import { enqueue, invocationLines, type QueueAccess } from "@fn/queue"
import type { Call, Destination } from "../dispatch/call.js"
import type { HostedFunction, OpenVersion } from "../dispatch/hosted-function.js"
import { forwarded } from "./forwarded.js"

/** The stream may be between two leaders for so long, or have thousands of calls before this one, ms. */
const STORE_MS = 5_000
/** After no stream answered, calls are refused at once for so long, ms. */
const ABSENT_MS = 2_000
/** Calls on their way to the stream, bytes: what a burst may cost this host. */
const MAX_PENDING_BYTES = 67_108_864
/** What a call costs beside its data, about. */
const CALL_BYTES = 2_048

/** What spilling goes through. */
export interface SpillOptions {
  readonly access: QueueAccess
  /** Why there is no queue, as far as this host knows; undefined when there is. */
  readonly queueProblem: () => FnError | undefined
  readonly subjects: Subjects
  readonly replyPrefixes: readonly string[]
  readonly logger: Logger
  /** The queue has the call now. */
  readonly onStored: (open: OpenVersion, call: Call) => void
  /** It does not. */
  readonly onRefused: (open: OpenVersion, call: Call, error: FnError) => void
}

/** See the head of this file. */
export class Spill {
  readonly #options: SpillOptions
  /** Calls that are not acknowledged yet, by function. */
  readonly #pending = new Map<string, number>()
  /** The same, by invocation. */
  readonly #storing = new Map<string, { readonly open: OpenVersion; readonly call: Call }>()
  #pendingBytes = 0
  #absentUntil = 0
  #absence: FnError | undefined

  constructor(options: SpillOptions) {
    this.#options = options
  }

  /** Calls of a function that are on their way into the queue. */
  pending(key: string): number {
    return this.#pending.get(key) ?? 0
  }

  /** The queue has delivered a call, to this host: it is stored, though the stream has not said so yet. */
  delivered(invocationId: string): void {
    const storing = this.#storing.get(invocationId)
    if (storing) this.#stored(storing.open, storing.call, undefined)
  }

  /** Starts storing a call; what becomes of it is told later. Undefined, or why it cannot be stored. */
  store(open: OpenVersion, call: Call): FnError | undefined {
    const { destination } = call.responder
    const fn = call.fn as HostedFunction
    if (!destination) return full(fn, "only this host can answer the call")
    const problem = this.#options.queueProblem()
    // One that did not answer in time may only be busy, as we are.
    if (problem && problem.code !== "deadline_exceeded") return full(fn, problem.message, problem)
    if (destination.stream) return full(fn, "its caller wants a stream")
    if (performance.now() < this.#absentUntil && this.#absence) return full(fn, this.#absence.message, this.#absence)
    const sizeBytes = CALL_BYTES + (call.event.data?.length ?? 0)
    if (this.#pendingBytes + sizeBytes > MAX_PENDING_BYTES) return full(fn, "too many calls are on their way into the queue")
    // It will not start here: its caller hears that it is queued, or why it is not.
    call.toldStarted = true
    void this.#store(open, call, destination, sizeBytes)
    return undefined
  }

  async #store(open: OpenVersion, call: Call, destination: Destination, sizeBytes: number): Promise<void> {
    const { access, onRefused } = this.#options
    const fn = call.fn as HostedFunction
    this.#pendingBytes += sizeBytes
    this.#pending.set(fn.key, this.pending(fn.key) + 1)
    this.#storing.set(call.invocationId, { open, call })
    try {
      const leftMs = Math.max(1, Math.round(call.deadline - Date.now()))
      const { lines, data } = forwarded(call, destination)
      const ack = await enqueue(access, {
        ref: fn.ref,
        lines: this.#lines(call, destination, leftMs) + lines,
        data,
        timeoutMs: Math.min(STORE_MS, leftMs),
      })
      if (this.#isStoring(call)) this.#stored(open, call, ack.seq)
    } catch (thrown) {
      const error = this.#refusal(fn, FnError.from(thrown))
      if (this.#isStoring(call)) onRefused(open, call, error)
    }
    if (this.#isStoring(call)) this.#storing.delete(call.invocationId)
    this.#pendingBytes -= sizeBytes
    const pending = this.pending(fn.key) - 1
    if (pending > 0) this.#pending.set(fn.key, pending)
    else this.#pending.delete(fn.key)
  }

  #lines(call: Call, { reply }: Destination, leftMs: number): string {
    return invocationLines({
      invocationId: call.invocationId,
      version: call.version,
      timeoutMs: leftMs,
      replyTo: isReplySubject(reply, this.#options.replyPrefixes) ? reply : undefined,
      spilled: true,
      hops: call.hops,
    })
  }

  #isStoring(call: Call): boolean {
    return this.#storing.get(call.invocationId)?.call === call
  }

  #stored(open: OpenVersion, call: Call, seq: number | undefined): void {
    const { access, subjects, logger, onStored } = this.#options
    this.#storing.delete(call.invocationId)
    const fn = call.fn as HostedFunction
    if (seq !== undefined) fn.storedSince++
    if (!call.answered) {
      if (call.wantsStarted && seq !== undefined) call.responder.queued?.(call, seq)
      return onStored(open, call)
    }
    // Cancelled, or its time was up, while it was being stored: whoever gets it from the queue need not run it.
    try {
      publishRaw(access.nc, subjects.cancelQueued(fn.ref.namespace, call.invocationId), undefined)
    } catch (thrown) {
      logger.debug("queued call not cancelled", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }

  #refusal(fn: HostedFunction, error: FnError): FnError {
    if (error.reason === "DEADLINE_EXCEEDED" || error.reason === "DISCONNECTED")
      return FnError.of("OUTCOME_UNKNOWN", `the queue did not say whether it took the call; it may run: ${error.message}`, { cause: error })
    if (error.reason === "JETSTREAM_UNAVAILABLE" || error.reason === "NOT_SET_UP" || error.reason === "JETSTREAM_OFF") {
      this.#absence = error
      this.#absentUntil = performance.now() + ABSENT_MS
    }
    return full(fn, error.message, error)
  }
}

function full(fn: HostedFunction, why: string, cause?: FnError): FnError {
  return FnError.of("QUEUE_FULL", `${formatRef(fn.ref)} is busy, and the call cannot wait in the queue: ${why}`, cause ? { cause } : {})
}
