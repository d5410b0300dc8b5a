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
import { FnError, type Logger, messageOf } from "@fn/core"
import { type RawMsg, watchConnection } from "@fn/nats"
import { storeResult } from "@fn/queue"
import type { Registry } from "@fn/registry"
import type { Subscription } from "@nats-io/transport-node"
import type { Catalog } from "../catalog/catalog.js"
import type { HostedFunction } from "../dispatch/hosted-function.js"
import { callLines, errorReply } from "../egress/reply.js"
import type { QueueRuntimeOptions } from "../options.js"
import { CancelledIds } from "./cancelled.js"
import { queueDepths } from "./consumer.js"
import type { QueueContext, QueueCounts } from "./context.js"
import { type Delivery, targetOfSubject } from "./delivery.js"
import { FunctionLane } from "./function-lane.js"
import { PullInbox } from "./pull.js"
import { StoredEvents } from "./stored-events.js"
import { Worker } from "./worker.js"

/** What the queue of a host works with. */
export interface DurableQueueOptions extends QueueRuntimeOptions {
  readonly context: Omit<QueueContext, "defaults" | "counts" | "cancelled" | "events"> & { readonly catalog: Catalog }
  readonly registry: Registry
}

const DEFAULT_SWEEP_MS = 5_000

/** After a cancel, hosts that do not run the invocation leave its result to the one that does, for so long, ms. */
const CANCEL_GRACE_MS = 1_200

/** See the head of this file. */
export class DurableQueue {
  readonly #context: QueueContext
  readonly #catalog: Catalog
  readonly #logger: Logger
  readonly #sweepMs: number
  readonly #pulls: PullInbox
  readonly #workers = new Map<string, Worker>()
  readonly #queueHead: string
  readonly #wakeHead: string
  readonly #subscriptions: Subscription[] = []
  readonly #unwatch: (() => void)[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  #depths: ReadonlyMap<string, number> = new Map()
  #sweepTimer: NodeJS.Timeout | undefined
  #sweeping: Promise<void> | undefined
  #stopped = false
  #problem: FnError | undefined

  constructor(options: DurableQueueOptions) {
    const { access, egress, logger, catalog } = options.context
    this.#context = {
      ...options.context,
      defaults: options,
      counts: { duplicates: 0, droppedResults: 0, badReplySubjects: 0, retries: 0, deadLetters: 0 },
      cancelled: new CancelledIds(),
      events: new StoredEvents(access, egress.subjects),
    }
    this.#catalog = catalog
    this.#logger = logger
    this.#sweepMs = options.sweepMs ?? DEFAULT_SWEEP_MS
    this.#queueHead = access.names.subjects.queueAll.slice(0, -1)
    this.#wakeHead = access.names.subjects.wakeAll.slice(0, -1)
    this.#pulls = new PullInbox(access, logger, (msg) => this.#deliver(msg))
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
      watch.onDisconnect(() => this.#pulls.disconnected()),
      watch.onReconnect(() => this.#reconnected()),
    )
    this.#listen(access.names.subjects.wakeAll, (msg) => this.#wake(msg))
    void this.#sweep()
  }

  /** A function is served from now on, or can run again: what waits for it is looked at. */
  served(fn: HostedFunction): void {
    const depth = this.#depths.get(this.#context.access.names.subjects.queue(fn.ref)) ?? 0
    if (depth > 0) this.#workerOf(fn)?.swept(depth)
  }

  /** A function is served no longer. */
  unserved(fn: HostedFunction): void {
    const worker = this.#workers.get(fn.key)
    if (!worker) return
    ;(worker.runner as FunctionLane).gone()
    worker.stop()
    this.#workers.delete(fn.key)
    void worker.empty()
  }

  /** Somebody cancelled an invocation. `queued`: hosts that meet it later must know too. */
  cancel(namespace: string, id: string, queued: boolean): void {
    const { cancelled, dispatcher } = this.#context
    const held = this.#held(namespace, id)
    if (held || queued) cancelled.add(namespace, id)
    if (held && !dispatcher.has(id)) (held.worker.runner as FunctionLane).cancel(held.delivery)
    if (held || !queued || this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#storeCancelled(namespace, id)
    }, CANCEL_GRACE_MS)
    this.#timers.add(timer)
  }

  /** Pulls nothing more. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#sweepTimer)
    for (const timer of this.#timers) clearTimeout(timer)
    for (const unwatch of this.#unwatch) unwatch()
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
    for (const worker of this.#workers.values()) worker.stop()
  }

  /** Resolves when nothing is held any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.empty()))
  }

  /** Gives back at once what is held. */
  close(): void {
    this.stop()
    for (const worker of this.#workers.values()) worker.handBack()
    this.#workers.clear()
    this.#pulls.close()
  }

  #listen(subject: string, onMessage: (msg: RawMsg) => void): void {
    const logger = this.#logger
    const subscription = this.#context.access.nc.subscribe(subject, {
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

  #wake(msg: RawMsg): void {
    const ref = targetOfSubject(msg.subject, this.#wakeHead)
    const fn = ref && this.#catalog.served.get(`${ref.namespace}/${ref.name}`)
    // What nobody serves is for the sweep.
    if (fn) this.#workerOf(fn)?.wake()
  }

  #deliver(msg: RawMsg): void {
    const ref = targetOfSubject(msg.subject, this.#queueHead)
    const worker = ref && this.#workers.get(`${ref.namespace}/${ref.name}`)
    worker?.receive(msg)
  }

  #workerOf(fn: HostedFunction): Worker | undefined {
    if (this.#stopped) return undefined
    const known = this.#workers.get(fn.key)
    if (known) return known
    const worker = new Worker(
      {
        access: this.#context.access,
        pulls: this.#pulls,
        logger: this.#logger,
        onIdle: (idle) => {
          if (this.#workers.get(fn.key) === idle) this.#workers.delete(fn.key)
        },
      },
      (self) => new FunctionLane(this.#context, fn, self),
    )
    this.#workers.set(fn.key, worker)
    return worker
  }

  #reconnected(): void {
    for (const worker of this.#workers.values()) worker.reconnected()
    clearTimeout(this.#sweepTimer)
    void this.#sweep()
  }

  #sweep(): Promise<void> {
    this.#sweeping ??= this.#look().finally(() => {
      this.#sweeping = undefined
      clearTimeout(this.#sweepTimer)
      if (!this.#stopped) this.#sweepTimer = setTimeout(() => void this.#sweep(), this.#sweepMs)
    })
    return this.#sweeping
  }

  async #look(): Promise<void> {
    const { access, cancelled } = this.#context
    try {
      const depths = await queueDepths(access)
      // Before anything is pulled: what was cancelled while this host was away is not run.
      await cancelled.read(access)
      this.#depths = depths
      if (this.#problem) this.#logger.info("queue: works again")
      this.#problem = undefined
    } catch (thrown) {
      return this.#failed(FnError.from(thrown))
    }
    if (this.#stopped) return
    const { served } = this.#catalog
    for (const fn of served.values()) fn.queued = 0
    for (const [subject, depth] of this.#depths) {
      const ref = targetOfSubject(subject, this.#queueHead)
      const fn = ref && served.get(`${ref.namespace}/${ref.name}`)
      if (!fn) continue
      fn.queued = depth
      this.#workerOf(fn)?.swept(depth)
    }
  }

  #failed(error: FnError): void {
    // A connection that is down says nothing of the queue.
    if (error.reason === "DISCONNECTED" || this.#stopped) return
    if (this.#problem?.reason !== error.reason)
      this.#logger.warn("queue: this host does not work on it", { reason: error.reason, error: error.message })
    this.#problem = error
  }

  #held(namespace: string, id: string): { worker: Worker; delivery: Delivery } | undefined {
    for (const worker of this.#workers.values()) {
      if (worker.ref.namespace !== namespace) continue
      for (const delivery of worker.held.values()) if (delivery.invocationId === id) return { worker, delivery }
    }
    return undefined
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
