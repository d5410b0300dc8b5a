/**
 * Subscriptions of a host and what becomes of their messages: one literal subscription per function it serves, one for the envelope.
 *
 * A message becomes a Call or an error reply. Nothing thrown here may reach the NATS client: it would end its read loop.
 */
import {
  DEFAULT_NAMESPACE,
  encodeStructured,
  FnError,
  type FunctionRef,
  Header,
  headerLine,
  isId,
  messageOf,
  newId,
  STRUCTURED_TYPE,
} from "@fn/core"
import { isReplySubject, publishRaw, type ReplyInbox, rawHeaders } from "@fn/nats"
import type { Msg, Subscription } from "@nats-io/transport-node"
import type { Catalog } from "../catalog/catalog.js"
import { Call, type CallOptions, type Responder } from "../dispatch/call.js"
import type { Dispatcher } from "../dispatch/dispatcher.js"
import type { HostedFunction } from "../dispatch/hosted-function.js"
import { EnvelopeResponder } from "../egress/envelope-responder.js"
import { callLines, errorReply, publishReply, streamEndReply } from "../egress/reply.js"
import { type EgressOptions, type EndpointCounter, NatsResponder } from "../egress/responder.js"
import { StreamResponder } from "../egress/stream-responder.js"
import { ClaimedResponder } from "../payloads/claimed-responder.js"
import type { HeldPayload, PayloadClaim, PayloadIntake } from "../payloads/payload-intake.js"
import { decodeEnvelope, encodeEnvelopeError } from "./envelope.js"
import { Request } from "./request.js"
import { DEFAULT_TIMEOUT_MS, timeoutOf } from "./timeout.js"

/**
 * Refuses a reply subject that is no inbox. A host publishes with its own rights: without this check a caller makes it write a registry
 * key (`$KV.…`), call a JetStream API (`$JS.…`) or another function.
 */
function checkReplySubject(reply: string, prefixes: readonly string[]): void {
  if (isReplySubject(reply, prefixes)) return
  throw FnError.of(
    "BAD_REPLY_SUBJECT",
    `this host does not answer to ${JSON.stringify(reply)}: a reply subject begins with ${prefixes.join(" or ")}`,
  )
}

/** What ingress works with. */
export interface IngressOptions extends EgressOptions {
  readonly dispatcher: Dispatcher
  readonly catalog: Catalog
  readonly replyPrefixes: readonly string[]
  /** Where answers of other hosts come in. */
  readonly inbox: ReplyInbox
  /** Reads bodies that are stored apart. */
  readonly intake: PayloadIntake
  /** Counters of a language's endpoint, and of the one named `invoke`. */
  readonly counter: (endpoint: string) => EndpointCounter
}

/** The way into a host. */
export class Ingress {
  readonly #options: IngressOptions
  readonly #subscriptions = new Map<string, Subscription>()
  #envelope: Subscription | undefined

  constructor(options: IngressOptions) {
    this.#options = options
  }

  /** Takes calls of `fn` from now on. May be called twice. */
  open(fn: HostedFunction): void {
    if (this.#subscriptions.has(fn.key)) return
    const { nc, subjects } = this.#options
    const { language } = fn.record
    const counter = this.#options.counter(language)
    const subscription = nc.subscribe(subjects.invoke(fn.ref, language), {
      queue: subjects.invokeQueue(language),
      callback: (error, msg) => {
        if (error) this.#options.logger.error("subscription failed", { functionName: fn.ref.name, error: error.message })
        else this.#receive(fn, counter, msg)
      },
    })
    this.#subscriptions.set(fn.key, subscription)
  }

  /** Takes no more calls of `fn`; those that were delivered are still answered. */
  close(fn: HostedFunction): void {
    const subscription = this.#subscriptions.get(fn.key)
    this.#subscriptions.delete(fn.key)
    void subscription?.drain().catch((thrown) => this.#options.logger.debug("unsubscribe failed", { error: messageOf(thrown) }))
  }

  /** Takes envelopes from now on. */
  openEnvelope(): void {
    const { nc, subjects } = this.#options
    const counter = this.#options.counter("invoke")
    this.#envelope = nc.subscribe(subjects.envelope, {
      queue: subjects.envelopeQueue,
      callback: (error, msg) => {
        if (error) this.#options.logger.error("subscription failed", { subject: subjects.envelope, error: error.message })
        else this.#receiveEnvelope(counter, msg)
      },
    })
  }

  /** Takes no more messages; resolves when those that were delivered are with the dispatcher. */
  async drain(): Promise<void> {
    const subscriptions = [...this.#subscriptions.values(), ...(this.#envelope ? [this.#envelope] : [])]
    this.#subscriptions.clear()
    this.#envelope = undefined
    await Promise.all(subscriptions.filter((subscription) => !subscription.isClosed()).map((subscription) => subscription.drain()))
  }

  #receive(fn: HostedFunction, counter: EndpointCounter, msg: Msg): void {
    const { replyPrefixes } = this.#options
    let request: Request | undefined
    try {
      const reply = msg.reply ?? ""
      if (reply) checkReplySubject(reply, replyPrefixes)
      request = new Request(rawHeaders(msg))
      if (request.payload) return void this.#receiveApart(fn, counter, msg, request, request.payload)
      const event = request.event(msg.data, msg.subject)
      const invocationId = request.invocationId ?? (reply || !isId(event.attributes.id) ? newId() : event.attributes.id)
      const responder = this.#responder(fn, counter, msg, request, invocationId)
      this.#dispatch(fn, request, this.#call(fn, msg, request, { invocationId, event, responder }))
    } catch (thrown) {
      this.#refuse(fn, counter, msg, request, FnError.from(thrown))
    }
  }

  /** A call whose body is stored apart: it is this host's from now on, and its deadline runs. */
  async #receiveApart(fn: HostedFunction, counter: EndpointCounter, msg: Msg, request: Request, claim: PayloadClaim): Promise<void> {
    const { dispatcher, intake } = this.#options
    const { invocationId } = request
    let held: HeldPayload | undefined
    try {
      if (invocationId === undefined || msg.data.length > 0)
        throw FnError.of("INVALID_REQUEST", `a message with ${Header.payloadRef} has an ${Header.invocationId} and no body`)
      const deadline = Date.now() + (request.timeoutMs ?? timeoutOf(fn))
      dispatcher.expect(invocationId)
      held = await intake.read(claim, invocationId, deadline)
      const event = request.event(held.data, msg.subject)
      const responder = this.#responder(fn, counter, msg, request, invocationId)
      const claimed = new ClaimedResponder(responder, { held, intake, claim })
      this.#dispatch(fn, request, this.#call(fn, msg, request, { invocationId, event, responder: claimed, deadline }))
    } catch (thrown) {
      held?.release()
      if (invocationId !== undefined) dispatcher.unexpect(invocationId)
      this.#refuse(fn, counter, msg, request, FnError.from(thrown))
    }
  }

  #responder(fn: HostedFunction, counter: EndpointCounter, msg: Msg, request: Request, invocationId: string): Responder {
    return msg.reply ? this.#replyResponder(counter, msg.reply, request) : this.#resultResponder(fn.ref, counter, invocationId, request)
  }

  #call(
    fn: HostedFunction,
    msg: Msg,
    request: Request,
    parts: Pick<CallOptions, "invocationId" | "event" | "responder"> & { deadline?: number },
  ): Call {
    return new Call({
      invocationId: parts.invocationId,
      event: parts.event,
      responder: parts.responder,
      deadline: parts.deadline ?? Date.now() + (request.timeoutMs ?? timeoutOf(fn)),
      version: request.version,
      hops: request.hops,
      wantsStarted: request.wantsStarted && (msg.reply ?? "") !== "",
    })
  }

  #dispatch(fn: HostedFunction, request: Request, call: Call): void {
    if (request.revision !== undefined && request.revision > fn.revision) this.#dispatchNewer(fn, call)
    else this.#options.dispatcher.dispatch(fn, call)
  }

  /** The caller acts on a newer record than ours: it has just been deployed, and our watch is a moment behind. */
  #dispatchNewer(fn: HostedFunction, call: Call): void {
    const { catalog, dispatcher, logger } = this.#options
    dispatcher.expect(call.invocationId)
    catalog
      .refresh(fn.ref)
      .catch((thrown: unknown) => logger.warn("record not re-read", { functionName: fn.ref.name, error: messageOf(thrown) }))
      .finally(() => dispatcher.dispatch(catalog.served.get(fn.key) ?? fn, call))
  }

  #refuse(fn: HostedFunction, counter: EndpointCounter, msg: Msg, request: Request | undefined, error: FnError): void {
    counter.count({ durationMs: 0, error: `${error.code}: ${error.message}` })
    this.#options.logger.debug("call refused", { functionName: fn.ref.name, reason: error.reason, error: error.message })
    // A reply subject that is refused is never published to, not even with the reason.
    if (!msg.reply || error.reason === "BAD_REPLY_SUBJECT") return
    try {
      const lines = callLines({ invocationId: request?.invocationId ?? newId(), attempt: 1, runningVersion: undefined })
      publishReply(this.#options.nc, msg.reply, request?.wantsStream ? streamEndReply(lines, 0, error) : errorReply(lines, error))
    } catch (thrown) {
      this.#options.logger.error("reply failed", { error: messageOf(thrown) })
    }
  }

  #replyResponder(counter: EndpointCounter, reply: string, request: Request): Responder {
    if (!request.wantsStream) return new NatsResponder(this.#options, counter, reply, request.replyMode, request.acceptsPayloadRef)
    const stop = (call: Call, reason: FnError): void => void this.#options.dispatcher.cancel(call.invocationId, reason)
    return new StreamResponder({ ...this.#options, counter, reply, mode: request.replyMode, stop })
  }

  /** A publish without reply subject runs once; who listens on `function.result.…` sees its result. */
  #resultResponder(ref: FunctionRef, counter: EndpointCounter, invocationId: string, request: Request): Responder {
    const subject = this.#options.subjects.result(ref.namespace, invocationId)
    return new NatsResponder(this.#options, counter, subject, request.replyMode, request.acceptsPayloadRef)
  }

  #receiveEnvelope(counter: EndpointCounter, msg: Msg): void {
    const { nc, replyPrefixes, catalog, dispatcher, logger } = this.#options
    try {
      if (msg.reply) checkReplySubject(msg.reply, replyPrefixes)
      const { ref, event } = decodeEnvelope(msg.data)
      const request = new Request(rawHeaders(msg))
      const responder = new EnvelopeResponder(this.#options, counter, msg.reply ?? "")
      const key = `${ref.namespace}/${ref.name}`
      const fn = catalog.served.get(key)
      if (!fn || fn.circuit?.isOpen) return this.#forwardEnvelope(ref, key, event, request, responder)
      const deadline = Date.now() + (request.timeoutMs ?? timeoutOf(fn))
      dispatcher.dispatch(
        fn,
        new Call({ invocationId: request.invocationId ?? newId(), event, responder, deadline, version: ref.version, hops: request.hops }),
      )
    } catch (thrown) {
      const error = FnError.from(thrown)
      counter.count({ durationMs: 0, error: `${error.code}: ${error.message}` })
      logger.debug("envelope refused", { reason: error.reason, error: error.message })
      if (!msg.reply || error.reason === "BAD_REPLY_SUBJECT") return
      const { headers, body } = encodeEnvelopeError(error)
      publishRaw(nc, msg.reply, body, { headerBlock: headers })
    }
  }

  /** Envelopes reach any host, also one that cannot run the function, or not now: it asks the hosts that can. */
  #forwardEnvelope(
    ref: FunctionRef,
    key: string,
    event: Parameters<typeof encodeStructured>[0],
    request: Request,
    responder: EnvelopeResponder,
  ): void {
    const { catalog, subjects } = this.#options
    const fn = catalog.served.get(key)
    const known = fn ?? catalog.unserved.get(key)
    if (!known) return responder.refuse(FnError.of("FUNCTION_NOT_FOUND", `there is no function ${key}`))
    const error = fn?.circuit?.refusal(key) ?? catalog.unserved.get(key)?.error ?? FnError.of("NO_HOST", "this host cannot run it")
    const lines =
      headerLine(Header.contentType, STRUCTURED_TYPE) +
      headerLine(Header.accept, "structured") +
      (ref.version === undefined ? "" : headerLine(Header.version, ref.version)) +
      headerLine(Header.hops, request.hops)
    const target = subjects.invoke(
      { namespace: ref.namespace === "" ? DEFAULT_NAMESPACE : ref.namespace, name: ref.name },
      known.record.language,
    )
    responder.forward(target, lines, Buffer.from(encodeStructured(event)), request.timeoutMs ?? DEFAULT_TIMEOUT_MS, error)
  }
}
