import { binaryHeaderLines, encodeStructured, Header, headerLine, STRUCTURED_TYPE, type WireEvent } from "@fn/core"
import type { Call, Destination } from "../dispatch/call.js"

const NOTHING = new Uint8Array(0)

/** A call's event and how its answer is wanted, as a message for another host. */
export interface Forwarded {
  readonly lines: string
  readonly data: Uint8Array
}

/** See {@link Forwarded}. The event travels in binary mode unless it would be another one then: a number among its attributes a text, say. */
export function forwarded(call: Call, { mode, acceptsPayloadRef, stream }: Destination): Forwarded {
  const { event, wantsStarted } = call
  const words = [...(wantsStarted ? ["started"] : []), ...(stream ? ["stream"] : []), ...(acceptsPayloadRef ? ["payload-ref"] : []), mode]
  const accept = headerLine(Header.accept, words.join(", "))
  if (fitsBinary(event)) return { lines: accept + binaryHeaderLines(event.attributes), data: event.data ?? NOTHING }
  return { lines: accept + headerLine(Header.contentType, STRUCTURED_TYPE), data: Buffer.from(encodeStructured(event)) }
}

function fitsBinary({ attributes, data }: WireEvent): boolean {
  // Binary mode does not know data that is there and empty.
  if (data?.length === 0) return false
  return Object.values(attributes).every((value) => value === undefined || typeof value === "string")
}
