import { binaryHeaderLines, FnError, Header, headerLine, messageOf, type WireEvent } from "@fn/core"
import type { Call, Responder } from "../dispatch/call.js"
import type { EventMode } from "../ingress/request.js"
import { callLines, errorReply, eventsReply, publishReply } from "./reply.js"
import type { EgressOptions, EndpointCounter } from "./responder.js"

type Answered = Pick<Call, "invocationId" | "attempt" | "runningVersion">

/** Answers a broadcast: as any call, and with the host's name, since each host answers. Without a reply subject nobody is told. */
export class BroadcastResponder implements Responder {
  readonly #egress: EgressOptions
  readonly #counter: EndpointCounter
  readonly #reply: string | undefined
  readonly #mode: EventMode

  constructor(egress: EgressOptions, counter: EndpointCounter, reply: string | undefined, mode: EventMode) {
    this.#egress = egress
    this.#counter = counter
    this.#reply = reply
    this.#mode = mode
  }

  succeed(call: Call, events: WireEvent[]): void {
    const firstLines = events[0] === undefined ? "" : binaryHeaderLines(events[0].attributes)
    try {
      if (this.#reply) publishReply(this.#egress.nc, this.#reply, eventsReply(this.#lines(call), events, this.#mode, firstLines))
    } catch (thrown) {
      return this.fail(call, FnError.from(thrown))
    }
    this.#egress.emitter.emit(call, events, firstLines)
    this.#counter.count({ durationMs: performance.now() - call.receivedAt })
  }

  fail(call: Call, error: FnError): void {
    this.#fail(call, error, performance.now() - call.receivedAt)
  }

  /** Answers without a call having been made. */
  refuse(invocationId: string, error: FnError): void {
    this.#fail({ invocationId, attempt: 1, runningVersion: undefined }, error, 0)
  }

  #fail(call: Answered, error: FnError, durationMs: number): void {
    this.#counter.count({ durationMs, error: `${error.code}: ${error.message}` })
    try {
      if (this.#reply) publishReply(this.#egress.nc, this.#reply, errorReply(this.#lines(call), error))
    } catch (thrown) {
      this.#egress.logger.error("reply failed", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }

  #lines(call: Answered): string {
    return callLines(call) + headerLine(Header.host, this.#egress.host)
  }
}
