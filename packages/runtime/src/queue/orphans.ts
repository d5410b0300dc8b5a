/**
 * What no function of this host will take: invocations of functions that are gone or never were, those that waited too long for any host,
 * and those the server stopped delivering. All become dead letters, with a failed result.
 *
 * Every host does this for every function; that it is done once is held by the message id of the dead letter and the first result winning.
 * Neighbours: queue.ts says what its sweep found, tail.ts settles.
 */
import { FnError, type FunctionRef, type Logger, messageOf } from "@fn/core"
import { findMessage, type StoredMessage } from "@fn/nats"
import { consumerName } from "@fn/queue"
import type { Registry } from "@fn/registry"
import { consumerState, deleteConsumer, deleteMessage, type QueueLane, queueDepths } from "./consumer.js"
import type { QueueContext } from "./context.js"
import { type Delivery, StoredInvocation, waitedMs } from "./delivery.js"
import { DEFAULT_QUEUE_SETTINGS, type ResolvedQueueSettings, resolveQueueSettings } from "./settings.js"
import { acknowledge, settle } from "./tail.js"
import { exhausted } from "./verdict.js"
import type { LaneRunner, Worker } from "./worker.js"

/** Orphans that are given up at once on this host. */
const AT_ONCE = 32
/** How often the oldest invocation of a function nobody here serves is looked at, ms. */
const AGE_CHECK_MS = 30_000
/** Attempt that a message would have had which was never delivered, as far as is known. */
const FIRST = 1
const NO_BOUND = Number.POSITIVE_INFINITY

/** Takes what a function that is not there has in the queue, and gives it up. */
export class OrphanLane implements LaneRunner {
  readonly ref: FunctionRef
  readonly lane: QueueLane
  readonly #context: QueueContext
  readonly #worker: Worker
  readonly #error: FnError
  #taken = 0

  constructor(context: QueueContext, ref: FunctionRef, error: FnError, worker: Worker) {
    this.#context = context
    this.#worker = worker
    this.#error = error
    this.ref = ref
    this.lane = { subject: context.access.names.subjects.queue(ref), consumer: consumerName(ref) }
  }

  async prepare(): Promise<ResolvedQueueSettings> {
    // Whatever was delivered before, and how often, is delivered once more.
    return { ...DEFAULT_QUEUE_SETTINGS, attempts: 1_000, maxPending: undefined }
  }

  setAside(count: number): number {
    const taken = Math.min(count, AT_ONCE - this.#taken)
    this.#taken += taken
    return taken
  }

  giveBack(count: number): void {
    this.#taken -= count
  }

  run(delivery: Delivery, setAside: boolean): void {
    if (!setAside) this.#taken++
    void this.#run(delivery)
  }

  cancel(): void {
    return undefined
  }

  gone(): void {
    return undefined
  }

  async #run(delivery: Delivery): Promise<void> {
    const context = this.#context
    this.#worker.settling(delivery)
    await settle(
      context,
      delivery,
      { kind: "error", error: this.#error, unrun: true },
      { acknowledge: () => acknowledge(context, delivery) },
    )
    this.#taken--
    this.#worker.done(delivery)
  }
}

/** See the head of this file. */
export class Orphans {
  readonly #context: QueueContext
  readonly #registry: Registry
  readonly #logger: Logger
  readonly #nextAgeCheck = new Map<string, number>()
  /** Consumers of functions that are gone, and the subjects they are for. */
  readonly #left = new Map<string, string>()

  constructor(context: QueueContext, registry: Registry) {
    this.#context = context
    this.#registry = registry
    this.#logger = context.logger
  }

  /** Why a function cannot take its invocations: it was deleted, or nobody ever deployed it. Undefined when it is there. */
  async reason(ref: FunctionRef): Promise<FnError | undefined> {
    if (await this.#registry.findFunction(ref)) return undefined
    const key = `${ref.namespace}/${ref.name}`
    const existed = (await this.#registry.history(ref)).length > 0
    return existed
      ? FnError.of("FUNCTION_DELETED", `${key} was deleted while the invocation waited`)
      : FnError.of("FUNCTION_NOT_FOUND", `there is no function ${key}`)
  }

  /** Nothing of a function that is gone is left to be given up: its consumer can go, when what still runs of it has ended. */
  async leave(ref: FunctionRef): Promise<void> {
    this.#left.set(consumerName(ref), this.#context.access.names.subjects.queue(ref))
    await this.removeConsumers()
  }

  /** A function is there again, and keeps its consumer. */
  returned(ref: FunctionRef): void {
    this.#left.delete(consumerName(ref))
  }

  /** Removes the consumers that are not needed any more. */
  async removeConsumers(): Promise<void> {
    const { access } = this.#context
    for (const [consumer, subject] of [...this.#left]) {
      // By the stream: the consumer still counts what was put off and has been deleted since.
      if ((await queueDepths(access, subject)).size > 0 || !this.#left.has(consumer)) continue
      await deleteConsumer(access, consumer)
      this.#left.delete(consumer)
    }
  }

  /** Gives up what waited too long for a function that no host may be able to run. */
  async expire(ref: FunctionRef, subject: string): Promise<void> {
    const now = Date.now()
    if ((this.#nextAgeCheck.get(subject) ?? 0) > now) return
    this.#nextAgeCheck.set(subject, now + AGE_CHECK_MS)
    const definition = await this.#registry.findDefinition(ref)
    if (!definition) return
    const { maxAgeMs } = resolveQueueSettings(definition, this.#context.defaults)
    // Somebody may have what was delivered: age is for those nobody wants.
    const state = await consumerState(this.#context.access, consumerName(ref))
    if (state && state.ackPending > 0) return
    const isExpired = (invocation: StoredInvocation): FnError | undefined => {
      const limitMs = invocation.settings.maxAgeMs ?? maxAgeMs
      const waited = waitedMs(invocation)
      return waited > limitMs ? FnError.of("EXPIRED", `the invocation waited ${waited} ms, longer than its ${limitMs} ms`) : undefined
    }
    await this.#giveUpEach(ref, subject, NO_BOUND, isExpired)
  }

  /** Gives up everything under a subject that names nothing a message could be for. */
  async clear(ref: FunctionRef, subject: string): Promise<void> {
    const error = FnError.of("FUNCTION_NOT_FOUND", `no function can be called as in ${subject}`)
    await this.#giveUpEach(ref, subject, NO_BOUND, () => error)
  }

  /**
   * The sequence up to which the server has delivered everything as often as it may, though messages are in the queue: whoever got them
   * died each time. Undefined when it is not so.
   */
  async stuckTo(consumer: string): Promise<number | undefined> {
    const state = await consumerState(this.#context.access, consumer)
    return state && state.pending === 0 && state.ackPending === 0 ? state.deliveredSeq : undefined
  }

  /** Gives up what is stuck up to sequence `to`. */
  async giveUpStuck(ref: FunctionRef, subject: string, to: number): Promise<void> {
    await this.#giveUpEach(ref, subject, to, () => exhausted())
  }

  /** Gives up one message the server says it delivers no more. */
  async giveUpDelivered(seq: number, deliveries: number, refOf: (subject: string) => FunctionRef | undefined): Promise<void> {
    const message = await this.#find(seq)
    const ref = message && refOf(message.subject)
    // What a handler gave up is its own to tell.
    if (ref) await this.#giveUp(new StoredInvocation(ref, message, deliveries + 1), exhausted())
  }

  /** Gives up one message, if it is still there. */
  async giveUpStored(ref: FunctionRef, seq: number, error: FnError): Promise<void> {
    const message = await this.#find(seq)
    if (message) await this.#giveUp(new StoredInvocation(ref, message, FIRST), error)
  }

  #find(seq: number): Promise<StoredMessage | undefined> {
    const { inbox, names, jsDomain } = this.#context.access
    return findMessage(inbox, names.queue, { seq }, { jsDomain, fromLeader: true })
  }

  async #giveUpEach(
    ref: FunctionRef,
    subject: string,
    to: number,
    why: (invocation: StoredInvocation) => FnError | undefined,
  ): Promise<void> {
    const { inbox, names, jsDomain } = this.#context.access
    for (let from = 1; !this.#context.closing.aborted; ) {
      const message = await findMessage(inbox, names.queue, { nextOf: subject, from }, { jsDomain, fromLeader: true })
      if (!message || message.seq > to) return
      const invocation = new StoredInvocation(ref, message, FIRST)
      const error = why(invocation)
      if (!error) return
      await this.#giveUp(invocation, error)
      from = message.seq + 1
    }
  }

  async #giveUp(invocation: StoredInvocation, error: FnError): Promise<void> {
    const context = this.#context
    await settle(
      context,
      invocation,
      { kind: "error", error, unrun: true },
      {
        acknowledge: () =>
          deleteMessage(context.access, invocation.seq).catch((thrown: unknown) =>
            // It is found again, and its dead letter is there by then.
            this.#logger.debug("queue: message not deleted", { seq: invocation.seq, error: messageOf(thrown) }),
          ),
      },
    )
  }
}
