/**
 * A host's part of the durable queue: knows which functions have work, and has a worker for each of those that it serves.
 *
 * It learns of work in two ways: the server republishes the headers of everything that is stored (wake), and every few seconds, and after each
 * reconnect, the depths of all subjects are read (sweep), which also finds what wakes were lost for and what nobody serves. A function without
 * work has no worker, no consumer that is pulled from, nothing. Where the streams are not set up, sync calls work and each sweep looks again.
 *
 * Phases: working → stopped (pulls nothing more, finishes what it holds) → closed (gives back the rest). Neighbours: worker.ts pulls,
 * function-lane.ts runs, tail.ts stores outcomes, orphans.ts clears what no function will take.
 */
import { FnError, type FunctionRef, type Logger, messageOf } from "@fn/core"
import { type RawMsg, watchConnection } from "@fn/nats"
import { consumerName, storeResult } from "@fn/queue"
import type { Registry } from "@fn/registry"
import type { Subscription } from "@nats-io/transport-node"
import type { QueueHandler } from "../callbacks/queue-handler.js"
import type { Catalog } from "../catalog/catalog.js"
import type { HostedFunction } from "../dispatch/hosted-function.js"
import { callLines, errorReply } from "../egress/reply.js"
import type { QueueRuntimeOptions } from "../options.js"
import { CancelledIds } from "./cancelled.js"
import { Consumers, queueDepths } from "./consumer.js"
import type { QueueContext, QueueCounts } from "./context.js"
import { queueTarget } from "./delivery.js"
import { FunctionLane } from "./function-lane.js"
import { HandlerLane } from "./handler-lane.js"
import { OrphanLane, Orphans } from "./orphans.js"
import { PullInbox } from "./pull.js"
import { StoredEvents } from "./stored-events.js"
import type { Worker } from "./worker.js"
import { Workers } from "./workers.js"

/** What the queue of a host works with. */
export interface DurableQueueOptions extends QueueRuntimeOptions {
  readonly context: Omit<QueueContext, "defaults" | "counts" | "cancelled" | "events"> & { readonly catalog: Catalog }
  readonly registry: Registry
  /** Work of the platform's own that waits in the queue too. */
  readonly handlers?: readonly QueueHandler[]
}

const DEFAULT_SWEEP_MS = 5_000
/** After a sweep that failed: the server may be recovering. */
const RETRY_SWEEP_MS = 1_000

/** After a cancel, hosts that do not run the invocation leave its result to the one that does, for so long, ms. */
const CANCEL_GRACE_MS = 1_200

/** See the head of this file. */
export class DurableQueue {
  readonly #context: QueueContext
  readonly #catalog: Catalog
  readonly #logger: Logger
  readonly #sweepMs: number
  readonly #pulls: PullInbox
  readonly #consumers: Consumers
  readonly #orphans: Orphans
  readonly #handlers: ReadonlyMap<string, QueueHandler>
  readonly #workers: Workers
  /** Subjects whose messages nobody seems to get, and how often in a row a sweep found them so. */
  #suspects = new Map<string, number>()
  readonly #queueHead: string
  readonly #wakeHead: string
  readonly #subscriptions: Subscription[] = []
  readonly #unwatch: (() => void)[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Subjects that something is done about in the background. */
  readonly #busy = new Set<string>()
  /** What was cancelled while this host was not connected has been read: what waits may be run. */
  #ready = false
  /** What the server told of before that. */
  readonly #wokenEarly = new Set<string>()
  #depths: ReadonlyMap<string, number> = new Map()
  #sweepTimer: NodeJS.Timeout | undefined
  #sweeping = false
  #stopped = false
  #problem: FnError | undefined

  constructor(options: DurableQueueOptions) {
    const { access, egress, logger, catalog } = options.context
    this.#context = {
      ...options.context,
      defaults: options,
      counts: { duplicates: 0, droppedResults: 0, badReplySubjects: 0, retries: 0, deadLetters: 0 },
      cancelled: new CancelledIds(),
      events: new StoredEvents(access, egress.subjects, logger),
    }
    this.#catalog = catalog
    this.#logger = logger
    this.#sweepMs = options.sweepMs ?? DEFAULT_SWEEP_MS
    this.#queueHead = access.names.subjects.queueAll.slice(0, -1)
    this.#wakeHead = access.names.subjects.wakeAll.slice(0, -1)
    this.#orphans = new Orphans(this.#context, options.registry)
    this.#handlers = new Map(options.handlers?.map((handler) => [handler.name, handler]))
    this.#consumers = new Consumers(access)
    this.#pulls = new PullInbox(access, logger, (msg) => this.#deliver(msg))
    const onIdle = (worker: Worker): void => this.#idled(worker)
    this.#workers = new Workers({ access, pulls: this.#pulls, consumers: this.#consumers, logger, onIdle })
  }

  /** Why this host does not work on the queue; undefined when it does. */
  get problem(): FnError | undefined {
    return this.#problem
  }

  get counts(): Readonly<QueueCounts> {
    return this.#context.counts
  }

  /** Workers that there are: functions with work. */
  get workers(): number {
    return this.#workers.size
  }

  /** Begins to listen, and to look in the background. */
  start(): void {
    const { access } = this.#context
    const watch = watchConnection(access.nc)
    this.#unwatch.push(
      watch.onDisconnect(() => this.#disconnected()),
      watch.onReconnect(() => this.#reconnected()),
    )
    this.#listen(access.names.subjects.wakeAll, (msg) => this.#wake(msg))
    // A permission an operator may leave out: the sweep finds the same, later.
    const advisories = `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${access.names.queue}.>`
    this.#listen(advisories, (msg) => this.#exhausted(msg), access.names.queue)
    this.#sweepSoon(0)
  }

  /** A function is served from now on, or can run again: what waits for it is looked at. */
  served(fn: HostedFunction): void {
    const tail = tailOf(fn.ref)
    this.#orphans.returned(fn.ref)
    const depth = this.#depths.get(this.#queueHead + tail) ?? 0
    // What was found of it while it was not there is not to be given up any more.
    if (this.#workers.get(tail)?.runner instanceof OrphanLane) this.#workers.leave(tail)
    if (depth > 0) this.#functionWorker(tail, fn)?.swept(depth)
  }

  /** A function is served no longer: if it was deleted, its invocations are given up at once. */
  unserved(fn: HostedFunction): void {
    const tail = tailOf(fn.ref)
    const due = this.#workers.get(tail)?.due ?? []
    this.#workers.leave(tail)
    this.#later(0, async () => {
      const error = await this.#adopt(fn.ref, tail, 1)
      // The server keeps what is due later to itself until then; this host knows what it was.
      if (error) for (const seq of due) await this.#orphans.giveUpStored(fn.ref, seq, error)
    })
  }

  /** Somebody cancelled an invocation. `queued`: hosts that meet it later must know too. */
  cancel(namespace: string, id: string, queued: boolean): void {
    const { cancelled, dispatcher } = this.#context
    const held = this.#workers.find(namespace, id)
    if (held || queued) cancelled.add(namespace, id)
    if (held && !dispatcher.has(id)) held.worker.runner.cancel(held.delivery)
    if (held || !queued || this.#stopped) return
    this.#later(CANCEL_GRACE_MS, () => this.#storeCancelled(namespace, id))
  }

  /** Pulls nothing more. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#sweepTimer)
    for (const timer of this.#timers) clearTimeout(timer)
    for (const unwatch of this.#unwatch) unwatch()
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
    this.#workers.stop()
  }

  /** Resolves when nothing is held any more. */
  idle(): Promise<void> {
    return this.#workers.idle()
  }

  /** Gives back at once what is held. */
  close(): void {
    this.stop()
    this.#workers.handBack()
    this.#pulls.close()
  }

  #listen(subject: string, onMessage: (msg: RawMsg) => void, queue?: string): void {
    const logger = this.#logger
    const subscription = this.#context.access.nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (refused, msg) => {
        if (refused) return logger.warn("queue: subscription refused", { subject, error: refused.message })
        try {
          onMessage(msg)
        } catch (thrown) {
          logger.error("queue: message not understood", { subject, error: messageOf(thrown) })
        }
      },
    })
    this.#subscriptions.push(subscription)
  }

  /** The server says that it delivers a message no more. */
  #exhausted(msg: RawMsg): void {
    const { stream_seq: seq, deliveries } = msg.json<{ stream_seq: number; deliveries: number }>()
    const refOf = (subject: string): FunctionRef | undefined => {
      const target = queueTarget(subject.slice(this.#queueHead.length))
      return target.kind === "function" ? target.ref : undefined
    }
    this.#later(0, () => this.#orphans.giveUpDelivered(seq, deliveries, refOf))
  }

  #wake(msg: RawMsg): void {
    const tail = msg.subject.slice(this.#wakeHead.length)
    if (this.#ready) this.#wakeTail(tail)
    else this.#wokenEarly.add(tail)
  }

  #wakeTail(tail: string): void {
    const worker = this.#workers.get(tail)
    if (worker) return worker.wake()
    const fn = this.#catalog.served.get(tail.replace(".", "/"))
    if (fn) {
      fn.queued++
      return this.#functionWorker(tail, fn)?.wake()
    }
    // What nobody serves is for the sweep.
    const handler = this.#handlers.size > 0 ? queueTarget(tail) : undefined
    if (handler?.kind === "handler") this.#handlerWorker(tail, handler)?.wake()
  }

  #deliver(msg: RawMsg): void {
    this.#workers.get(msg.subject.slice(this.#queueHead.length))?.receive(msg)
  }

  #functionWorker(tail: string, fn: HostedFunction): Worker | undefined {
    return this.#workers.ensure(tail, (worker) => new FunctionLane(this.#context, fn, worker))
  }

  #handlerWorker(tail: string, { namespace, name }: { namespace: string; name: string }): Worker | undefined {
    const handler = this.#handlers.get(name)
    return handler && this.#workers.ensure(tail, (worker) => new HandlerLane(this.#context, handler, namespace, worker))
  }

  #idled({ runner }: Worker): void {
    if (runner instanceof OrphanLane) this.#later(0, () => this.#orphans.leave(runner.ref))
  }

  /** Gives up what a function has in the queue, if it is not there; resolves with why. */
  async #adopt(ref: FunctionRef, tail: string, depth: number): Promise<FnError | undefined> {
    const error = await this.#orphans.reason(ref)
    if (this.#catalog.served.has(`${ref.namespace}/${ref.name}`)) return undefined
    if (error) this.#workers.ensure(tail, (worker) => new OrphanLane(this.#context, ref, error, worker))?.swept(depth)
    // Our watch is a moment behind.
    else if (this.#catalog.revision(`${ref.namespace}/${ref.name}`) === 0) await this.#catalog.refresh(ref)
    return error
  }

  /** Does something soon, and says it when it fails: the next sweep finds what is left. */
  #later(afterMs: number, work: () => Promise<unknown>): void {
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work().catch((thrown: unknown) => this.#logger.debug("queue: tried in vain", { error: messageOf(thrown) }))
    }, afterMs)
    this.#timers.add(timer)
  }

  /** Does something about a subject in the background, one thing at a time. */
  #aside(subject: string, work: () => Promise<unknown>): void {
    if (this.#busy.has(subject)) return
    this.#busy.add(subject)
    this.#later(0, () => work().finally(() => this.#busy.delete(subject)))
  }

  #disconnected(): void {
    this.#ready = false
    this.#pulls.disconnected()
  }

  #reconnected(): void {
    this.#consumers.prune(true)
    this.#sweepSoon(0)
  }

  #sweepSoon(afterMs: number): void {
    clearTimeout(this.#sweepTimer)
    if (!this.#stopped) this.#sweepTimer = setTimeout(() => void this.#sweep(), afterMs)
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const worked = await this.#look()
    this.#sweeping = false
    this.#sweepSoon(worked ? this.#sweepMs : Math.min(this.#sweepMs, RETRY_SWEEP_MS))
  }

  /** Looks at all of the queue; false when that is not possible now. */
  async #look(): Promise<boolean> {
    const { access, cancelled } = this.#context
    try {
      const depths = await queueDepths(access)
      // Before anything is pulled: what was cancelled while this host was away is not run.
      await cancelled.read(access)
      this.#depths = depths
      if (this.#problem) this.#logger.info("queue: works again")
      this.#problem = undefined
    } catch (thrown) {
      this.#failed(FnError.from(thrown))
      return false
    }
    this.#consumers.prune()
    if (!this.#ready) {
      this.#ready = true
      this.#workers.reconnected()
      for (const tail of this.#wokenEarly) this.#wakeTail(tail)
      this.#wokenEarly.clear()
    }
    this.#later(0, () => this.#orphans.removeConsumers())
    for (const fn of this.#catalog.served.values()) fn.queued = this.#depths.get(this.#queueHead + tailOf(fn.ref)) ?? 0
    const suspects = this.#suspects
    this.#suspects = new Map()
    for (const [subject, depth] of this.#depths) this.#found(subject, depth, suspects.get(subject) ?? 0)
    return true
  }

  /** A sweep found `depth` messages under `subject`. */
  #found(subject: string, depth: number, suspicions: number): void {
    const tail = subject.slice(this.#queueHead.length)
    const target = queueTarget(tail)
    if (target.kind === "handler") return this.#handlerWorker(tail, target)?.swept(depth)
    if (target.kind === "nobody") return this.#aside(subject, () => this.#orphans.clear(target.ref, subject))
    const { ref } = target
    const key = `${ref.namespace}/${ref.name}`
    const fn = this.#catalog.served.get(key)
    if (fn) {
      this.#suspect(ref, subject, { depth, suspicions })
      return this.#functionWorker(tail, fn)?.swept(depth)
    }
    if (this.#catalog.unserved.has(key)) return this.#aside(subject, () => this.#orphans.expire(ref, subject))
    this.#aside(subject, () => this.#adopt(ref, tail, depth))
  }

  /** Messages that this host knows nothing of, sweep after sweep, may be such as the server does not deliver any more. */
  #suspect(ref: FunctionRef, subject: string, { depth, suspicions }: { depth: number; suspicions: number }): void {
    const worker = this.#workers.get(subject.slice(this.#queueHead.length))
    if (worker && depth <= worker.known) return
    this.#suspects.set(subject, Math.max(1, suspicions))
    if (suspicions === 0) return
    this.#aside(subject, async () => {
      const stuckTo = await this.#orphans.stuckTo(consumerName(ref))
      if (stuckTo === undefined) this.#suspects.set(subject, 1)
      else if (suspicions > 1) await this.#orphans.giveUpStuck(ref, subject, stuckTo)
      else this.#suspects.set(subject, 2)
    })
  }

  #failed(error: FnError): void {
    // A connection that is down says nothing of the queue.
    if (error.reason === "DISCONNECTED" || this.#stopped) return
    if (this.#problem?.reason !== error.reason)
      this.#logger.warn("queue: this host does not work on it", { reason: error.reason, error: error.message })
    this.#problem = error
  }

  /** The caller hears soon; the message itself is dropped when it is delivered. */
  async #storeCancelled(namespace: string, id: string): Promise<void> {
    const { lines, body } = errorReply(
      callLines({ invocationId: id, attempt: 0, runningVersion: undefined }),
      FnError.of("CANCELLED", "the caller cancelled"),
    )
    try {
      await storeResult(this.#context.access, namespace, id, { lines, data: body })
    } catch (thrown) {
      this.#logger.debug("queue: cancel not stored", { invocationId: id, error: messageOf(thrown) })
    }
  }
}

function tailOf({ namespace, name }: FunctionRef): string {
  return `${namespace}.${name}`
}
