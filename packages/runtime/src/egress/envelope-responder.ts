import {
  BATCH_TYPE,
  decodeBatch,
  decodeStructured,
  errorFromReply,
  FnError,
  Header,
  headerBlock,
  headerLine,
  messageOf,
  readHeaderBlock,
  type WireEvent,
} from "@fn/core"
import { publishRaw, type RawMsg, type ReplyInbox, rawHeaders } from "@fn/nats"
import type { Call, Responder } from "../dispatch/call.js"
import { type EnvelopeErrorType, encodeEnvelopeError, encodeEnvelopeEvents } from "../ingress/envelope.js"
import type { EgressOptions, EndpointCounter } from "./responder.js"

/** Answers in the JSON envelope of `function.invoke`. */
export class EnvelopeResponder implements Responder {
  readonly #egress: EgressOptions & { readonly inbox: ReplyInbox }
  readonly #counter: EndpointCounter
  readonly #reply: string
  readonly #receivedAt: number = performance.now()

  constructor(egress: EgressOptions & { readonly inbox: ReplyInbox }, counter: EndpointCounter, reply: string) {
    this.#egress = egress
    this.#counter = counter
    this.#reply = reply
  }

  succeed(call: Call, events: WireEvent[]): void {
    if (this.#answerEvents(events)) this.#egress.emitter.emit(call, events)
  }

  fail(_call: Call, error: FnError): void {
    this.refuse(error)
  }

  /** Answers without a call having been made. */
  refuse(error: FnError, type?: EnvelopeErrorType): void {
    this.#count(error)
    const { headers, body } = encodeEnvelopeError(error, type)
    this.#publish(body, headers)
  }

  /** Lets another host run it. `unservable` is why this one does not; it is the answer when no other does either. */
  forward(subject: string, lines: string, event: Uint8Array, timeoutMs: number, unservable: FnError): void {
    this.#egress.inbox.request(subject, { lines, data: event, timeoutMs }).then(
      (reply) => this.#forwarded(reply),
      (thrown) => {
        const error = FnError.from(thrown)
        this.refuse(error.reason === "NO_HOST" ? FnError.of("NO_HOST", `no host can run the function: ${unservable.message}`) : error)
      },
    )
  }

  #forwarded(reply: RawMsg): void {
    const headers = new Map<string, string>()
    const block = rawHeaders(reply)
    if (block) readHeaderBlock(block, (name, value) => headers.set(name, value))
    if (headers.has(Header.serviceErrorCode)) return this.refuse(errorFromReply((name) => headers.get(name), reply.data))
    try {
      if (reply.data.length === 0) this.#answerEvents([])
      else if (headers.get(Header.contentType) === BATCH_TYPE) this.#answerEvents(decodeBatch(reply.data))
      else this.#answerEvents([decodeStructured(reply.data)])
    } catch (thrown) {
      this.refuse(FnError.from(thrown), "response_error")
    }
  }

  #answerEvents(events: readonly WireEvent[]): boolean {
    let body: Uint8Array
    try {
      body = encodeEnvelopeEvents(events)
      const limit = this.#egress.nc.info?.max_payload ?? Number.POSITIVE_INFINITY
      if (body.length > limit)
        throw FnError.of("OUTPUT_LIMIT", `the answer has ${body.length} bytes, more than the server's max_payload of ${limit}`)
    } catch (thrown) {
      this.refuse(FnError.from(thrown), "response_error")
      return false
    }
    this.#count(undefined)
    this.#publish(body, headerBlock(headerLine(Header.events, events.length)))
    return true
  }

  #publish(body: Uint8Array, headers: Uint8Array): void {
    if (this.#reply === "") return
    try {
      publishRaw(this.#egress.nc, this.#reply, body, { headerBlock: headers })
    } catch (thrown) {
      this.#egress.logger.error("reply failed", { error: messageOf(thrown) })
    }
  }

  #count(error: FnError | undefined): void {
    this.#counter.count({
      durationMs: performance.now() - this.#receivedAt,
      ...(error ? { error: `${error.code}: ${error.message}` } : {}),
    })
  }
}
