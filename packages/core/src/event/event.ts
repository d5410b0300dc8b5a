import type { CloudEventV1 } from "cloudevents"
import { FnError } from "../errors.js"

/** A CloudEvents 1.0 event as authors and callers see it: attributes and decoded data in one object. The SDK's `CloudEvent` class fits. */
export type CloudEvent<T = unknown> = CloudEventV1<T>

/** What a caller or a handler may leave out is filled in: `id`, `source`, `specversion`, `time`. */
export type EventInit<T = unknown> = Pick<CloudEventV1<T>, "type"> & Partial<CloudEventV1<T>>

/** Value of an attribute. CloudEvents' other types (URI, timestamp, binary) travel as strings. */
export type AttributeValue = string | number | boolean

/** The context attributes of an event, without its data. */
export interface EventAttributes {
  id: string
  source: string
  type: string
  specversion: string
  datacontenttype?: string
  dataschema?: string
  subject?: string
  time?: string
  [extension: string]: AttributeValue | undefined
}

/** An event inside the platform: attributes parsed, data still the bytes that were sent. `undefined` data is absent, empty bytes are empty. */
export interface WireEvent {
  attributes: EventAttributes
  data: Uint8Array | undefined
}

const NAME = /^[a-z0-9]+$/
// RFC 3339 with its leap seconds. Not Date.parse, which takes 30 February and refuses 23:59:60.
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/
const KNOWN: ReadonlySet<string> = new Set(["id", "source", "type", "specversion", "datacontenttype", "dataschema", "subject", "time"])

/**
 * `attributes` if they are those of a CloudEvents 1.0 event.
 * @throws {FnError} invalid_argument INVALID_EVENT naming the first attribute that is wrong
 */
export function checkAttributes(attributes: Record<string, unknown>): EventAttributes {
  requireText(attributes, "id")
  requireText(attributes, "source")
  requireText(attributes, "type")
  if (attributes.specversion !== "1.0") {
    throw invalidEvent(
      "specversion",
      attributes.specversion === undefined ? "it is missing" : `only "1.0" is supported, not ${show(attributes.specversion)}`,
    )
  }
  for (const name in attributes) {
    if (!KNOWN.has(name)) checkExtension(name, attributes[name])
  }
  if (attributes.time !== undefined && !isTime(attributes.time)) throw invalidEvent("time", `${show(attributes.time)} is no RFC 3339 time`)
  optionalText(attributes, "subject")
  optionalText(attributes, "datacontenttype")
  optionalText(attributes, "dataschema")
  return attributes as EventAttributes
}

/** An error about one attribute. */
export function invalidEvent(attribute: string, why: string): FnError {
  return FnError.of("INVALID_EVENT", `invalid event: ${attribute}: ${why}`, { details: { attribute } })
}

function requireText(attributes: Record<string, unknown>, name: string): void {
  const value = attributes[name]
  if (typeof value === "string" && value !== "") return
  throw invalidEvent(name, value === undefined ? "it is missing" : "it must be a non-empty string")
}

function optionalText(attributes: Record<string, unknown>, name: string): void {
  const value = attributes[name]
  if (value !== undefined && (typeof value !== "string" || value === "")) throw invalidEvent(name, "it must be a non-empty string")
}

function checkExtension(name: string, value: unknown): void {
  if (!NAME.test(name)) throw invalidEvent(name, "an attribute name has only lower-case letters and digits")
  if (name === "data") throw invalidEvent(name, "it cannot name an extension")
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return
    case "number":
      if (Number.isInteger(value) && value >= -2147483648 && value <= 2147483647) return
      throw invalidEvent(name, `${value} is no 32-bit integer; send it as a string`)
    default:
      throw invalidEvent(name, "an extension is a string, an integer or a boolean")
  }
}

/** The last text that was a time: events of one millisecond share it, and one event is checked on its way in and out. */
let lastTime: string | undefined

function isTime(value: unknown): boolean {
  if (value === lastTime) return true
  if (typeof value !== "string" || !TIME.test(value)) return false
  const day = Number(value.slice(8, 10))
  if (day > 28 && day > daysOf(Number(value.slice(0, 4)), Number(value.slice(5, 7)))) return false
  lastTime = value
  return true
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}
