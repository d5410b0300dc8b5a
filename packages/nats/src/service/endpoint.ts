import { CODES, errorBody, errorHeaderLines, FnError, headerBlock, type Logger, messageOf, newId } from "@fn/core"
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node"
import { fromNatsError } from "../connection/errors.js"
import { publishRaw } from "../inbox/raw.js"
import { isReplySubject } from "../inbox/reply-subject.js"

/** Something a service answers. */
export interface EndpointConfig {
  /** `[A-Za-z0-9_-]+`; the nats command addresses endpoints by it, so keep it stable. */
  readonly name: string
  readonly subject: string
  /** Default `q`; `""`: none, every instance hears every message. */
  readonly queueGroup?: string
  readonly metadata?: Readonly<Record<string, string>>
  /** Extra JSON for STATS. */
  readonly data?: () => unknown
  /**
   * Gets each message and calls {@link ServiceEndpoint.count} when its work is done. What it throws, or rejects with, is answered as an error
   * and counted.
   * Absent: the endpoint is only advertised and counted; its owner subscribes by itself.
   */
  readonly handler?: (msg: Msg, endpoint: ServiceEndpoint) => void | Promise<void>
}

/** Of INFO. */
export interface EndpointInfo {
  readonly name: string
  readonly subject: string
  readonly queue_group: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Of STATS; times in ns. */
export interface EndpointStats {
  readonly name: string
  readonly subject: string
  readonly queue_group: string
  readonly num_requests: number
  readonly num_errors: number
  readonly last_error: string
  readonly processing_time: number
  readonly average_processing_time: number
  readonly data: unknown
}

/** One piece of finished work. */
export interface Outcome {
  readonly durationMs: number
  /** Set when it failed: `500:what went wrong`. */
  readonly error?: string | undefined
}

const DEFAULT_QUEUE_GROUP = "q"

/** An endpoint of a running service, and its counters. */
export class ServiceEndpoint {
  readonly name: string
  readonly subject: string
  readonly queueGroup: string
  readonly #config: EndpointConfig
  readonly #log: Logger
  readonly #replyPrefixes: readonly string[] | undefined
  #subscription: Subscription | undefined
  #requests = 0
  #errors = 0
  #lastError = ""
  #processingMs = 0

  constructor(config: EndpointConfig, log: Logger, replyPrefixes?: readonly string[]) {
    this.name = config.name
    this.subject = config.subject
    this.queueGroup = config.queueGroup ?? DEFAULT_QUEUE_GROUP
    this.#config = config
    this.#log = log
    this.#replyPrefixes = replyPrefixes
  }

  /** Counts one request that is over: successful, or failed when `error` is there. */
  count(outcome: Outcome): void {
    this.#requests++
    this.#processingMs += outcome.durationMs
    if (outcome.error === undefined) return
    this.#errors++
    this.#lastError = outcome.error
  }

  /** Subscribes, if there is a handler. `onRefused` hears that the server does not allow it. */
  listen(nc: NatsConnection, onRefused: (error: FnError) => void): void {
    const { handler } = this.#config
    if (!handler) return
    this.#subscription = nc.subscribe(this.subject, {
      ...(this.queueGroup === "" ? {} : { queue: this.queueGroup }),
      callback: (refused, msg) => {
        if (refused) return onRefused(fromNatsError(refused, `subscribing to ${this.subject}`))
        const began = performance.now()
        const failed = (thrown: unknown): void => this.#threw(nc, msg, thrown, performance.now() - began)
        try {
          // Left alone, a rejection would end the process.
          const returned = handler(msg, this)
          if (returned instanceof Promise) returned.catch(failed)
        } catch (thrown) {
          failed(thrown)
        }
      },
    })
  }

  /** Ends the subscription once the messages it already got are handled. */
  async drain(): Promise<void> {
    const subscription = this.#subscription
    this.#subscription = undefined
    // Refused only when the connection or the subscription is closed already, which is what is wanted.
    await subscription?.drain().catch(() => undefined)
  }

  info(): EndpointInfo {
    return { name: this.name, subject: this.subject, queue_group: this.queueGroup, metadata: this.#config.metadata ?? {} }
  }

  stats(): EndpointStats {
    return {
      name: this.name,
      subject: this.subject,
      queue_group: this.queueGroup,
      num_requests: this.#requests,
      num_errors: this.#errors,
      last_error: this.#lastError,
      processing_time: Math.round(this.#processingMs * 1e6),
      average_processing_time: this.#requests === 0 ? 0 : Math.round((this.#processingMs * 1e6) / this.#requests),
      data: this.#data(),
    }
  }

  #data(): unknown {
    try {
      return this.#config.data?.() ?? {}
    } catch (thrown) {
      this.#log.error("the data of a service endpoint could not be read", { endpoint: this.name, error: messageOf(thrown) })
      return {}
    }
  }

  #threw(nc: NatsConnection, msg: Msg, thrown: unknown, durationMs: number): void {
    // What was not meant for a caller stays in the log, under an id that the caller gets.
    const error = FnError.is(thrown) ? thrown : new FnError("internal", "internal error", { cause: thrown, errorId: newId() })
    this.#log.error("a service handler threw", { endpoint: this.name, error: messageOf(thrown), errorId: error.errorId })
    this.count({ durationMs, error: `${CODES[error.code].http}:${error.message}` })
    if (!isReplySubject(msg.reply, this.#replyPrefixes)) return
    try {
      publishRaw(nc, msg.reply, errorBody(error), { headerBlock: headerBlock(errorHeaderLines(error)) })
    } catch (failure) {
      this.#log.error("a service error could not be answered", { endpoint: this.name, error: messageOf(failure) })
    }
  }
}
