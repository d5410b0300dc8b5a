/**
 * Takes calls that other hosts hand over, on `function.host.{host}.invoke`, if there is a free slot for them. docs/protocol.md#hand-over
 *
 * Phases: open → drained. A call that is taken is told to its caller at once: until then it looked for it on the other host.
 */
import { errorBody, errorHeaderLines, FnError, Header, headerLine, messageOf, readHeaderBlock } from "@fn/core"
import { isReplySubject, publishLines, type ReplyInbox, rawHeaders } from "@fn/nats"
import type { Msg, Subscription } from "@nats-io/transport-node"
import type { Catalog } from "../catalog/catalog.js"
import { Call, type Responder } from "../dispatch/call.js"
import type { Dispatcher } from "../dispatch/dispatcher.js"
import { type HostedFunction, offeredSlots } from "../dispatch/hosted-function.js"
import { type EgressOptions, type EndpointCounter, NatsResponder } from "../egress/responder.js"
import { StreamResponder } from "../egress/stream-responder.js"
import { Request } from "../ingress/request.js"
import { timeoutOf } from "../ingress/timeout.js"

/** What the desk works with. */
export interface HandOverDeskOptions extends EgressOptions {
  readonly dispatcher: Dispatcher
  readonly catalog: Catalog
  readonly replyPrefixes: readonly string[]
  readonly counter: (endpoint: string) => EndpointCounter
  readonly inbox: ReplyInbox
}

const NOTHING = new Uint8Array(0)

/** See the head of this file. */
export class HandOverDesk {
  readonly #options: HandOverDeskOptions
  #subscription: Subscription | undefined

  constructor(options: HandOverDeskOptions) {
    this.#options = options
  }

  /** Takes calls from now on. */
  open(): void {
    const { nc, subjects, host, logger } = this.#options
    this.#subscription = nc.subscribe(subjects.hostInvoke(host), {
      callback: (error, msg) => {
        if (error) return logger.error("subscription failed", { subject: subjects.hostInvoke(host), error: error.message })
        try {
          this.#receive(msg)
        } catch (thrown) {
          logger.error("hand-over failed", { error: messageOf(thrown) })
        }
      },
    })
  }

  /** Takes no more; the server then tells the other hosts that nobody is here. */
  async drain(): Promise<void> {
    const subscription = this.#subscription
    this.#subscription = undefined
    if (subscription && !subscription.isClosed()) await subscription.drain()
  }

  #receive(msg: Msg): void {
    const { replyPrefixes, logger } = this.#options
    if (!isReplySubject(msg.reply, replyPrefixes)) return logger.warn("hand-over without a valid reply subject", { reply: msg.reply })
    let fn: HostedFunction
    let call: Call
    try {
      const slip = readSlip(rawHeaders(msg))
      fn = this.#functionOf(slip)
      call = this.#callOf(fn, slip, msg)
    } catch (thrown) {
      const error = FnError.from(thrown)
      return this.#answer(msg, errorHeaderLines(error), errorBody(error))
    }
    this.#answer(msg, headerLine(Header.host, this.#options.host), NOTHING)
    if (call.wantsStarted) {
      call.toldStarted = true
      call.responder.started?.(call)
    }
    this.#options.dispatcher.dispatch(fn, call)
  }

  #answer(msg: Msg, lines: string, body: Uint8Array): void {
    publishLines(this.#options.nc, msg.reply as string, lines, body)
  }

  /** @throws {FnError} why the call is not taken */
  #functionOf({ key, revision }: Slip): HostedFunction {
    const fn = this.#options.catalog.served.get(key)
    if (!fn) throw FnError.of("FUNCTION_NOT_FOUND", `this host does not serve ${key}`)
    if (revision > fn.revision) throw FnError.of("STALE_REVISION", `this host does not know revision ${revision} of ${key} yet`)
    const open = fn.versions.get(fn.record.activeVersion)
    if (open?.breaker.isOpen) throw open.breaker.refusal(key)
    if (open && offeredSlots(open) <= 0) throw FnError.of("QUEUE_FULL", `this host has no free slot for ${key}`)
    return fn
  }

  /** @throws {FnError} BAD_REPLY_SUBJECT, INVALID_EVENT, INVALID_REQUEST */
  #callOf(fn: HostedFunction, { replyTo }: Slip, msg: Msg): Call {
    const { replyPrefixes } = this.#options
    const request = new Request(rawHeaders(msg))
    const { invocationId } = request
    if (invocationId === undefined) throw FnError.of("INVALID_REQUEST", "a call that is handed over has an invocation id")
    if (replyTo !== undefined && !isReplySubject(replyTo, replyPrefixes))
      throw FnError.of("BAD_REPLY_SUBJECT", `this host does not answer to ${JSON.stringify(replyTo)}`)
    return new Call({
      invocationId,
      event: request.event(msg.data, msg.subject),
      responder: this.#responder(fn, request, invocationId, replyTo),
      deadline: Date.now() + (request.timeoutMs ?? timeoutOf(fn)),
      version: request.version,
      hops: request.hops,
      wantsStarted: request.wantsStarted && replyTo !== undefined,
    })
  }

  #responder(fn: HostedFunction, request: Request, invocationId: string, replyTo: string | undefined): Responder {
    const { subjects, dispatcher } = this.#options
    const counter = this.#options.counter(fn.record.language)
    const mode = request.replyMode
    if (request.wantsStream && replyTo !== undefined) {
      const stop = (call: Call, reason: FnError): void => void dispatcher.cancel(call.invocationId, reason)
      return new StreamResponder({ ...this.#options, counter, reply: replyTo, mode, stop, isFinal: true })
    }
    const reply = replyTo ?? subjects.result(fn.ref.namespace, invocationId)
    return new FinalResponder(this.#options, counter, reply, mode, request.acceptsPayloadRef)
  }
}

/** Answers a call that was handed over: it goes nowhere else from here, so that no two hosts play ball with it. */
class FinalResponder extends NatsResponder {
  override get destination(): undefined {
    return undefined
  }
}

/** What a hand-over says beside the call. */
interface Slip {
  readonly key: string
  readonly revision: number
  readonly replyTo: string | undefined
}

function readSlip(block: Uint8Array | undefined): Slip {
  let key = ""
  let revision = 0
  let replyTo: string | undefined
  if (block)
    readHeaderBlock(block, (name, value) => {
      if (name === Header.fn) key = value
      else if (name === Header.replyTo) replyTo = value
      else if (name === Header.revision) revision = Number(value)
    })
  return { key, revision, replyTo }
}
