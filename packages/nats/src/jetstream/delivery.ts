/** A message that a pull consumer delivered: what its reply subject tells, and the answers to it. */
import type { NatsConnection } from "@nats-io/transport-node"
import { publishRaw } from "../inbox/raw.js"
import type { ReplyInbox } from "../inbox/reply-inbox.js"

const NS_PER_MS = 1_000_000

/** What the acknowledgement subject of a delivery says. */
export interface DeliveryInfo {
  readonly stream: string
  readonly consumer: string
  /** How often the message has been delivered, this time included. */
  readonly deliveries: number
  readonly seq: number
  /** When the message was stored, epoch ms by the server's clock. */
  readonly storedAt: number
  /** Messages of the consumer that were not delivered yet. */
  readonly pending: number
}

/** Reads `$JS.ACK.…`, in the form with domain and account or the older one without; undefined for anything else. */
export function readDelivery(ackSubject: string): DeliveryInfo | undefined {
  const tokens = ackSubject.split(".")
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined
  const start = tokens.length >= 11 ? 4 : 2
  if (tokens.length < start + 7) return undefined
  const [stream, consumer, deliveries, seq, , storedAt, pending] = tokens.slice(start) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  return {
    stream,
    consumer,
    deliveries: Number(deliveries),
    seq: Number(seq),
    // Nanoseconds do not fit a Number; milliseconds do.
    storedAt: Number(storedAt.slice(0, -6)),
    pending: Number(pending),
  }
}

/** Acknowledges and waits for the server to say that it has: true then, false when it did not answer in time. */
export async function ackAndWait(inbox: ReplyInbox, ackSubject: string, timeoutMs: number = 5_000): Promise<boolean> {
  try {
    await inbox.request(ackSubject, { data: "+ACK", timeoutMs })
    return true
  } catch {
    return false // not known: the message may come again, and its result is there then
  }
}

/** Gives the message back, to be delivered again after `delayMs`. */
export function nak(nc: NatsConnection, ackSubject: string, delayMs: number): void {
  publishRaw(nc, ackSubject, `-NAK {"delay":${Math.max(0, Math.round(delayMs)) * NS_PER_MS}}`)
}

/** Extends the time the server waits for an acknowledgement by another `ack_wait`. */
export function working(nc: NatsConnection, ackSubject: string): void {
  publishRaw(nc, ackSubject, "+WPI")
}
