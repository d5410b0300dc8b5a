import { FnError, messageOf } from "../errors.js"
import { encodeData, isJsonType } from "./data.js"
import { checkAttributes, invalidEvent, type WireEvent } from "./event.js"

/**
 * JSON event format and JSON batch format of CloudEvents 1.0.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 */

/** Content type of one event in structured mode. */
export const STRUCTURED_TYPE = "application/cloudevents+json"
/** Content type of several events. */
export const BATCH_TYPE = "application/cloudevents-batch+json"

/** What {@link wireFromJson} lets pass. */
export interface JsonEventOptions {
  /** Take an event without `specversion` as 1.0, as the envelope of `function.invoke` does. Default false. */
  readonly assumeSpecversion?: boolean
}

/** One event in structured JSON. JSON data is checked and spliced in as it is: numbers keep their digits, objects their order. */
export function encodeStructured(wire: WireEvent): string {
  const head = JSON.stringify(wire.attributes)
  if (wire.data === undefined) return head
  const open = head.slice(0, -1)
  const bytes = Buffer.from(wire.data.buffer, wire.data.byteOffset, wire.data.byteLength)
  const type = wire.attributes.datacontenttype
  const isText = type !== undefined && /^text\//i.test(type)
  if (isJsonType(type) || isText) {
    const text = bytes.toString("utf8")
    // What is no UTF-8 would come back as other bytes; the replacement character is the cheap sign that it may not be.
    if (!text.includes("\ufffd") || Buffer.from(text, "utf8").equals(bytes)) {
      if (!isJsonType(type)) return `${open},"data":${JSON.stringify(text)}}`
      if (isJson(text)) return `${open},"data":${text}}`
    }
  }
  return `${open},"data_base64":"${bytes.toString("base64")}"}`
}

/** Several events in the JSON batch format. */
export function encodeBatch(wires: readonly WireEvent[]): string {
  return `[${wires.map(encodeStructured).join(",")}]`
}

/** The event in a structured payload. @throws {FnError} invalid_argument INVALID_EVENT */
export function decodeStructured(payload: Uint8Array, options: JsonEventOptions = {}): WireEvent {
  return wireFromJson(parse(payload), options)
}

/** The events in a batch payload. @throws {FnError} invalid_argument INVALID_EVENT */
export function decodeBatch(payload: Uint8Array, options: JsonEventOptions = {}): WireEvent[] {
  const parsed = parse(payload)
  if (!Array.isArray(parsed)) throw FnError.of("INVALID_EVENT", "invalid event batch: it must be a JSON array")
  return parsed.map((item) => wireFromJson(item, options))
}

/** An event from its parsed JSON form. @throws {FnError} invalid_argument INVALID_EVENT */
export function wireFromJson(json: unknown, options: JsonEventOptions = {}): WireEvent {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw FnError.of("INVALID_EVENT", "invalid event: it must be a JSON object")
  const { data, data_base64: base64, ...rest } = json as Record<string, unknown>
  for (const name in rest) if (rest[name] === null) delete rest[name]
  if (options.assumeSpecversion) rest.specversion ??= "1.0"
  const attributes = checkAttributes(rest)
  if (base64 === undefined || base64 === null) return { attributes, data: encodeData(data, attributes.datacontenttype) }
  if (data !== undefined) throw invalidEvent("data_base64", "an event has data or data_base64, not both")
  if (typeof base64 !== "string" || !isBase64(base64)) throw invalidEvent("data_base64", "it must be base64 text")
  return { attributes, data: Buffer.from(base64, "base64") }
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"))
  } catch (thrown) {
    throw FnError.of("INVALID_EVENT", `invalid event: the payload is no JSON: ${messageOf(thrown)}`)
  }
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // said by the return value: the data then travels as data_base64
  }
}
