/** What one JSON value on stdout means: an event, several, or the bare data of one. docs/command-protocol.md#stdout */
import { type CloudEvent, eventToWire, FnError, isJsonType, messageOf, type WireEvent } from "@fn/core"
import { type JsonShape, type Range, shapeOfJson } from "./json-shape.js"

/** What is filled in where the output says nothing. */
export interface EventDefaults {
  readonly source: string
  readonly type: string
}

/** What CloudEvents defines; anything else in an object without `specversion` says that it is data. */
const EVENT_MEMBERS: ReadonlySet<string> = new Set([
  ...["id", "source", "type", "specversion", "datacontenttype", "dataschema", "subject", "time"],
  ...["data", "data_base64"],
])
const ATTRIBUTE_NAME = /^[a-z0-9]+$/
const MAX_ATTRIBUTE_BYTES = 64 * 1024
/** Events that one answer may have; a stream has no such limit. */
export const MAX_EVENTS = 10_000
/** What a failed program says about it is no longer than this. */
export const MAX_FAILURE_BYTES: number = 64 * 1024

/** The events in an object or array. @throws {FnError} failed_precondition BAD_OUTPUT */
export function eventsOf(value: Buffer, defaults: EventDefaults): WireEvent[] {
  const shape = shapeOfJson(value)
  switch (shape.kind) {
    case "invalid":
      throw badOutput(`what it wrote to stdout is no JSON, at byte ${shape.at} of ${excerpt(value)}: ${shape.why}`)
    case "object":
      return [isEvent(value, shape) ? eventOf(value, shape, defaults) : bareOf(value, defaults)]
    case "array":
      return eventsOfArray(value, shape, defaults)
    case "scalar":
      return [bareOf(value, defaults)]
  }
}

/** An array of events is those events; any other is data, whole. */
function eventsOfArray(value: Buffer, shape: Extract<JsonShape, { kind: "array" }>, defaults: EventDefaults): WireEvent[] {
  const elements = shape.elements.map((range) => {
    const text = slice(value, range)
    return { text, shape: shapeOfJson(text) }
  })
  const events = elements.flatMap(({ text, shape }) => (shape.kind === "object" && isEvent(text, shape) ? [{ text, shape }] : []))
  if (events.length === elements.length) {
    if (shape.truncated) throw tooMany()
    return events.map(({ text, shape }) => eventOf(text, shape, defaults))
  }
  if (events.some(({ shape }) => shape.members.has("specversion")))
    throw badOutput("an array on stdout has CloudEvents and something else in it")
  return [bareOf(value, defaults)]
}

/** What a process that failed said about it: `{"error": {"message", "reason", "retryable", …}}` and nothing else. */
export function failureOf(value: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (value.length > MAX_FAILURE_BYTES) return undefined
  const shape = shapeOfJson(value)
  if (shape.kind !== "object" || shape.members.size !== 1 || !shape.members.has("error")) return undefined
  const { error } = JSON.parse(value.toString("utf8")) as { error: unknown }
  if (typeof error !== "object" || error === null || Array.isArray(error)) return undefined
  const said = error as Record<string, unknown>
  return typeof said.message === "string" || typeof said.reason === "string" ? said : undefined
}

/** The error for an output that cannot be understood. */
export function badOutput(why: string): FnError {
  return FnError.of("BAD_OUTPUT", `the function must write CloudEvents, data or nothing, but ${why}`)
}

/** The error for more events than one answer may have. */
export function tooMany(): FnError {
  return FnError.of("OUTPUT_LIMIT", "the function wrote more events than an answer may have")
}

function isEvent(value: Buffer, { members }: Extract<JsonShape, { kind: "object" }>): boolean {
  if (members.has("specversion")) return true
  const type = members.get("type")
  if (type === undefined || value[type[0]] !== 0x22) return false
  for (const name of members.keys()) if (!EVENT_MEMBERS.has(name)) return false
  return true
}

function eventOf(value: Buffer, { members, truncated }: Extract<JsonShape, { kind: "object" }>, defaults: EventDefaults): WireEvent {
  if (truncated) throw badOutput("an event on stdout has too many attributes")
  const attributes: Record<string, unknown> = {}
  for (const [name, range] of members) {
    if (name === "data" || name === "data_base64") continue
    const attribute = attributeOf(name, slice(value, range))
    if (attribute !== null) attributes[name] = attribute
  }
  const { data, isBinary } = dataOf(value, members, attributes)
  try {
    const wire = eventToWire({ type: defaults.type, ...attributes } as unknown as CloudEvent, { source: defaults.source })
    if (data !== undefined) wire.attributes.datacontenttype ??= isBinary ? "application/octet-stream" : "application/json"
    return { attributes: wire.attributes, data }
  } catch (thrown) {
    throw badOutput(`an event on stdout is none: ${messageOf(thrown)}`)
  }
}

function attributeOf(name: string, text: Buffer): unknown {
  if (!ATTRIBUTE_NAME.test(name))
    throw badOutput(`an event on stdout has an attribute ${JSON.stringify(name.slice(0, 100))}, which is no name of one`)
  if (text.length > MAX_ATTRIBUTE_BYTES)
    throw badOutput(`attribute ${name} of an event on stdout has more than ${MAX_ATTRIBUTE_BYTES} bytes`)
  return JSON.parse(text.toString("utf8"))
}

/** JSON stays as it was written, letter by letter; text of another type loses its quotes. */
function dataOf(
  value: Buffer,
  members: ReadonlyMap<string, Range>,
  attributes: Readonly<Record<string, unknown>>,
): { data: Buffer | undefined; isBinary: boolean } {
  const json = members.has("data") ? slice(value, members.get("data") as Range) : undefined
  const base64 = members.has("data_base64") ? decodeBase64(slice(value, members.get("data_base64") as Range)) : undefined
  if (json !== undefined && base64 !== undefined) throw badOutput("an event on stdout has data and data_base64")
  if (json === undefined) return { data: base64, isBinary: true }
  const type = typeof attributes.datacontenttype === "string" ? attributes.datacontenttype : undefined
  const isText = json[0] === 0x22 && !isJsonType(type)
  return { data: isText ? Buffer.from(JSON.parse(json.toString("utf8")) as string, "utf8") : json, isBinary: false }
}

/** `data_base64: null` is none, while `data: null` is JSON's null. */
function decodeBase64(text: Buffer): Buffer | undefined {
  const value = JSON.parse(text.toString("utf8")) as unknown
  if (value === null) return undefined
  if (typeof value === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(value)) return Buffer.from(value, "base64")
  throw badOutput("data_base64 of an event on stdout is no base64 text")
}

function bareOf(value: Buffer, { source, type }: EventDefaults): WireEvent {
  return { attributes: { ...eventToWire({ type }, { source }).attributes, datacontenttype: "application/json" }, data: value }
}

function slice(value: Buffer, [start, end]: Range): Buffer {
  return value.subarray(start, end)
}

function excerpt(value: Buffer): string {
  return JSON.stringify(value.subarray(0, 80).toString("utf8"))
}
