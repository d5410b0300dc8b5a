/**
 * Answers of sync calls: the reply, then the output events onto `event.…`, both in one flush.
 */
import {
  binaryHeaderLines,
  FnError as Failure,
  type FnError,
  Header,
  headerLine,
  type Logger,
  messageOf,
  type Subjects,
  type WireEvent,
} from "@fn/core"
import { publishLines } from "@fn/nats"
import type { NatsConnection } from "@nats-io/transport-node"
import type { Call, Responder } from "../dispatch/call.js"
import type { EventMode } from "../ingress/request.js"
import { callLines, errorReply, eventsReply, publishReply, startedReply } from "./reply.js"

/** What answers go through. */
export interface EgressOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
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
    emitEvents(this.#egress, call, events, firstLines)
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
    try {
      publishReply(this.#egress.nc, this.#reply, startedReply(callLines(call), this.#egress.host))
    } catch (thrown) {
      this.#egress.logger.error("started message failed", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }
}

/** Publishes output events as core messages, each with one hop more than the event that caused it. An event the server refuses is logged. */
export function emitEvents(egress: EgressOptions, call: Call, events: readonly WireEvent[], firstLines?: string): void {
  if (events.length === 0) return
  const namespace = call.fn?.ref.namespace as string
  const lines = headerLine(Header.invocationId, call.invocationId) + headerLine(Header.hops, call.hops + 1)
  for (const event of events) {
    const eventLines = event === events[0] && firstLines !== undefined ? firstLines : binaryHeaderLines(event.attributes)
    try {
      const subject = egress.subjects.event(namespace, event.attributes.type)
      publishLines(egress.nc, subject, lines + eventLines, event.data ?? NOTHING)
    } catch (thrown) {
      egress.logger.error("event not emitted", { invocationId: call.invocationId, type: event.attributes.type, error: messageOf(thrown) })
    }
  }
}

const NOTHING = new Uint8Array(0)
