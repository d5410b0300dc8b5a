/**
 * Answers of sync calls, and the hand-over of their output events to the emitter.
 */
import { binaryHeaderLines, FnError as Failure, type FnError, type Logger, messageOf, type Subjects, type WireEvent } from "@fn/core"
import type { NatsConnection } from "@nats-io/transport-node"
import type { Call, Destination, Responder } from "../dispatch/call.js"
import type { EventMode } from "../ingress/request.js"
import type { Emitter } from "./emitter.js"
import { callLines, errorReply, eventsReply, publishReply, queuedReply, startedReply } from "./reply.js"

/** What answers go through. */
export interface EgressOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
  readonly emitter: Emitter
  readonly host: string
  readonly logger: Logger
}

/** One service endpoint's counters. */
export interface EndpointCounter {
  count(outcome: { durationMs: number; error?: string }): void
}

/** Answers to a reply subject in the CloudEvents NATS binding. */
export class NatsResponder implements Responder {
  readonly #egress: EgressOptions
  readonly #counter: EndpointCounter
  readonly #reply: string
  readonly #mode: EventMode

  constructor(egress: EgressOptions, counter: EndpointCounter, reply: string, mode: EventMode) {
    this.#egress = egress
    this.#counter = counter
    this.#reply = reply
    this.#mode = mode
  }

  succeed(call: Call, events: WireEvent[]): void {
    // Made once for the reply and for the emitted event.
    const firstLines = events[0] === undefined ? "" : binaryHeaderLines(events[0].attributes)
    try {
      publishReply(this.#egress.nc, this.#reply, eventsReply(callLines(call), events, this.#mode, firstLines))
    } catch (thrown) {
      return this.fail(call, Failure.from(thrown))
    }
    this.#egress.emitter.emit(call, events, firstLines)
    this.#counter.count({ durationMs: performance.now() - call.receivedAt })
  }

  fail(call: Call, error: FnError): void {
    this.#counter.count({ durationMs: performance.now() - call.receivedAt, error: `${error.code}: ${error.message}` })
    try {
      publishReply(this.#egress.nc, this.#reply, errorReply(callLines(call), error))
    } catch (thrown) {
      // Only a connection that is closed for good throws here: the caller has lost us too.
      this.#egress.logger.error("reply failed", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }

  started(call: Call): void {
    publishStarted(this.#egress, this.#reply, call)
  }

  get destination(): Destination | undefined {
    return { reply: this.#reply, mode: this.#mode }
  }

  queued(call: Call, seq: number): void {
    try {
      publishReply(this.#egress.nc, this.#reply, queuedReply(callLines(call), seq))
    } catch (thrown) {
      this.#egress.logger.error("queued message failed", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }
}

/** Tells a caller which host runs its call. */
export function publishStarted({ nc, host, logger }: EgressOptions, subject: string, call: Call): void {
  try {
    publishReply(nc, subject, startedReply(callLines(call), host))
  } catch (thrown) {
    logger.error("started message failed", { invocationId: call.invocationId, error: messageOf(thrown) })
  }
}
