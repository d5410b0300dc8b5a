import { FnError } from "./errors.js"
import { checkAttributes, type EventAttributes, type WireEvent } from "./event/event.js"
import type { FunctionIdentity } from "./handler.js"

/** Bodies of the frames in frame.ts. docs/module-protocol.md */

/** What a host tells a module process to load. */
export interface LoadRequest {
  /** Absolute path of the bundle (ES module). */
  readonly path: string
  /** The bundle itself, for a process that cannot see the host's files: it writes it to `path` first. */
  readonly source?: string
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
}

/** What a module process says of what it loaded. */
export interface LoadResponse {
  /** Event types the function takes; absent: any. */
  readonly accepts?: readonly string[]
  readonly emits?: readonly string[]
  /** Resident set of the process after the load, in bytes. */
  readonly rssBytes: number
}

/** Everything about a call but its data. */
export interface CallHead {
  readonly invocationId: string
  readonly attempt: number
  /** Time left in ms when the frame was sent; absent: none. */
  readonly timeoutMs?: number
  /** The call streams: its events are sent as they come, at most so many before there is credit. Absent: all in the result. */
  readonly window?: number
  readonly attributes: EventAttributes
}

/** A line that a handler logged. */
export interface LogBody {
  readonly level: "trace" | "debug" | "info" | "warn" | "error"
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Body of a `call` frame as pieces for one write: `u32 headBytes · head JSON · data`. Absent data is told by the head. */
export function encodeCall(head: CallHead, data: Uint8Array | undefined): { prefix: Buffer; data: Uint8Array | undefined } {
  const json = JSON.stringify(data === undefined ? { ...head, noData: true } : head)
  const bytes = Buffer.byteLength(json)
  const prefix = Buffer.allocUnsafe(4 + bytes)
  prefix.writeUInt32BE(bytes, 0)
  prefix.write(json, 4)
  return { prefix, data }
}

/** The call in the body of a `call` frame. @throws {FnError} internal when the body breaks the protocol */
export function decodeCall(body: Buffer): { head: CallHead; data: Uint8Array | undefined } {
  const end = 4 + readLength(body, 0)
  const head = parseHead<CallHead & { noData?: boolean }>(body, 4, end)
  return { head, data: head.noData ? undefined : body.subarray(end) }
}

/** Body of a `result` or `events` frame as pieces: `u32 count`, then per event `u32 headBytes · u32 dataBytes + 1 (0: no data) · head JSON · data`. */
export function encodeResult(events: readonly WireEvent[]): Uint8Array[] {
  const count = Buffer.allocUnsafe(4)
  count.writeUInt32BE(events.length, 0)
  const pieces: Uint8Array[] = [count]
  for (const { attributes, data } of events) {
    const json = JSON.stringify(attributes)
    const bytes = Buffer.byteLength(json)
    const head = Buffer.allocUnsafe(8 + bytes)
    head.writeUInt32BE(bytes, 0)
    head.writeUInt32BE(data === undefined ? 0 : data.length + 1, 4)
    head.write(json, 8)
    pieces.push(head)
    if (data !== undefined && data.length > 0) pieces.push(data)
  }
  return pieces
}

/**
 * The events in the body of a `result` or `events` frame. Their attributes are checked again: a module process runs the author's code, and what
 * it says goes into header lines.
 * @throws {FnError} internal when the body breaks the protocol, invalid_argument INVALID_EVENT for what is no event
 */
export function decodeResult(body: Buffer): WireEvent[] {
  const count = readLength(body, 0)
  const events: WireEvent[] = []
  let at = 4
  for (let i = 0; i < count; i++) {
    const headEnd = at + 8 + readLength(body, at)
    const dataBytes = readLength(body, at + 4)
    const end = dataBytes === 0 ? headEnd : headEnd + dataBytes - 1
    const attributes = checkAttributes(parseHead<Record<string, unknown>>(body, at + 8, headEnd))
    if (end > body.length) throw cutShort()
    events.push({ attributes, data: dataBytes === 0 ? undefined : body.subarray(headEnd, end) })
    at = end
  }
  return events
}

/** Body of a `credit` frame. */
export function encodeCredit(count: number): Uint8Array {
  const body = Buffer.allocUnsafe(4)
  body.writeUInt32BE(count, 0)
  return body
}

/** The number in a `credit` frame. @throws {FnError} internal when the body breaks the protocol */
export function decodeCredit(body: Buffer): number {
  return readLength(body, 0)
}

function readLength(body: Buffer, at: number): number {
  if (at + 4 > body.length) throw cutShort()
  return body.readUInt32BE(at)
}

function parseHead<T>(body: Buffer, start: number, end: number): T {
  if (end > body.length) throw cutShort()
  let parsed: unknown
  try {
    parsed = JSON.parse(body.toString("utf8", start, end))
  } catch (cause) {
    throw new FnError("internal", "a frame breaks the module protocol: its head is no JSON", { cause })
  }
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as T
  throw new FnError("internal", "a frame breaks the module protocol: its head is no JSON object")
}

function cutShort(): FnError {
  return new FnError("internal", "a frame breaks the module protocol: it is cut short")
}
