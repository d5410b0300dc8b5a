/**
 * Delivers results to their callbacks: what waits on `function.queue.{namespace}.=callback`.
 *
 * Whatever fails is retried by one rule for all kinds of callback, then dead-lettered with the function it was for; what can never work
 * is dead-lettered at once. docs/protocol.md#callbacks
 */
import {
  binaryHeaderLines,
  CALLBACK_TOKEN,
  encodeStructured,
  FnError,
  type FunctionRef,
  Header,
  headerLine,
  type Logger,
  MAX_HOPS,
  newId,
  type WireEvent,
} from "@fn/core"
import { fromNatsError, publishLines } from "@fn/nats"
import {
  addDeadLetter,
  CLAIM_CHECK_BYTES,
  enqueue,
  invocationLines,
  keyedInvocationId,
  type Payloads,
  parsePayloadRef,
  payloadLines,
  payloadName,
  type QueueAccess,
} from "@fn/queue"
import { type CallbackMessage, callbackEvent, readCallback } from "./callback-message.js"
import { type CallbackTarget, parseCallback, refused } from "./callback-target.js"
import type { HttpPolicy } from "./http-policy.js"
import { postEvent } from "./post-event.js"
import type { HandlerDelivery, HandlerOutcome, QueueHandler } from "./queue-handler.js"
import { CALLBACK_RETRY, type CallbackRetry, callbackDelayMs } from "./response-codes.js"

/** What deliveries go through. */
export interface CallbackHandlerOptions {
  readonly access: QueueAccess
  readonly payloads: Pick<Payloads, "get" | "put" | "delete">
  readonly policy: HttpPolicy
  /** Whether there is such a function on the platform. */
  readonly knows: (ref: FunctionRef) => boolean
  /** Callbacks to functions of other namespaces. */
  readonly crossNamespace: boolean
  readonly logger: Logger
  readonly retry?: CallbackRetry | undefined
}

/** Posts of one namespace at once: a slow receiver must not hold up those of others for long. */
const CONCURRENCY = 64
/** Pause when even the dead letter could not be stored, ms. */
const STORE_AGAIN_MS = 5_000
/** Room for the headers of a message whose data is nearly as large as the server takes. */
const HEADER_BYTES = 8_192
const NOTHING = new Uint8Array(0)

/** See the head of this file. */
export class CallbackHandler implements QueueHandler {
  readonly name: string = CALLBACK_TOKEN
  readonly concurrency: number = CONCURRENCY
  readonly attempts: number
  readonly #options: CallbackHandlerOptions
  readonly #retry: CallbackRetry

  constructor(options: CallbackHandlerOptions) {
    this.#options = options
    this.#retry = options.retry ?? CALLBACK_RETRY
    this.attempts = this.#retry.attempts
  }

  async run(delivery: HandlerDelivery): Promise<HandlerOutcome> {
    const { logger } = this.#options
    let message: CallbackMessage
    try {
      message = readCallback(delivery.lines, delivery.namespace)
    } catch (thrown) {
      const error = FnError.from(thrown)
      // It names no function whose dead letter it could be.
      logger.error("callback not understood", { namespace: delivery.namespace, seq: delivery.seq, error: error.message })
      return { kind: "gave-up", error }
    }
    try {
      await this.#deliver(message, delivery)
      return { kind: "done" }
    } catch (thrown) {
      return this.#failed(message, delivery, FnError.from(thrown))
    }
  }

  async #deliver(message: CallbackMessage, { data, signal }: HandlerDelivery): Promise<void> {
    const target = parseCallback(message.callback, message.ref.namespace)
    this.#check(message, target)
    const event = callbackEvent(message, message.payloadRef === undefined ? data : await this.#stored(message.payloadRef))
    switch (target.kind) {
      case "http": {
        const body = Buffer.from(encodeStructured(event))
        return postEvent({ url: target.url, body, idempotencyKey: message.invocationId, policy: this.#options.policy, signal })
      }
      case "event":
        return this.#publish(message, target.type, event)
      case "function":
        return this.#invoke(message, target.ref, event)
    }
  }

  /** What can be refused before anything is read. @throws {FnError} CALLBACK_REFUSED */
  #check(message: CallbackMessage, target: CallbackTarget): void {
    const { policy, crossNamespace, knows } = this.#options
    if (target.kind === "http") return policy.check(target.url)
    if (message.hops + 1 > MAX_HOPS) throw refused(message.callback, `the event has passed ${message.hops} functions already`)
    if (target.kind === "event") return
    const { ref } = target
    if (ref.namespace !== message.ref.namespace && !crossNamespace) throw refused(message.callback, "it is of another namespace")
    if (!knows(ref)) throw refused(message.callback, `there is no function ${ref.namespace}/${ref.name}`)
  }

  async #stored(payloadRef: string): Promise<Uint8Array> {
    const { access, payloads } = this.#options
    const { bucket, name } = parsePayloadRef(payloadRef)
    if (bucket !== access.names.payloads) throw FnError.of("PAYLOAD_NOT_FOUND", `results are not stored in ${bucket}`)
    return payloads.get(name)
  }

  /** A core message; whoever wants it kept has a stream on its subject, which stores a repeated one once. */
  async #publish(message: CallbackMessage, type: string, event: WireEvent): Promise<void> {
    const { nc, names } = this.#options.access
    const { namespace } = message.ref
    const lines =
      headerLine("Nats-Msg-Id", `${namespace}.${message.invocationId}:callback`) +
      headerLine(Header.invocationId, message.invocationId) +
      headerLine(Header.hops, message.hops + 1) +
      binaryHeaderLines(event.attributes)
    try {
      publishLines(nc, names.subjects.event(namespace, type), lines, event.data ?? NOTHING)
      // Published is not yet taken: a connection that is down loses it.
      await nc.flush()
    } catch (thrown) {
      const error = fromNatsError(thrown, "publishing the callback")
      if (error.reason !== "PAYLOAD_TOO_LARGE") throw error
      throw FnError.of("CALLBACK_FAILED", `the result is too large for an event: ${error.message}`, { retryable: false, cause: error })
    }
  }

  /** A durable invocation whose id follows from the one that caused it: however often it is stored, it runs once. */
  async #invoke(message: CallbackMessage, ref: FunctionRef, event: WireEvent): Promise<void> {
    const { access, payloads } = this.#options
    const cause = message.ref
    const invocationId = keyedInvocationId(ref, `callback of ${cause.namespace}/${cause.name} ${message.invocationId}`)
    const settings = invocationLines({ invocationId, keyed: true, hops: message.hops + 1 })
    const eventLines = binaryHeaderLines(event.attributes)
    const data = event.data ?? NOTHING
    if (data.length <= Math.min(CLAIM_CHECK_BYTES, (access.nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADER_BYTES)) {
      await enqueue(access, { ref, lines: settings + eventLines, data })
      return
    }
    // Each attempt has an object of its own: one that is overwritten could be being read.
    const name = payloadName(invocationId, "in", newId())
    const bodyLines = payloadLines({ bucket: access.names.payloads, name }, data.length, event.attributes.datacontenttype)
    await payloads.put(name, data)
    const { duplicate } = await enqueue(access, { ref, lines: settings + bodyLines + eventLines })
    if (duplicate) await payloads.delete(name)
  }

  async #failed(message: CallbackMessage, delivery: HandlerDelivery, error: FnError): Promise<HandlerOutcome> {
    const { access, logger } = this.#options
    const { ref, invocationId } = message
    // The host closes: the delivery is another host's at once.
    if (error.reason === "CANCELLED") return { kind: "retry", afterMs: 0, error }
    const about = { functionName: ref.name, namespace: ref.namespace, invocationId, attempt: delivery.attempt, error: error.message }
    if (error.retryable && delivery.attempt < this.#retry.attempts) {
      const afterMs = callbackDelayMs(error, delivery.attempt, this.#retry)
      logger.info("callback not delivered", { ...about, retryAfterMs: afterMs })
      return { kind: "retry", afterMs, error }
    }
    const subject = access.names.subjects.callbackQueue(ref.namespace)
    try {
      const { lines, data, seq, attempt: attempts } = delivery
      await addDeadLetter(access, { ref, seq, lines, data, error: givenUp(error), attempts, subject })
    } catch (thrown) {
      const storing = FnError.from(thrown)
      logger.warn("dead letter of a callback not stored", { ...about, error: storing.message })
      return { kind: "retry", afterMs: STORE_AGAIN_MS, error: storing }
    }
    logger.warn("callback given up", { ...about, reason: error.reason })
    return { kind: "gave-up", error }
  }
}

/** A dead letter says what became of the callback, not which part of the way failed. */
function givenUp(error: FnError): FnError {
  if (error.reason === "CALLBACK_REFUSED" || error.reason === "CALLBACK_FAILED") return error
  return FnError.of("CALLBACK_FAILED", `${error.reason}: ${error.message}`, { cause: error })
}
