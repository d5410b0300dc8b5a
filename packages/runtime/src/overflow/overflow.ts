/**
 * What becomes of calls that find no free slot: another host that has one, else a bounded wait here, else the durable queue, else
 * a refusal at once. Calls that wait go to other hosts too, as soon as those report free slots.
 *
 * Phases: open (listens to load reports) → closed. Neighbours: dispatch/dispatcher.ts brings the calls, host-view.ts and
 * load-reporter.ts know the other hosts and tell them of this one, hand-over.ts and spill.ts move calls.
 */
import { FnError, formatRef, type HostStatus, type Instruments, type Logger, messageOf, type Subjects } from "@fn/core"
import type { ReplyInbox } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node"
import type { Catalog } from "../catalog/catalog.js"
import type { Call } from "../dispatch/call.js"
import type { Dispatcher, Overflow } from "../dispatch/dispatcher.js"
import { freeSlots, type HostedFunction, type OpenVersion } from "../dispatch/hosted-function.js"
import { HandOver } from "./hand-over.js"
import { HostView, isSaturated, parseLoadReport } from "./host-view.js"
import { LoadReporter } from "./load-reporter.js"
import { Spill } from "./spill.js"

/** A turn in the queue takes so much longer than its execution: it is asked for, delivered, answered and acknowledged. */
const TURN_FACTOR = 1.1

/** What overflow works with. */
export interface CallOverflowOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
  readonly host: string
  readonly inbox: ReplyInbox
  readonly access: QueueAccess
  /** Why nothing can be stored in the queue, as far as this host knows. */
  readonly queueProblem: () => FnError | undefined
  readonly catalog: Catalog
  readonly dispatcher: Dispatcher
  readonly replyPrefixes: readonly string[]
  readonly logger: Logger
  readonly instruments: Instruments
  /** Calls that may wait here, per slot. */
  readonly waitFactor: number
}

/** See the head of this file. */
export class CallOverflow implements Overflow {
  readonly #options: CallOverflowOptions
  readonly #view = new HostView()
  readonly #reporter: LoadReporter
  readonly #handOver: HandOver
  readonly #spill: Spill
  #subscription: Subscription | undefined

  constructor(options: CallOverflowOptions) {
    this.#options = options
    const { dispatcher, catalog } = options
    this.#reporter = new LoadReporter({
      ...options,
      isServed: (fn) => catalog.served.get(fn.key) === fn,
      onOver: (key) => this.#view.forgetFunction(key),
    })
    this.#handOver = new HandOver({
      ...options,
      view: this.#view,
      onTaken: (open, call) => this.#taken(open, call),
      onReturned: (open, call) => dispatcher.takeBack(open, call),
      onLost: (call, error) => dispatcher.refuse(call, error),
    })
    this.#spill = new Spill({
      ...options,
      onStored: (open, call) => {
        options.instruments.overflowed(open.pool.labels, "queue")
        dispatcher.release(call)
      },
      onRefused: (open, call, error) => this.#refuse(open, call, error),
    })
  }

  /** Listens to the other hosts' reports from now on. */
  open(): void {
    const { nc, subjects, logger } = this.#options
    this.#subscription = nc.subscribe(subjects.loadAll, {
      callback: (error, msg) => {
        if (error) return logger.error("subscription failed", { subject: subjects.loadAll, error: error.message })
        try {
          this.#hear(msg)
        } catch (thrown) {
          logger.warn("load report not understood", { error: messageOf(thrown) })
        }
      },
    })
  }

  /** Tells the other hosts that this one takes no more, and stops listening. */
  close(phase: HostStatus["phase"]): void {
    this.#reporter.close(phase)
    this.#subscription?.unsubscribe()
    this.#subscription = undefined
  }

  /** A call has come out of the queue to this host, which may be the one that stores it. */
  delivered(invocationId: string): void {
    this.#spill.delivered(invocationId)
  }

  take(open: OpenVersion, call: Call): void {
    if (this.#handOver.send(open, call)) return
    const fn = call.fn as HostedFunction
    const { pool, waiting } = open
    const leftMs = call.deadline - Date.now()
    if (waiting.size < this.#options.waitFactor * pool.slots) {
      // While there is a backlog every other slot that gets free is the backlog's.
      const turns = (waiting.size + 1) * (fn.queued > 0 ? 2 : 1)
      const expectedMs = (pool.stats.averageMs * turns) / pool.slots
      if (expectedMs > leftMs) return this.#refuse(open, call, tooLong(open, expectedMs))
      waiting.add(call)
    } else {
      const refusal = this.#refusalOfQueue(open, fn, leftMs) ?? this.#spill.store(open, call)
      if (refusal) return this.#refuse(open, call, refusal)
    }
    this.#reporter.saturated(fn)
  }

  #refuse(open: OpenVersion, call: Call, error: FnError): void {
    this.#options.instruments.overflowed(open.pool.labels, "refused")
    this.#options.dispatcher.refuse(call, error)
  }

  /** Why there is no use in storing a call: too much is before it. */
  #refusalOfQueue({ pool, waiting }: OpenVersion, fn: HostedFunction, leftMs: number): FnError | undefined {
    const others = this.#view.others(fn.key)
    const slots = pool.slots + others.slots
    // What was stored since the queue was last heard of: the others have stored as much, for NATS spreads calls evenly.
    const news = (fn.storedSince + this.#spill.pending(fn.key)) * (1 + others.hosts)
    const queued = Math.max(fn.queued, others.queued) + news
    const maxPending = pool.definition.queue?.maxPending
    if (maxPending !== undefined && queued >= maxPending)
      return FnError.of("QUEUE_FULL", `${fn.key} is busy, and its queue has its maxPending of ${maxPending} invocations`)
    if (slots === 0) return FnError.of("QUEUE_FULL", `${fn.key} is busy: every slot is held by an execution that ignores its cancellation`)
    const expectedMs = (TURN_FACTOR * pool.stats.averageMs * (queued + waiting.size + others.waiting + 1)) / slots
    return expectedMs > leftMs ? tooLong({ pool }, expectedMs) : undefined
  }

  /** The other host has it; if its caller has cancelled it meanwhile, that host must hear of it. */
  #taken(open: OpenVersion, call: Call): void {
    const { nc, subjects, dispatcher, logger, instruments } = this.#options
    instruments.overflowed(open.pool.labels, "host")
    if (!call.answered) return dispatcher.release(call)
    const fn = call.fn as HostedFunction
    try {
      nc.publish(subjects.cancel(fn.ref.namespace, call.invocationId))
    } catch (thrown) {
      logger.debug("call not cancelled", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }

  #hear(msg: Msg): void {
    const report = parseLoadReport(msg.data)
    if (!report || report.host === this.#options.host || msg.subject !== this.#options.subjects.load(report.host)) return
    if (report.phase !== "ready") return this.#view.forget(report.host)
    for (const load of report.functions) {
      const fn = this.#options.catalog.served.get(load.function)
      if (!fn) continue
      this.#view.take(report.host, load)
      if (isSaturated(load)) this.#reporter.wanted(fn)
      else if (load.freeSlots > 0) this.#moveWaiting(fn)
    }
  }

  /** Another host has free slots: those who have waited longest here may have them. */
  #moveWaiting(fn: HostedFunction): void {
    const open = fn.versions.get(fn.record.activeVersion)
    if (!open || freeSlots(open) > 0) return
    for (const call of open.waiting) {
      if (call.answered) continue
      if (this.#handOver.send(open, call)) open.waiting.delete(call)
      else if (!this.#view.hasSlot(fn.key)) return
    }
  }
}

function tooLong({ pool }: Pick<OpenVersion, "pool">, expectedMs: number): FnError {
  const message = `${formatRef(pool.definition)} is busy: the expected wait of ${Math.round(expectedMs)} ms is longer than the time left`
  return FnError.of("QUEUE_FULL", message)
}
