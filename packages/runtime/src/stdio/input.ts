/** What a program is given of an execution: bytes on stdin and environment variables. docs/command-protocol.md#input */
import { isUtf8 } from "node:buffer"
import { type FunctionIdentity, isJsonType, type WireEvent } from "@fn/core"
import type { StdinForm } from "@fn/registry"
import { isJsonText } from "./json-shape.js"

/** One execution as a program sees it. */
export interface ProgramInput {
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly invocationId: string
  readonly attempt: number
  /** Time left when it starts, ms; Infinity for none. */
  readonly timeoutMs: number
  readonly event: WireEvent
}

/** A longer attribute is on stdin only: the kernel bounds a variable at 128 KiB and all of them together. */
const MAX_VARIABLE_BYTES = 8 * 1024
const MAX_ATTRIBUTE_BYTES = 64 * 1024
const NEW_LINE = Buffer.from("\n")

/** The bytes that go to stdin, in pieces. */
export function stdinOf(event: WireEvent, form: StdinForm = "event"): Uint8Array[] {
  if (form === "data") return event.data === undefined ? [] : [event.data]
  const head = JSON.stringify(event.attributes)
  if (event.data === undefined) return [Buffer.from(`${head}\n`)]
  const { member, data } = dataMember(event.data, event.attributes.datacontenttype)
  return [Buffer.from(`${head.slice(0, -1)},"${member}":`), ...data, Buffer.from("}"), NEW_LINE]
}

/** Variables that say what call this is: `FN_…`, and the attributes of the event as `CE_…`. */
export function variablesOf(input: ProgramInput): Record<string, string> {
  const { fn, config, invocationId, attempt, timeoutMs, event } = input
  return {
    ...attributeVariables(event),
    FN_NAMESPACE: fn.namespace,
    FN_NAME: fn.name,
    FN_VERSION: fn.version,
    FN_INVOCATION_ID: invocationId,
    FN_ATTEMPT: String(attempt),
    ...(timeoutMs === Number.POSITIVE_INFINITY ? {} : { FN_TIMEOUT_MS: String(Math.max(1, Math.floor(timeoutMs))) }),
    FN_CONFIG: JSON.stringify(config),
  }
}

function attributeVariables({ attributes }: WireEvent): Record<string, string> {
  const variables: Record<string, string> = {}
  let bytes = 0
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue
    const text = String(value)
    const size = Buffer.byteLength(text)
    if (size > MAX_VARIABLE_BYTES || text.includes("\0") || bytes + size > MAX_ATTRIBUTE_BYTES) continue
    bytes += size + name.length
    variables[`CE_${name.toUpperCase()}`] = text
  }
  return variables
}

/** Data as a member of the event's JSON: JSON as it is, text in quotes, all else as base64. */
function dataMember(data: Uint8Array, contentType: string | undefined): { member: string; data: Uint8Array[] } {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (isJsonType(contentType)) {
    if (isJsonText(bytes)) return { member: "data", data: [onOneLine(bytes)] }
  } else if (/^text\//i.test(contentType as string)) {
    // What is no UTF-8 would come out as other bytes.
    if (isUtf8(bytes)) return { member: "data", data: [Buffer.from(JSON.stringify(bytes.toString("utf8")))] }
  }
  return { member: "data_base64", data: [Buffer.from(`"${bytes.toString("base64")}"`)] }
}

/** Scripts read a line. A line break in JSON is white space between tokens, never part of a string, so a space says the same. */
function onOneLine(json: Buffer): Buffer {
  if (!json.includes(0x0a) && !json.includes(0x0d)) return json
  return Buffer.from(json.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)))
}
