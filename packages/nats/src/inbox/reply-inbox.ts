/**
 * Replies by number: one wildcard subscription, a Map, and one timer for all deadlines.
 *
 * `nc.request()` builds an Error per call, successful ones included, and a timer; this costs a fifth of it. The subscription is made with the
 * first `open`, outlives reconnects (the client subscribes anew) and ends with `dispose`. A call in flight when the connection goes fails
 * at once: its reply, if any, went to the old socket's subject with nobody there. No callback can throw into the client's read
 * loop, which would leave the connection deaf.
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

/** What else to tell {@link ReplyInbox.open}. */
export interface OpenOptions {
  /**
   * No reply can come any more: the connection was lost (DISCONNECTED), or the server refuses the inbox or the question (NATS_PERMISSION).
   * The entry is closed then. Without it, an entry stays open through reconnects.
   */
  readonly onFailed?: (error: FnError) => void
  /** Where the question goes, to learn that the server refused it. */
  readonly questionSubject?: string
}

/** One request. */
export interface RequestOptions {
  /** Header lines made by core's `headerLine`. */
  readonly lines?: string | undefined
  readonly data?: Uint8Array | string | undefined
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Somebody who waits for messages on one number. */
interface Entry {
  readonly questionSubject: string | undefined
  receive(msg: RawMsg): void
  /** False: the entry stays. */
  fail(error: FnError): boolean
}

/** See the head of this file. */
export class ReplyInbox {
  readonly #nc: NatsConnection
  readonly #watch: ConnectionWatch
  readonly #log: Logger
  readonly #prefix: string
  readonly #entries = new Map<number, Entry>()
  readonly #sweep: DeadlineSweep<PendingRequest>
  readonly #unwatch: (() => void)[]
  #subscription: Subscription | undefined
  #lastToken = 0
  #disposed = false

  constructor(nc: NatsConnection, options: ReplyInboxOptions = {}) {
    this.#nc = nc
    this.#log = options.logger ?? noopLogger
    this.#prefix = `${options.prefix ?? inboxPrefixOf(nc)}.${newId()}.`
    this.#sweep = new DeadlineSweep((request) => request.expire())
    this.#watch = watchConnection(nc)
    this.#unwatch = [
      this.#watch.onDisconnect((error) => this.#failWhere(error, () => true)),
      this.#watch.onPublishDenied((subject, error) => this.#failWhere(error, (entry) => entry.questionSubject === subject)),
    ]
  }

  /** Whether there is a connection to send a question over. */
  get connected(): boolean {
    return this.#watch.connected
  }

  /** Entries that wait. */
  get size(): number {
    return this.#entries.size
  }

  /** A reply subject of its own; `onMessage` hears everything sent there until {@link close}. What it throws is logged. */
  open(onMessage: (msg: RawMsg) => void, options: OpenOptions = {}): { subject: string; token: number } {
    const { onFailed } = options
    const entry: Entry = {
      questionSubject: options.questionSubject,
      receive: onMessage,
      fail: (error) => {
        onFailed?.(error)
        return onFailed !== undefined
      },
    }
    const token = this.#add(entry)
    return { subject: this.#prefix + token, token }
  }

  /** Ends what {@link open} began. Later messages are dropped. */
  close(token: number): void {
    this.#entries.delete(token)
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
    this.#entries.clear()
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
      const request = new PendingRequest(this.#entries, this.#sweep, subject, resolve, reject)
      request.token = this.#add(request)
      try {
        publishRaw(this.#nc, subject, options.data, {
          reply: this.#prefix + request.token,
          headerBlock: options.lines ? headerBlock(options.lines) : undefined,
        })
      } catch (thrown) {
        request.fail(FnError.from(thrown))
        return
      }
      request.watch(timeoutMs, signal)
    })
  }

  #add(entry: Entry): number {
    if (this.#disposed) throw FnError.of("DISCONNECTED", "the reply inbox is closed")
    if (!this.#subscription) this.#subscribe()
    const token = ++this.#lastToken
    this.#entries.set(token, entry)
    return token
  }

  #subscribe(): void {
    const start = this.#prefix.length
    const subscription = this.#nc.subscribe(`${this.#prefix}*`, {
      callback: (refused, msg) => {
        if (refused) {
          if (this.#subscription === subscription) this.#subscription = undefined
          return this.#failWhere(fromNatsError(refused, "subscribing to the reply inbox"), () => true)
        }
        const entry = this.#entries.get(subjectNumber(msg, start))
        if (!entry) return // answered, expired or never ours
        try {
          entry.receive(msg)
        } catch (thrown) {
          this.#log.error("a reply callback threw", { error: messageOf(thrown) })
        }
      },
    })
    this.#subscription = subscription
  }

  #failWhere(error: FnError, matches: (entry: Entry) => boolean): void {
    for (const [token, entry] of this.#entries) {
      if (!matches(entry)) continue
      try {
        if (entry.fail(error)) this.#entries.delete(token)
      } catch (thrown) {
        this.#entries.delete(token)
        this.#log.error("a reply callback threw", { error: messageOf(thrown) })
      }
    }
  }
}

/** One `request()` on its way. */
class PendingRequest implements Entry {
  token = 0
  readonly questionSubject: string
  readonly #entries: Map<number, Entry>
  readonly #sweep: DeadlineSweep<PendingRequest>
  readonly #resolve: (msg: RawMsg) => void
  readonly #reject: (error: FnError) => void
  #slot = 0
  #timeoutMs = 0
  #unlisten: (() => void) | undefined

  constructor(
    entries: Map<number, Entry>,
    sweep: DeadlineSweep<PendingRequest>,
    subject: string,
    resolve: (msg: RawMsg) => void,
    reject: (error: FnError) => void,
  ) {
    this.#entries = entries
    this.#sweep = sweep
    this.questionSubject = subject
    this.#resolve = resolve
    this.#reject = reject
  }

  watch(timeoutMs: number, signal: AbortSignal | undefined): void {
    this.#timeoutMs = timeoutMs
    this.#slot = this.#sweep.add(this, performance.now() + timeoutMs)
    if (!signal) return
    const onAbort = (): void => void this.fail(FnError.from(signal.reason, "cancelled"))
    signal.addEventListener("abort", onAbort, { once: true })
    this.#unlisten = () => signal.removeEventListener("abort", onAbort)
  }

  receive(msg: RawMsg): void {
    this.#end()
    if (isNoResponders(msg)) this.#reject(FnError.of("NO_HOST", `nobody answers on ${this.questionSubject}`))
    else this.#resolve(msg)
  }

  fail(error: FnError): boolean {
    this.#end()
    this.#reject(error)
    return true
  }

  expire(): void {
    this.fail(FnError.of("DEADLINE_EXCEEDED", `no answer on ${this.questionSubject} within ${Math.round(this.#timeoutMs)} ms`))
  }

  #end(): void {
    this.#entries.delete(this.token)
    this.#sweep.delete(this, this.#slot)
    this.#unlisten?.()
  }
}

/** First tokens of inboxes of this connection: what it was made with, which only the client knows, else `_INBOX`. */
export function inboxPrefixOf(nc: NatsConnection): string {
  const { options } = nc as NatsConnection & { options?: { inboxPrefix?: unknown } }
  return typeof options?.inboxPrefix === "string" ? options.inboxPrefix : "_INBOX"
}
