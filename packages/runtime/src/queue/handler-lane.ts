/** Runs what the queue has for the platform's own work in one namespace: the lane of a QueueHandler. */
import { FnError, type FunctionRef, messageOf } from "@fn/core"
import type { HandlerOutcome, QueueHandler } from "../callbacks/queue-handler.js"
import type { QueueLane } from "./consumer.js"
import type { QueueContext } from "./context.js"
import type { Delivery } from "./delivery.js"
import { DEFAULT_QUEUE_SETTINGS, type ResolvedQueueSettings } from "./settings.js"
import { acknowledge } from "./tail.js"
import type { LaneRunner, Worker } from "./worker.js"

/** See the head of this file. */
export class HandlerLane implements LaneRunner {
  readonly ref: FunctionRef
  readonly lane: QueueLane
  readonly #context: QueueContext
  readonly #handler: QueueHandler
  readonly #worker: Worker
  readonly #settings: ResolvedQueueSettings
  /** Slots that run something, or are set aside. */
  #taken = 0

  constructor(context: QueueContext, handler: QueueHandler, namespace: string, worker: Worker) {
    this.#context = context
    this.#handler = handler
    this.#worker = worker
    this.ref = { namespace, name: handler.name }
    const head = context.access.names.subjects.queueAll.slice(0, -1)
    this.lane = { subject: `${head}${namespace}.${handler.name}`, consumer: `${namespace}=${handler.name}` }
    this.#settings = { ...DEFAULT_QUEUE_SETTINGS, attempts: handler.attempts, maxPending: undefined }
  }

  async prepare(): Promise<ResolvedQueueSettings> {
    return this.#settings
  }

  setAside(count: number): number {
    const taken = Math.min(count, this.#handler.concurrency - this.#taken)
    this.#taken += taken
    return taken
  }

  giveBack(count: number): void {
    this.#taken -= count
  }

  /** Beyond the slots when more came than was asked for: rare, and bounded by what one pull may bring. */
  run(delivery: Delivery, setAside: boolean): void {
    if (!setAside) this.#taken++
    void this.#run(delivery)
  }

  /** Nothing waits here for a slot. */
  cancel(): void {
    return undefined
  }

  /** A handler does not go away while the host is there. */
  gone(): void {
    return undefined
  }

  async #run(delivery: Delivery): Promise<void> {
    const { namespace } = this.ref
    const { attempt, seq, msg } = delivery
    const outcome = await this.#handler
      .run({ namespace, lines: delivery.lines(), data: msg.data, attempt, seq, signal: this.#context.closing })
      .catch((thrown: unknown): HandlerOutcome => {
        this.#context.logger.error("queue: a handler threw", { handler: this.#handler.name, error: messageOf(thrown) })
        return { kind: "retry", afterMs: 30_000, error: FnError.from(thrown) }
      })
    this.#taken--
    if (outcome.kind === "retry") return this.#worker.putOff(delivery, outcome.afterMs)
    if (outcome.kind === "gave-up") this.#context.counts.deadLetters++
    this.#worker.settling(delivery)
    await acknowledge(this.#context, delivery)
    this.#worker.done(delivery)
  }
}
