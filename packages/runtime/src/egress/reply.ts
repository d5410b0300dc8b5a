import {
  BATCH_TYPE,
  binaryHeaderLines,
  encodeBatch,
  encodeStructured,
  errorBody,
  errorHeaderLines,
  FnError,
  Header,
  headerLine,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"
import { publishLines } from "@fn/nats"
import type { NatsConnection } from "@nats-io/transport-node"
import type { EventMode } from "../ingress/request.js"

const NOTHING = new Uint8Array(0)
const utf8 = new TextEncoder()
/** Preamble and end of a header block. */
const HEADER_FRAME_BYTES = 12

/** A reply message before it is published. */
export interface Reply {
  /** Header lines, without preamble and end. */
  readonly lines: string
  readonly body: Uint8Array
  /** Content type of the body. */
  readonly contentType?: string | undefined
}

/** Lines that every reply of a call has. */
export function callLines(call: {
  readonly invocationId: string
  readonly attempt: number
  readonly runningVersion: string | undefined
}): string {
  const lines = headerLine(Header.invocationId, call.invocationId) + headerLine(Header.attempt, call.attempt)
  return call.runningVersion === undefined ? lines : lines + headerLine(Header.version, call.runningVersion)
}

/**
 * The reply to a call that succeeded: no event, one in the mode asked for, or several as a batch. `firstLines` are the first event's
 * header lines, if they are known already. docs/protocol.md#replies
 */
export function eventsReply(lines: string, events: readonly WireEvent[], mode: EventMode, firstLines?: string): Reply {
  const head = lines + headerLine(Header.events, events.length)
  if (events.length === 0) return { lines: head, body: NOTHING }
  const [first] = events as [WireEvent]
  if (events.length > 1) return jsonReply(head, encodeBatch(events), BATCH_TYPE)
  if (mode === "structured") return jsonReply(head, encodeStructured(first), STRUCTURED_TYPE)
  const { attributes, data } = first
  return { lines: head + (firstLines ?? binaryHeaderLines(attributes)), body: data ?? NOTHING, contentType: attributes.datacontenttype }
}

function jsonReply(lines: string, json: string, contentType: string): Reply {
  return { lines: lines + headerLine(Header.contentType, contentType), body: utf8.encode(json), contentType }
}

/** The reply to a call that failed. */
export function errorReply(lines: string, error: FnError): Reply {
  return { lines: lines + errorHeaderLines(error), body: errorBody(error) }
}

/** The message that says which host runs a call. */
export function startedReply(lines: string, host: string): Reply {
  return { lines: lines + headerLine(Header.started, host), body: NOTHING }
}

/** The message that says that a call waits in the durable queue. */
export function queuedReply(lines: string, seq: number): Reply {
  return { lines: lines + headerLine(Header.queued, seq), body: NOTHING }
}

/** One event of a stream, in the mode asked for. `eventLines` are its header lines in binary mode. docs/protocol.md#streaming */
export function streamEventReply(lines: string, seq: number, event: WireEvent, mode: EventMode, eventLines: string): Reply {
  const head = lines + headerLine(Header.seq, seq)
  if (mode === "binary") return { lines: head + eventLines, body: event.data ?? NOTHING }
  return { lines: head + headerLine(Header.contentType, STRUCTURED_TYPE), body: utf8.encode(encodeStructured(event)) }
}

/** The end of a stream after `events` events, with the error it failed with. */
export function streamEndReply(lines: string, events: number, error?: FnError): Reply {
  const end = error === undefined ? "ok" : error.code === "cancelled" ? "cancelled" : "error"
  const head = lines + headerLine(Header.seq, events + 1) + headerLine(Header.end, end) + headerLine(Header.events, events)
  return error ? errorReply(head, error) : { lines: head, body: NOTHING }
}

/**
 * Publishes a reply; `replyTo` is where its reader may answer. @throws {FnError} resource_exhausted OUTPUT_LIMIT when the server would
 * refuse its size
 */
export function publishReply(nc: NatsConnection, subject: string, reply: Reply, replyTo?: string): void {
  const limit = nc.info?.max_payload ?? Number.POSITIVE_INFINITY
  const sizeBytes = HEADER_FRAME_BYTES + reply.lines.length + reply.body.length
  if (sizeBytes > limit)
    throw FnError.of("OUTPUT_LIMIT", `the answer has ${sizeBytes} bytes, more than the server's max_payload of ${limit}`)
  publishLines(nc, subject, reply.lines, reply.body, replyTo)
}
