import { headerLine } from "../headers.js"
import { checkAttributes, type EventAttributes, invalidEvent, type WireEvent } from "./event.js"

/**
 * Binary mode of the CloudEvents NATS binding: each attribute in a `ce-` header, the data in the payload.
 * Unlike in HTTP, `datacontenttype` is no exception: it is `ce-datacontenttype`. Senders who think in HTTP write `content-type`;
 * it is taken where the other is absent. Values are percent-encoded, in both bindings by the same rule.
 * https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
 */

const UNSAFE = /[^\x21\x23\x24\x26-\x7e]/
const UNSAFE_ALL = /[^\x21\x23\x24\x26-\x7e]/gu

/** An attribute value as a header value. */
export function encodeHeaderValue(value: string): string {
  return UNSAFE.test(value) ? value.replace(UNSAFE_ALL, percentEncode) : value
}

/** The attribute value of a header value. @throws {FnError} invalid_argument INVALID_EVENT for bytes that are no UTF-8 */
export function decodeHeaderValue(value: string, attribute: string): string {
  if (!value.includes("%")) return unquote(value)
  try {
    return unquote(value).replace(/(?:%[0-9A-Fa-f]{2})+/g, decodeURIComponent)
  } catch {
    throw invalidEvent(attribute, "its percent-encoding is no UTF-8")
  }
}

/** Header lines of an event in binary mode. Attributes must have passed `checkAttributes`: a name becomes part of a line as it is. */
export function binaryHeaderLines(attributes: EventAttributes): string {
  let lines = ""
  for (const name in attributes) {
    const value = attributes[name]
    if (value === undefined) continue
    lines += headerLine(`ce-${name}`, typeof value === "string" ? encodeHeaderValue(value) : String(value))
  }
  return lines
}

/** Stands for the content-type header; no attribute's name is empty. */
const CONTENT_TYPE = ""
/** Spellings of headers seen so far and what they mean: cheaper than lower-casing each name of each message. */
const HEADERS = new Map<string, string>()
/** Callers choose the names of extensions; the map must not grow with them for ever. */
const MAX_HEADERS = 1024

/** The attribute that a header carries, {@link CONTENT_TYPE} for that header, undefined for any other. */
function learn(name: string): string | undefined {
  const lower = name.toLowerCase()
  const attribute = lower === "content-type" ? CONTENT_TYPE : lower.startsWith("ce-") && lower.length > 3 ? lower.slice(3) : undefined
  if (attribute === undefined) return undefined
  if (HEADERS.size >= MAX_HEADERS) HEADERS.clear()
  HEADERS.set(name, attribute)
  return attribute
}

/** Collects the event attributes among the headers of one message. */
export class BinaryEventReader {
  #attributes: Record<string, unknown> | undefined
  /** The `content-type` header, if any came. */
  contentType: string | undefined

  /** Takes the header if it belongs to an event: `ce-…` or `content-type`, in any case. */
  take(name: string, value: string): boolean {
    const attribute = HEADERS.get(name) ?? learn(name)
    if (attribute === undefined) return false
    if (attribute === CONTENT_TYPE) this.contentType = value
    else {
      this.#attributes ??= {}
      this.#attributes[attribute] = decodeHeaderValue(value, attribute)
    }
    return true
  }

  /** Whether any `ce-` header came: then the message is in binary mode. */
  get isBinary(): boolean {
    return this.#attributes !== undefined
  }

  /** The event of the headers and `payload`. @throws {FnError} invalid_argument INVALID_EVENT */
  finish(payload: Uint8Array): WireEvent {
    const attributes = this.#attributes ?? {}
    if (this.contentType) attributes.datacontenttype ??= decodeHeaderValue(this.contentType, "datacontenttype")
    const checked = checkAttributes(attributes)
    return { attributes: checked, data: payload.length === 0 ? undefined : payload }
  }
}

function percentEncode(char: string): string {
  let out = ""
  for (const byte of Buffer.from(char, "utf8")) out += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
  return out
}

function unquote(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value
}
