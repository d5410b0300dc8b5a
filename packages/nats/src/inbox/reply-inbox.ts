/**
 * Replies by number: one wildcard subscription, a slab, and one timer for all deadlines.
 *
 * `nc.request()` builds an Error per call, successful ones included, and a timer; this costs a fifth of it. The subscription is made with the
 * first `open`, outlives reconnects (the client subscribes anew) and ends with `dispose`. A call in flight when the connection goes fails
 * at once: its reply, if any, went to the old socket's subject with nobody there. No callback can throw into the client's read
 * loop, which would leave the connection deaf.
 *
 * A number is used again at once, but under a new subject, unless who used it says that no second reply can come: then also the subject is,
 * which saves the server a look through all subscriptions (it remembers the last thousand subjects). docs/adr/0014
 */
import { DeadlineSweep, FnError, headerBlock, type Logger, messageOf, newId, noopLogger } from "@fn/core"
import type { NatsConnection, Subscription } from "@nats-io/transport-node"
import { fromNatsError } from "../connection/errors.js"
import { type ConnectionWatch, watchConnection } from "../connection/watch.js"
import { isNoResponders, publishRaw, type RawMsg, subjectNumber } from "./raw.js"

/** How long a call made while the connection is down waits for it, at most. */
export const RECONNECT_WAIT_MS = 2_000

/** Settings of a {@link ReplyInbox}. */
export interface ReplyInboxOptions {
  /** First tokens of the subject. Default: what the connection was made with, else `_INBOX`. */
  readonly prefix?: string
  /** Hears of callbacks that throw. Default: nobody. */
  readonly logger?: Logger
}

/** Somebody who waits for messages on a subject of its own. */
export interface InboxListener {
  /** Where the question goes, to learn that the server refused it. */
  readonly questionSubject?: string | undefined
  /** Hears everything sent to the subject until it is closed. What it throws is logged. */
  onMessage(msg: RawMsg): void
  /**
   * No reply can come any more: the connection was lost (DISCONNECTED), or the server refuses the inbox or the question (NATS_PERMISSION).
   * The subject is closed then. Without it, it stays open through reconnects.
   */
  onFailed?(error: FnError): void
}

/** One request. */
export interface RequestOptions {
  /** Header lines made by core's `headerLine`. */
  readonly lines?: string | undefined
  readonly data?: Uint8Array | string | undefined
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** A listener under its number. Kept for the number's next listener. */
class Entry {
  readonly slot: number
  listener: InboxListener | undefined
  /** How many subjects the slot has had. */
  generation = 0
  token: number
  subject = ""

  constructor(slot: number) {
    this.slot = slot
    this.token = slot
  }
}

/** Listeners at once, and subjects a slot has before they begin anew: their product is what a number can hold. */
const SLOTS = 2 ** 20
const GENERATIONS = 2 ** 32

/** See the head of this file. */
export class ReplyInbox {
  readonly #nc: NatsConnection
  readonly #watch: ConnectionWatch
  readonly #log: Logger
  readonly #prefix: string
  readonly #entries: Entry[] = []
  /** Entries without a listener. The first slot stays empty: no token is 0. */
  readonly #free: Entry[] = []
  readonly #sweep: DeadlineSweep<PendingRequest>
  readonly #unwatch: (() => void)[]
  #subscription: Subscription | undefined
  #disposed = false

  constructor(nc: NatsConnection, options: ReplyInboxOptions = {}) {
    this.#nc = nc
    this.#log = options.logger ?? noopLogger
    this.#prefix = `${options.prefix ?? inboxPrefixOf(nc)}.${newId()}.`
    this.#sweep = new DeadlineSweep((request) => request.expire())
    this.#watch = watchConnection(nc)
    this.#unwatch = [
      this.#watch.onDisconnect((error) => this.#failWhere(error, () => true)),
      this.#watch.onPublishDenied((subject, error) => this.#failWhere(error, (listener) => listener.questionSubject === subject)),
    ]
  }

  /** Whether there is a connection to send a question over. */
  get connected(): boolean {
    return this.#watch.connected
  }

  /** Entries that wait. */
  get size(): number {
    return this.#entries.length - this.#free.length
  }

  /** A reply subject of its own, until {@link close}: its number, more than 0. @throws {FnError} DISCONNECTED, QUEUE_FULL for the millionth at once */
  open(listener: InboxListener): number {
    if (this.#disposed) throw FnError.of("DISCONNECTED", "the reply inbox is closed")
    if (!this.#subscription) this.#subscribe()
    const entry = this.#free.pop() ?? this.#grow()
    entry.listener = listener
    return entry.token
  }

  /** The subject of a number that {@link open} gave. */
  subjectOf(token: number): string {
    const entry = this.#entryOf(token)
    if (!entry) throw FnError.of("INTERNAL", `nothing is open under ${token}`)
    entry.subject ||= this.#prefix + token
    return entry.subject
  }

  /**
   * Ends what {@link open} began. Later messages are dropped. `isQuiet`: there will be none, so that the subject can be the next listener's.
   * Nothing happens when it is closed already.
   */
  close(token: number, { isQuiet = false }: { isQuiet?: boolean } = {}): void {
    const entry = this.#entryOf(token)
    if (!entry) return
    entry.listener = undefined
    if (!isQuiet) {
      entry.generation = (entry.generation + 1) % GENERATIONS
      entry.token = entry.generation * SLOTS + entry.slot
      entry.subject = ""
    }
    this.#free.push(entry)
  }

  /**
   * Resolves when there is a connection, after at most {@link RECONNECT_WAIT_MS} or `timeoutMs`.
   * @throws {FnError} unavailable DISCONNECTED; cancelled CANCELLED
   */
  untilConnected(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return this.#watch.untilConnected({ timeoutMs: Math.min(timeoutMs, RECONNECT_WAIT_MS), signal })
  }

  /**
   * One question, one reply; error headers in the reply are the caller's to read.
   * @throws {FnError} unavailable NO_HOST when nobody listens, DISCONNECTED; deadline_exceeded; cancelled; PAYLOAD_TOO_LARGE; NATS_PERMISSION
   */
  request(subject: string, options: RequestOptions): Promise<RawMsg> {
    return this.#watch.connected ? this.#send(subject, options, options.timeoutMs) : this.#sendLater(subject, options)
  }

  /** Ends the subscription; who still waits fails with DISCONNECTED. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    for (const unwatch of this.#unwatch) unwatch()
    this.#failWhere(FnError.of("DISCONNECTED", "the reply inbox is closed"), () => true)
    for (const { listener, token } of this.#entries) if (listener) this.close(token)
    this.#sweep.close()
    this.#subscription?.unsubscribe()
    this.#subscription = undefined
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  async #sendLater(subject: string, options: RequestOptions): Promise<RawMsg> {
    const began = performance.now()
    await this.untilConnected(options.timeoutMs, options.signal)
    return this.#send(subject, options, Math.max(1, options.timeoutMs - (performance.now() - began)))
  }

  #send(subject: string, options: RequestOptions, timeoutMs: number): Promise<RawMsg> {
    return new Promise((resolve, reject) => {
      const { signal } = options
      if (signal?.aborted) return reject(FnError.from(signal.reason, "cancelled"))
      const request = new PendingRequest(this, this.#sweep, subject, resolve, reject)
      request.token = this.open(request)
      try {
        publishRaw(this.#nc, subject, options.data, {
          reply: this.subjectOf(request.token),
          headerBlock: options.lines ? headerBlock(options.lines) : undefined,
        })
      } catch (thrown) {
        request.onFailed(FnError.from(thrown))
        return
      }
      request.watch(timeoutMs, signal)
    })
  }

  #grow(): Entry {
    const slot = this.#entries.length + 1
    if (slot >= SLOTS) throw FnError.of("QUEUE_FULL", `${SLOTS} requests wait for their replies on this connection`)
    const entry = new Entry(slot)
    this.#entries.push(entry)
    return entry
  }

  /** The entry that is open under this very number. */
  #entryOf(token: number): Entry | undefined {
    const entry = this.#entries[(token % SLOTS) - 1]
    return entry?.listener !== undefined && entry.token === token ? entry : undefined
  }

  #subscribe(): void {
    const start = this.#prefix.length
    const subscription = this.#nc.subscribe(`${this.#prefix}*`, {
      callback: (refused, msg) => {
        if (refused) {
          if (this.#subscription === subscription) this.#subscription = undefined
          return this.#failWhere(fromNatsError(refused, "subscribing to the reply inbox"), () => true)
        }
        const entry = this.#entryOf(subjectNumber(msg, start))
        if (!entry) return // answered, expired or never ours
        try {
          entry.listener?.onMessage(msg)
        } catch (thrown) {
          this.#log.error("a reply callback threw", { error: messageOf(thrown) })
        }
      },
    })
    this.#subscription = subscription
  }

  #failWhere(error: FnError, matches: (listener: InboxListener) => boolean): void {
    const failed = this.#entries.flatMap(({ listener, token }) => (listener?.onFailed && matches(listener) ? [{ listener, token }] : []))
    for (const { listener, token } of failed) {
      if (!this.#entryOf(token)) continue // another's failure ended it
      this.close(token)
      try {
        listener.onFailed?.(error)
      } catch (thrown) {
        this.#log.error("a reply callback threw", { error: messageOf(thrown) })
      }
    }
  }
}

/** One `request()` on its way. */
class PendingRequest implements InboxListener {
  token = 0
  readonly questionSubject: string
  readonly #inbox: ReplyInbox
  readonly #sweep: DeadlineSweep<PendingRequest>
  readonly #resolve: (msg: RawMsg) => void
  readonly #reject: (error: FnError) => void
  #slot = 0
  #timeoutMs = 0
  #unlisten: (() => void) | undefined

  constructor(
    inbox: ReplyInbox,
    sweep: DeadlineSweep<PendingRequest>,
    subject: string,
    resolve: (msg: RawMsg) => void,
    reject: (error: FnError) => void,
  ) {
    this.#inbox = inbox
    this.#sweep = sweep
    this.questionSubject = subject
    this.#resolve = resolve
    this.#reject = reject
  }

  watch(timeoutMs: number, signal: AbortSignal | undefined): void {
    this.#timeoutMs = timeoutMs
    this.#slot = this.#sweep.add(this, performance.now() + timeoutMs)
    if (!signal) return
    const onAbort = (): void => void this.onFailed(FnError.from(signal.reason, "cancelled"))
    signal.addEventListener("abort", onAbort, { once: true })
    this.#unlisten = () => signal.removeEventListener("abort", onAbort)
  }

  onMessage(msg: RawMsg): void {
    this.#end()
    if (isNoResponders(msg)) this.#reject(FnError.of("NO_HOST", `nobody answers on ${this.questionSubject}`))
    else this.#resolve(msg)
  }

  onFailed(error: FnError): void {
    this.#end()
    this.#reject(error)
  }

  expire(): void {
    this.onFailed(FnError.of("DEADLINE_EXCEEDED", `no answer on ${this.questionSubject} within ${Math.round(this.#timeoutMs)} ms`))
  }

  #end(): void {
    this.#inbox.close(this.token)
    this.#sweep.delete(this, this.#slot)
    this.#unlisten?.()
  }
}

/** First tokens of inboxes of this connection: what it was made with, which only the client knows, else `_INBOX`. */
export function inboxPrefixOf(nc: NatsConnection): string {
  const { options } = nc as NatsConnection & { options?: { inboxPrefix?: unknown } }
  return typeof options?.inboxPrefix === "string" ? options.inboxPrefix : "_INBOX"
}
