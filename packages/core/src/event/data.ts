import { FnError, messageOf } from "../errors.js"
import { newId } from "../ids.js"
import { type CloudEvent, checkAttributes, type EventAttributes, type EventInit, invalidEvent, type WireEvent } from "./event.js"

const JSON_TYPE = /^[^\s/;]+\/([^\s/;]+\+)?json\s*(;|$)/i
const TEXT_TYPE = /^text\//i
const utf8 = new TextDecoder("utf-8", { fatal: true })

/** Whether data of this content type is JSON. Absent means JSON, as in the JSON event format. */
export function isJsonType(contentType: string | undefined): boolean {
  return contentType === undefined || contentType === "application/json" || JSON_TYPE.test(contentType)
}

/**
 * Data as a handler sees it: parsed JSON, a string for `text/*`, bytes for the rest. Data without a content type is parsed if it is JSON.
 * @throws {FnError} invalid_argument INVALID_EVENT when the bytes are not what the content type says
 */
export function decodeData(data: Uint8Array | undefined, contentType: string | undefined): unknown {
  if (data === undefined) return undefined
  if (isJsonType(contentType)) {
    if (data.length === 0) return undefined
    try {
      return JSON.parse(bufferOf(data).toString("utf8"))
    } catch (thrown) {
      if (contentType === undefined) return data
      throw invalidEvent("data", `it is no JSON although datacontenttype says ${contentType}: ${messageOf(thrown)}`)
    }
  }
  if (!TEXT_TYPE.test(contentType as string)) return data
  try {
    return utf8.decode(data)
  } catch (cause) {
    throw FnError.of("INVALID_EVENT", "invalid event: data: it is no UTF-8 text", { cause })
  }
}

/**
 * Data as bytes. Strings of a non-JSON type are UTF-8, bytes stay, everything else is JSON.
 * @throws {FnError} invalid_argument INVALID_EVENT for what JSON cannot hold: functions, bigints, cycles, nesting too deep for the stack
 */
export function encodeData(data: unknown, contentType: string | undefined): Uint8Array | undefined {
  if (data === undefined) return undefined
  if (data instanceof Uint8Array) return data
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  if (typeof data === "string" && !isJsonType(contentType)) return Buffer.from(data, "utf8")
  return Buffer.from(jsonOf(data), "utf8")
}

function jsonOf(data: unknown): string {
  let json: string | undefined
  try {
    json = JSON.stringify(data)
  } catch (thrown) {
    throw invalidEvent("data", `it cannot be written as JSON: ${messageOf(thrown)}`)
  }
  if (json === undefined) throw invalidEvent("data", `a ${typeof data} cannot be sent`)
  return json
}

/** What {@link eventToWire} fills in where the author left something out. */
export interface EventDefaults {
  readonly source: string
}

/**
 * A caller's or handler's event in wire form; `id`, `specversion`, `time`, `source` are filled in when absent.
 * @throws {FnError} invalid_argument INVALID_EVENT
 */
export function eventToWire(event: EventInit, defaults: EventDefaults): WireEvent {
  const attributes: Record<string, unknown> = {
    id: event.id ?? newId(),
    source: event.source ?? defaults.source,
    type: event.type,
    specversion: event.specversion ?? "1.0",
    time: event.time ?? now(),
  }
  // The SDK's CloudEvent keeps its attributes as own enumerable properties, some of them undefined.
  for (const name of Object.keys(event)) {
    if (Object.hasOwn(attributes, name) || name === "data" || name === "data_base64") continue
    const value = (event as Record<string, unknown>)[name]
    if (value !== undefined && value !== null) attributes[name] = value
  }
  for (const name in attributes) {
    const value = attributes[name]
    if (value instanceof Date) attributes[name] = value.toISOString()
  }
  let data = event.data
  if (data === undefined && typeof event.data_base64 === "string") data = Buffer.from(event.data_base64, "base64")
  if (data !== undefined) attributes.datacontenttype ??= contentTypeOf(data)
  return { attributes: checkAttributes(attributes), data: encodeData(data, attributes.datacontenttype as string | undefined) }
}

let nowMs = 0
let nowText = ""

/** The present as RFC 3339, made once per millisecond. */
function now(): string {
  const ms = Date.now()
  if (ms !== nowMs) {
    nowMs = ms
    nowText = new Date(ms).toISOString()
  }
  return nowText
}

/** A wire event as an author or caller sees it: data decoded, all in one object. */
export function eventFromWire<T = unknown>(wire: WireEvent): CloudEvent<T> {
  const event = { ...wire.attributes } as Record<string, unknown>
  if (wire.data !== undefined) {
    const data = decodeData(wire.data, wire.attributes.datacontenttype)
    if (data !== undefined) event.data = data
  }
  return event as unknown as CloudEvent<T>
}

/** A payload that came without any event attributes, as the data of an event we fill in. */
export function bareEvent(payload: Uint8Array, contentType: string | undefined, attributes: { source: string; type: string }): WireEvent {
  const filled: EventAttributes = {
    id: newId(),
    source: attributes.source,
    type: attributes.type,
    specversion: "1.0",
    time: now(),
  }
  if (payload.length === 0) return { attributes: filled, data: undefined }
  filled.datacontenttype = contentType || sniff(payload)
  return { attributes: filled, data: payload }
}

function contentTypeOf(data: unknown): string {
  return data instanceof Uint8Array || ArrayBuffer.isView(data) ? "application/octet-stream" : "application/json"
}

function sniff(payload: Uint8Array): string {
  try {
    const text = utf8.decode(payload)
    try {
      JSON.parse(text)
      return "application/json"
    } catch {
      return "text/plain" // readable, but no JSON
    }
  } catch {
    return "application/octet-stream" // no UTF-8
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
