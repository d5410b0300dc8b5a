/**
 * Replies and results that are too large for a message: their body is stored apart, and the message names it. docs/protocol.md#large-events
 */
import { FnError, type Logger, messageOf, newId } from "@fn/core"
import { requestApi } from "@fn/nats"
import {
  CLAIM_CHECK_BYTES,
  DEFAULT_CLAIM_AGE_MS,
  DEFAULT_RESULT_AGE_MS,
  MAX_PAYLOAD_BYTES,
  type Payloads,
  payloadLines,
  payloadName,
  type QueueAccess,
} from "@fn/queue"
import type { Reply } from "../egress/reply.js"
import { StoredObjects } from "./stored-objects.js"

/** What large bodies go through. */
export interface PayloadOutboxOptions {
  readonly access: QueueAccess
  readonly payloads: Pick<Payloads, "put" | "delete">
  readonly logger: Logger
  /** The invocation is on this host until its reply has left: whoever asks must be told so. */
  readonly expect: (invocationId: string) => void
  readonly unexpect: (invocationId: string) => void
}

/** A reply as it can be sent. */
export interface FittingReply extends Reply {
  /** Object that has its body; undefined when it has it itself. */
  readonly object?: string
}

/** A caller has read its reply by then, or never will, ms. */
const REPLY_MS = 300_000
/** Bodies that are stored at once. */
const AT_ONCE = 4
/** Bodies in memory that are being stored or wait for it; functions can be faster than a stream. */
const MAX_HELD_BYTES = 536_870_912
/** Room for headers: what carries a body also carries these. */
const HEADER_BYTES = 8_192
const NOTHING = new Uint8Array(0)
const NS_PER_MS = 1_000_000

/** See the head of this file. */
export class PayloadOutbox {
  readonly #options: PayloadOutboxOptions
  readonly #objects: StoredObjects
  readonly #waiting: (() => void)[] = []
  #storing = 0
  #heldBytes = 0
  readonly #ages = new Map<string, number>()

  constructor(options: PayloadOutboxOptions) {
    this.#options = options
    this.#objects = new StoredObjects(options.payloads, options.logger)
  }

  /** Whether a body should travel apart. */
  isLarge({ body, lines }: Reply): boolean {
    if (body.length === 0) return false
    const limit = this.#options.access.nc.info?.max_payload ?? Number.POSITIVE_INFINITY
    return body.length > CLAIM_CHECK_BYTES || body.length + lines.length > Math.max(limit / 2, limit - HEADER_BYTES)
  }

  /**
   * A reply to somebody who reads it once.
   * @throws {FnError} OUTPUT_LIMIT for a body of more than 64 MiB; STORAGE_FULL, NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED
   */
  async reply(invocationId: string, reply: Reply): Promise<FittingReply> {
    if (!this.isLarge(reply)) return reply
    const { expect, unexpect } = this.#options
    expect(invocationId)
    try {
      return await this.#store(invocationId, reply, REPLY_MS)
    } finally {
      unexpect(invocationId)
    }
  }

  /** A result that is kept as long as results are; one of an idempotency key also as long as the key. @throws {FnError} as {@link reply} */
  async result(invocationId: string, result: Reply, { keyed }: { readonly keyed: boolean }): Promise<FittingReply> {
    if (!this.isLarge(result)) return result
    const { names } = this.#options.access
    const keptMs = await this.#ageMs(names.results, DEFAULT_RESULT_AGE_MS)
    // Whoever comes late with the same key is given the result anew.
    const claimedMs = keyed ? await this.#ageMs(names.claims, DEFAULT_CLAIM_AGE_MS) : 0
    return this.#store(invocationId, result, keptMs + claimedMs)
  }

  /** A reply that was stored and is not sent. */
  discard({ object }: FittingReply): void {
    if (object !== undefined) this.#objects.delete(object)
  }

  close(): void {
    this.#objects.close()
  }

  async #store(invocationId: string, { lines, body, contentType }: Reply, keepMs: number): Promise<FittingReply> {
    if (body.length > MAX_PAYLOAD_BYTES)
      throw FnError.of("OUTPUT_LIMIT", `the answer has ${body.length} bytes, more than ${MAX_PAYLOAD_BYTES}`)
    const { access, payloads } = this.#options
    // Never a name that was used: another attempt's result may be being read.
    const object = payloadName(invocationId, "out", newId())
    await this.#inTurn(body.length, () => payloads.put(object, body))
    this.#objects.expire(object, keepMs)
    const where = payloadLines({ bucket: access.names.payloads, name: object }, body.length, contentType)
    return { lines: lines + where, body: NOTHING, object }
  }

  async #inTurn(sizeBytes: number, store: () => Promise<void>): Promise<void> {
    if (this.#heldBytes > 0 && this.#heldBytes + sizeBytes > MAX_HELD_BYTES)
      throw FnError.of("OUTPUT_LIMIT", `this host has ${this.#heldBytes} bytes of large replies to store already`, { retryable: true })
    this.#heldBytes += sizeBytes
    if (this.#storing >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#storing++
    try {
      await store()
    } finally {
      this.#heldBytes -= sizeBytes
      const next = this.#waiting.shift()
      if (next) next()
      else this.#storing--
    }
  }

  /** How long a stream keeps its messages; looked up once. */
  async #ageMs(stream: string, fallbackMs: number): Promise<number> {
    const known = this.#ages.get(stream)
    if (known !== undefined) return known
    const { inbox, jsDomain } = this.#options.access
    try {
      const { config } = await requestApi<{ config: { max_age: number } }>(inbox, `STREAM.INFO.${stream}`, { jsDomain })
      this.#ages.set(stream, config.max_age / NS_PER_MS)
      return config.max_age / NS_PER_MS
    } catch (thrown) {
      this.#options.logger.debug("age of a stream not known", { stream, error: messageOf(thrown) })
      return fallbackMs
    }
  }
}
