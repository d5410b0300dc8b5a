/**
 * Answers of sync calls, and the hand-over of their output events to the emitter.
 */
import { binaryHeaderLines, FnError as Failure, type FnError, type Logger, messageOf, type Subjects, type WireEvent } from "@fn/core"
import type { NatsConnection } from "@nats-io/transport-node"
import type { Call, Destination, Responder } from "../dispatch/call.js"
import type { EventMode } from "../ingress/request.js"
import type { PayloadOutbox } from "../payloads/payload-outbox.js"
import type { Emitter } from "./emitter.js"
import { callLines, errorReply, eventsReply, publishReply, queuedReply, type Reply, startedReply } from "./reply.js"

/** What answers go through. */
export interface EgressOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
  readonly emitter: Emitter
  readonly host: string
  readonly logger: Logger
  /** Takes bodies too large for a message; absent where there is no room for them. */
  readonly outbox?: PayloadOutbox | undefined
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
  readonly #acceptsPayloadRef: boolean

  /** `acceptsPayloadRef`: the caller can read a reply whose body is stored apart. */
  constructor(egress: EgressOptions, counter: EndpointCounter, reply: string, mode: EventMode, acceptsPayloadRef = false) {
    this.#egress = egress
    this.#counter = counter
    this.#reply = reply
    this.#mode = mode
    this.#acceptsPayloadRef = acceptsPayloadRef
  }

  succeed(call: Call, events: WireEvent[]): void | Promise<void> {
    const { outbox } = this.#egress
    // Made once for the reply and for the emitted event.
    const firstLines = events[0] === undefined ? "" : binaryHeaderLines(events[0].attributes)
    const reply = eventsReply(callLines(call), events, this.#mode, firstLines)
    if (this.#acceptsPayloadRef && outbox?.isLarge(reply)) return this.#succeedApart(outbox, call, events, reply)
    this.#send(call, events, reply, firstLines)
  }

  async #succeedApart(outbox: PayloadOutbox, call: Call, events: WireEvent[], reply: Reply): Promise<void> {
    try {
      this.#send(call, events, await outbox.reply(call.invocationId, reply))
    } catch (thrown) {
      // What the server takes needs no object store.
      this.#send(call, events, reply, undefined, Failure.from(thrown))
    }
  }

  #send(call: Call, events: WireEvent[], reply: Reply, firstLines?: string, notStored?: FnError): void {
    try {
      publishReply(this.#egress.nc, this.#reply, reply)
    } catch (thrown) {
      const error = Failure.from(thrown)
      if (!notStored) return this.fail(call, error)
      return this.fail(
        call,
        new Failure(error.code, `${error.message}; it was not stored apart: ${notStored.message}`, { reason: error.reason }),
      )
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
    return { reply: this.#reply, mode: this.#mode, acceptsPayloadRef: this.#acceptsPayloadRef }
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
