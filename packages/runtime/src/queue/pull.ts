/**
 * Pulls of a host: one subscription for the answers to all of them.
 *
 * A delivered message keeps the subject it was stored under, which names the function; what ends a pull comes to the subject the pull
 * was made with, which names the pull. So the client's own multiplexed inbox, which knows nothing but its own subjects, will not do.
 * A pull is a one-shot (`no_wait`): it ends when the batch is full or nothing more is there at this moment. None is ever left waiting at
 * the server: it would keep slots from callers, and would have to be cancelled.
 */
import { type Logger, messageOf, newId } from "@fn/core"
import { apiSubject, inboxPrefixOf, publishRaw, type RawMsg, rawHeaders, statusOf } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { Subscription } from "@nats-io/transport-node"

/** How a pull ended. */
export type PullEnd = "full" | "empty" | "no-consumer" | "silent" | "disconnected"

/** One pull. */
export interface PullRequest {
  readonly subject: string
  readonly consumer: string
  readonly batch: number
  /** Once, when no more messages of this pull can come. `received` came. */
  readonly onEnd: (end: PullEnd, received: number) => void
}

interface OpenPull {
  readonly number: number
  readonly request: PullRequest
  received: number
  readonly timer: NodeJS.Timeout
}

/** How long a pull may be silent, ms: 2.9 does not say that a consumer is missing. */
const SILENCE_MS = 2_000

/** See the head of this file. */
export class PullInbox {
  readonly #access: QueueAccess
  readonly #logger: Logger
  readonly #onMessage: (msg: RawMsg) => void
  readonly #prefix: string
  readonly #byNumber = new Map<number, OpenPull>()
  readonly #bySubject = new Map<string, OpenPull>()
  #subscription: Subscription | undefined
  #last = 0

  /** `onMessage` gets every delivery, also of a pull that has ended. Must not throw. */
  constructor(access: QueueAccess, logger: Logger, onMessage: (msg: RawMsg) => void) {
    this.#access = access
    this.#logger = logger
    this.#onMessage = onMessage
    this.#prefix = `${inboxPrefixOf(access.nc)}.${newId()}.`
  }

  /** Starts a pull; one at a time for a subject. @throws {FnError} DISCONNECTED when the connection is closed */
  pull(request: PullRequest): void {
    this.#subscription ??= this.#subscribe()
    const { nc, names, jsDomain } = this.#access
    const { subject, consumer, batch } = request
    const number = ++this.#last
    const timer = setTimeout(() => this.#end(number, "silent"), SILENCE_MS)
    const pull: OpenPull = { number, request, received: 0, timer }
    this.#byNumber.set(number, pull)
    this.#bySubject.set(subject, pull)
    publishRaw(nc, apiSubject(`CONSUMER.MSG.NEXT.${names.queue}.${consumer}`, jsDomain), `{"batch":${batch},"no_wait":true}`, {
      reply: this.#prefix + number,
    })
  }

  /** The connection is lost: no answer can come. */
  disconnected(): void {
    for (const number of [...this.#byNumber.keys()]) this.#end(number, "disconnected")
  }

  /** Ends the subscription and forgets all pulls. */
  close(): void {
    for (const { timer } of this.#byNumber.values()) clearTimeout(timer)
    this.#byNumber.clear()
    this.#bySubject.clear()
    this.#subscription?.unsubscribe()
  }

  #subscribe(): Subscription {
    return this.#access.nc.subscribe(`${this.#prefix}*`, {
      callback: (refused, msg) => {
        if (refused) return this.#logger.error("queue: the inbox of pulls is refused", { error: refused.message })
        try {
          this.#receive(msg)
        } catch (thrown) {
          this.#logger.error("queue: a delivery was not taken", { error: messageOf(thrown) })
        }
      },
    })
  }

  #receive(msg: RawMsg): void {
    if (msg.subject.startsWith(this.#prefix)) return this.#ended(msg)
    const pull = this.#bySubject.get(msg.subject)
    if (pull) pull.received++
    this.#onMessage(msg)
    if (pull && pull.received >= pull.request.batch) this.#end(pull.number, "full")
  }

  #ended(msg: RawMsg): void {
    const block = rawHeaders(msg)
    const status = block ? statusOf(block) : 0
    if (status === 100) return // idle heartbeat, never asked for
    const number = Number(msg.subject.slice(this.#prefix.length))
    // 404 and 408 say that there is nothing (more). 503 and 409: no such consumer, it was deleted, or it is changing leaders.
    this.#end(number, status === 404 || status === 408 ? "empty" : "no-consumer")
  }

  #end(number: number, end: PullEnd): void {
    const pull = this.#byNumber.get(number)
    if (!pull) return
    clearTimeout(pull.timer)
    this.#byNumber.delete(number)
    const { subject } = pull.request
    if (this.#bySubject.get(subject) === pull) this.#bySubject.delete(subject)
    pull.request.onEnd(end, pull.received)
  }
}
