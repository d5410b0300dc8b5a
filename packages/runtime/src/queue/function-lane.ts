/**
 * Runs what the queue has for one function: decides what becomes of each delivery, gets it a slot, and settles its outcome.
 *
 * A delivery is examined first (its answer may be known without running it), then prepared (what has to be read), then runs on a slot of
 * the version it is for. Nothing here rejects or throws into its callers: every way ends in the worker's `done` or `putOff`. Neighbours:
 * verdict.ts examines, lane-slots.ts has the slots, tail.ts settles.
 */
import { FnError, type FunctionRef, type WireEvent } from "@fn/core"
import { isReplySubject } from "@fn/nats"
import { consumerName } from "@fn/queue"
import { Call, type Responder } from "../dispatch/call.js"
import { resolveVersion } from "../dispatch/dispatcher.js"
import type { HostedFunction, OpenVersion } from "../dispatch/hosted-function.js"
import { NatsResponder } from "../egress/responder.js"
import type { PayloadClaim } from "../payloads/payload-intake.js"
import type { ExecutionTrace } from "../records/execution-recorder.js"
import type { QueueLane } from "./consumer.js"
import type { QueueContext } from "./context.js"
import type { Delivery } from "./delivery.js"
import { LaneSlots } from "./lane-slots.js"
import { isHostLocal, isPermanent, retryDelayMs } from "./retry-policy.js"
import { type ResolvedQueueSettings, resolveQueueSettings } from "./settings.js"
import { acknowledge, type Outcome, persist, settle } from "./tail.js"
import { cancelledError, examine, hasHistory, lookUp, type Verdict } from "./verdict.js"
import type { LaneRunner, Worker } from "./worker.js"

const CANCELLED = { kind: "ended", outcome: { kind: "error", error: cancelledError(), unrun: true } } as const
/** While a sync call of the same id runs, how often is looked whether it still does, ms. */
const BUSY_MS = 100
/** A host that cannot run a function for reasons of its own leaves it to others for so long, ms. */
const AVERSION_MS = 15_000

/** See the head of this file. */
export class FunctionLane implements LaneRunner {
  readonly ref: FunctionRef
  readonly lane: QueueLane
  readonly #context: QueueContext
  readonly #fn: HostedFunction
  readonly #worker: Worker
  readonly #slots: LaneSlots
  #settings: ResolvedQueueSettings | undefined
  #averseUntil = 0
  #gone = false

  constructor(context: QueueContext, fn: HostedFunction, worker: Worker) {
    this.#context = context
    this.#fn = fn
    this.#worker = worker
    this.ref = fn.ref
    this.lane = { subject: context.access.names.subjects.queue(fn.ref), consumer: consumerName(fn.ref) }
    this.#slots = new LaneSlots(context.dispatcher, {
      wantsSlot: () => worker.wantsSlot,
      slotSetAside: () => worker.slotSetAside(),
      forgetSlots: () => worker.forgetSlots(),
      start: (delivery, open) => this.#resume(delivery, open),
      refuse: (delivery, open) => this.#ended(delivery, open.breaker.refusal(fn.key)),
    })
  }

  async prepare(): Promise<ResolvedQueueSettings | undefined> {
    const { dispatcher, defaults } = this.#context
    if (this.#averseUntil > Date.now()) return undefined
    const open = await dispatcher.open(this.#fn, this.#fn.record.activeVersion)
    this.#slots.activate(open)
    this.#settings = resolveQueueSettings(open.pool.definition, defaults)
    return open.breaker.isOpen ? undefined : this.#settings
  }

  setAside(count: number): number {
    return this.#slots.setAside(count)
  }

  giveBack(count: number): void {
    this.#slots.release(this.#slots.active, count)
  }

  run(delivery: Delivery, setAside: boolean): void {
    const open = setAside ? this.#slots.active : undefined
    if (delivery.settings.spilled) this.#context.onSpilled?.(delivery.invocationId)
    this.#fn.queued = delivery.info.pending
    const verdict = this.#isCancelled(delivery) ? CANCELLED : examine(delivery, this.#settings)
    if (verdict.kind !== "run") return this.#refuse(delivery, open, verdict)
    if (hasHistory(delivery) || delivery.claim) void this.#runChecked(delivery, open)
    else this.#start(delivery, open)
  }

  /** The function was deleted here: what runs finishes, all else is given back. */
  gone(): void {
    this.#gone = true
    for (const delivery of this.#slots.waiting()) {
      this.#slots.unwait(delivery)
      this.#worker.putOff(delivery, 0)
    }
  }

  /** Cancels a delivery that waits for a slot; one that runs is the dispatcher's to cancel. */
  cancel(delivery: Delivery): void {
    if (this.#slots.unwait(delivery)) void this.#finish(delivery, CANCELLED.outcome)
  }

  /** It does not run, or not now. */
  #refuse(delivery: Delivery, open: OpenVersion | undefined, verdict: Exclude<Verdict, { kind: "run" }>): void {
    this.#slots.release(open)
    this.#free(delivery)
    switch (verdict.kind) {
      case "put-off":
        return this.#worker.putOff(delivery, verdict.delayMs)
      case "hold":
        return this.#hold(delivery, verdict.forMs)
      case "duplicate":
        return void this.#drop(delivery)
      case "ended":
        return void this.#finish(delivery, verdict.outcome)
    }
  }

  /** Looks at a delivery again after a while; its lease is kept meanwhile. */
  #hold(delivery: Delivery, forMs: number): void {
    setTimeout(() => this.#worker.held.has(delivery) && this.run(delivery, false), forMs).unref()
  }

  #isCancelled({ invocationId }: Delivery): boolean {
    return this.#context.cancelled.has(this.ref.namespace, invocationId)
  }

  /** Reads first what there is to be read of it. */
  async #runChecked(delivery: Delivery, open: OpenVersion | undefined): Promise<void> {
    try {
      const verdict = await persist(this.#context, "the look for a result", () => lookUp(this.#context.access, delivery))
      if (verdict.kind !== "run") return this.#refuse(delivery, open, verdict)
      if (delivery.claim) await this.#read(delivery, delivery.claim)
      this.#start(delivery, open)
    } catch (thrown) {
      this.#slots.release(open)
      this.#ended(delivery, FnError.from(thrown))
    }
  }

  /** Brings data that was stored apart into this host's memory. @throws {FnError} INVALID_REQUEST, PAYLOAD_NOT_FOUND, JETSTREAM_UNAVAILABLE … */
  async #read(delivery: Delivery, stored: PayloadClaim): Promise<void> {
    const { payloads } = this.#context
    const { settings, invocationId, queuedAt } = delivery
    if (!payloads) throw FnError.of("PAYLOAD_NOT_FOUND", "this host reads no data that was stored apart")
    const deadline = settings.spilled && settings.timeoutMs !== undefined ? queuedAt + settings.timeoutMs : Number.POSITIVE_INFINITY
    delivery.payload = await payloads.read(stored, invocationId, deadline)
  }

  async #drop(delivery: Delivery): Promise<void> {
    this.#context.counts.duplicates++
    await acknowledge(this.#context, delivery)
    this.#worker.done(delivery)
  }

  /** Runs it on its version: at once on the slot that was set aside, else when there is one. */
  #start(delivery: Delivery, open: OpenVersion | undefined): void {
    if (this.#gone) return this.#refuse(delivery, open, { kind: "put-off", delayMs: 0 })
    let version: string
    let event: WireEvent
    try {
      version = resolveVersion(this.#fn, delivery.settings.version)
      event = delivery.event()
      if (delivery.settings.spilled) this.#replySubject(delivery)
    } catch (thrown) {
      this.#slots.release(open)
      return this.#ended(delivery, FnError.from(thrown))
    }
    if (open && this.#fn.versions.get(version) === open) return this.#dispatch(delivery, event, open)
    this.#slots.release(open)
    this.#context.dispatcher.open(this.#fn, version).then(
      (opened) => this.#slots.wait(delivery, opened),
      (thrown) => this.#ended(delivery, FnError.from(thrown)),
    )
  }

  /** A delivery that waited has its slot. */
  #resume(delivery: Delivery, open: OpenVersion): void {
    try {
      this.#dispatch(delivery, delivery.event(), open)
    } catch (thrown) {
      this.#slots.release(open)
      this.#ended(delivery, FnError.from(thrown))
    }
  }

  #dispatch(delivery: Delivery, event: WireEvent, open: OpenVersion): void {
    const { settings, invocationId, attempt, info } = delivery
    const { dispatcher } = this.#context
    if (this.#isCancelled(delivery)) return this.#refuse(delivery, open, CANCELLED)
    if (dispatcher.has(invocationId)) return this.#refuse(delivery, open, this.#whileItRuns(delivery))
    const timeoutMs = settings.timeoutMs ?? open.pool.definition.timeoutMs
    const deadline = settings.spilled ? info.storedAt + timeoutMs : Date.now() + timeoutMs
    const responder = settings.spilled ? this.#spilledResponder(delivery) : this.#durableResponder(delivery)
    const { version, hops = 0 } = settings
    const durable = !settings.spilled
    const call = new Call({ invocationId, event, responder, deadline, attempt, version, hops, durable })
    // At once: since its caller was told that it is queued, it does not look for it, and would not miss it if this host died.
    if (settings.spilled && settings.replyTo !== undefined && delivery.wantsStarted) responder.started?.(call)
    dispatcher.dispatchReserved(this.#fn, open, call)
  }

  /** Another call of the same id runs here. */
  #whileItRuns({ invocationId, settings }: Delivery): Exclude<Verdict, { kind: "run" }> {
    const error = FnError.of("INVALID_REQUEST", `invocation ${invocationId} is running on this host already`)
    if (settings.spilled) return { kind: "ended", outcome: { kind: "error", error } }
    // Of another queued message: its result is this one's too. A sync call's is not.
    return this.#context.dispatcher.find(invocationId)?.durable ? { kind: "duplicate" } : { kind: "hold", forMs: BUSY_MS }
  }

  #durableResponder(delivery: Delivery): Responder {
    const { recorder } = this.#context
    return {
      succeed: (call, events) => void this.#succeeded(delivery, events, recorder.trace(call)),
      fail: (call, error) => this.#ended(delivery, error, recorder.trace(call)),
    }
  }

  #spilledResponder(delivery: Delivery): Responder {
    const { egress, counter } = this.#context
    const endpoint = counter(this.#fn.record.language)
    const responder = new NatsResponder(egress, endpoint, this.#replySubject(delivery), delivery.mode, delivery.acceptsPayloadRef)
    return {
      succeed: (call, events) => {
        const left = responder.succeed(call, events)
        if (left) return left.then(() => this.#acknowledged(delivery))
        void this.#acknowledged(delivery)
      },
      fail: (call, error) => {
        responder.fail(call, error)
        void this.#acknowledged(delivery)
      },
      started: (call) => responder.started(call),
    }
  }

  async #succeeded(delivery: Delivery, events: readonly WireEvent[], trace: ExecutionTrace): Promise<void> {
    this.#worker.settling(delivery, bytesOf(events))
    this.#free(delivery)
    const { invocationId, settings } = delivery
    try {
      await this.#context.events.emit(events, { namespace: this.ref.namespace, invocationId, hops: settings.hops ?? 0 })
    } catch (thrown) {
      // Tried again as a whole: what is stored already is not stored twice.
      return this.#ended(delivery, FnError.from(thrown), trace)
    }
    await this.#finish(delivery, { kind: "events", events }, trace)
  }

  /** An attempt has failed, or could not be made. */
  #ended(delivery: Delivery, error: FnError, trace?: ExecutionTrace): void {
    const { closing, counts } = this.#context
    if (closing.aborted && error.reason === "HOST_DRAINING") return // given back with all that is held
    this.#free(delivery)
    const { settings, attempt } = delivery
    const retry = this.#fn.versions.get(trace?.version ?? this.#fn.record.activeVersion)?.pool.definition.retry
    if (!settings.spilled && isHostLocal(error)) {
      // While its circuit is open, nothing is pulled anyway.
      if (error.reason !== "CIRCUIT_OPEN") this.#averseUntil = Date.now() + AVERSION_MS
      this.#worker.putOff(delivery, 0)
      return this.#worker.tellOthers()
    }
    const isLast = settings.spilled || attempt >= (this.#settings?.attempts ?? 1) || isPermanent(error, retry)
    if (isLast) return void this.#finish(delivery, { kind: "error", error }, trace)
    counts.retries++
    this.#worker.putOff(delivery, retryDelayMs(error, attempt, retry))
  }

  /** Stores the outcome and lets go of the delivery. */
  async #finish(delivery: Delivery, outcome: Outcome, trace?: ExecutionTrace): Promise<void> {
    const context = this.#context
    this.#worker.settling(delivery)
    await settle(context, delivery, outcome, { trace, acknowledge: () => acknowledge(context, delivery) })
    this.#worker.done(delivery)
  }

  async #acknowledged(delivery: Delivery): Promise<void> {
    this.#free(delivery)
    this.#worker.settling(delivery)
    await acknowledge(this.#context, delivery)
    this.#worker.done(delivery)
  }

  /** Its execution is over: data that was read for it is not needed any more. */
  #free(delivery: Delivery): void {
    delivery.payload?.release()
    delivery.payload = undefined
  }

  /** Where a spilled call is answered. @throws {FnError} BAD_REPLY_SUBJECT */
  #replySubject({ settings, invocationId }: Delivery): string {
    const { access, replyPrefixes } = this.#context
    if (settings.replyTo === undefined) return access.names.subjects.result(this.ref.namespace, invocationId)
    if (isReplySubject(settings.replyTo, replyPrefixes)) return settings.replyTo
    throw FnError.of("BAD_REPLY_SUBJECT", "a spilled call names no inbox to answer to")
  }
}

function bytesOf(events: readonly WireEvent[]): number {
  return events.reduce((sum, { data }) => sum + (data?.length ?? 0), 0)
}
