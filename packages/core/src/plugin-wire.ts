/**
 * What both ends of fn.plugin.v1 say the same way: errors, durations, log records, free-form structs.
 *
 * An error travels as a `Status` whose first detail is a google.protobuf.Struct with `reason` and, where there are any, `details`,
 * `retryable`, `retryAfterMs`, `errorId`. In a unary call the same Status is the trailer `grpc-status-details-bin`: its first three fields
 * are those of google.rpc.Status, so every gRPC library reads it. docs/plugin-protocol.md#errors
 *
 * An entry of its own (`@fn/core/plugin-wire`), because it loads gRPC.
 */
import { type duration, plugin, struct } from "@fn/proto"
import { CODES, codeFromGrpc, FnError, type FnErrorData, messageOf } from "./errors.js"
import type { LogLevel } from "./logger.js"

export { EnvelopeBatch, MAX_BATCH_FRAMES } from "./envelope-batch.js"

const STRUCT_URL = "type.googleapis.com/google.protobuf.Struct"
/** Trailer of a failed unary call. */
export const STATUS_DETAILS_TRAILER = "grpc-status-details-bin"

/** An error as a plugin sends it. */
export function statusFromError(error: FnError): plugin.Status {
  const { code, message, reason, details, retryable, retryAfterMs, errorId } = error.toData()
  const detail = toStruct({ reason, details, retryable, retryAfterMs, errorId })
  return {
    code: CODES[code].grpc,
    message,
    details: [{ typeUrl: STRUCT_URL, value: Buffer.from(struct.Struct.encode(struct.Struct.wrap(detail)).finish()) }],
    retryable: error.retryable,
    retryAfter: retryAfterMs === undefined ? undefined : durationFromMs(retryAfterMs),
  }
}

/** The error a plugin sent. From a plugin that gives no reason, the code decides what it means. */
export function errorFromStatus(status: plugin.Status): FnError {
  const code = codeFromGrpc(status.code)
  const sent = status.details.map(readDetail).find((detail) => detail !== undefined)
  if (sent) return FnError.fromData({ ...sent, code, message: status.message })
  const retryAfterMs = status.retryAfter && msFromDuration(status.retryAfter)
  const reason = retryAfterMs === undefined ? REASON_OF_CODE[code] : "RETRY_AFTER"
  return new FnError(code, status.message || code, {
    ...(reason ? { reason } : {}),
    ...(status.retryable || retryAfterMs !== undefined ? { retryable: true } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** The Status in a trailer, if `bytes` are one. */
export function decodeStatus(bytes: Uint8Array): plugin.Status | undefined {
  try {
    return plugin.Status.decode(bytes)
  } catch {
    return undefined // some other library's trailer: the plain gRPC status says enough
  }
}

const REASON_OF_CODE: Partial<Record<string, string>> = { unknown: "FUNCTION_THREW", deadline_exceeded: "FUNCTION_TIMEOUT" }

function readDetail(detail: { typeUrl: string; value: Uint8Array }): Omit<FnErrorData, "code" | "message"> | undefined {
  if (detail.typeUrl !== STRUCT_URL) return undefined
  try {
    const fields = struct.Struct.unwrap(struct.Struct.decode(detail.value))
    return typeof fields.reason === "string" && fields.reason !== "" ? (fields as Omit<FnErrorData, "code" | "message">) : undefined
  } catch {
    return undefined // damaged: the code and message are still right
  }
}

/** `ms` as a protobuf duration. */
export function durationFromMs(ms: number): duration.Duration {
  const seconds = Math.floor(ms / 1000)
  return { seconds: BigInt(seconds), nanos: Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6)) }
}

/** A protobuf duration in ms. */
export function msFromDuration({ seconds, nanos }: duration.Duration): number {
  return Number(seconds) * 1000 + nanos / 1e6
}

const LEVELS: Readonly<Record<LogLevel, plugin.LogLevel>> = {
  trace: plugin.LogLevel.LOG_LEVEL_TRACE,
  debug: plugin.LogLevel.LOG_LEVEL_DEBUG,
  info: plugin.LogLevel.LOG_LEVEL_INFO,
  warn: plugin.LogLevel.LOG_LEVEL_WARN,
  error: plugin.LogLevel.LOG_LEVEL_ERROR,
}

/** A log level on the wire. */
export function logLevelToProto(level: LogLevel): plugin.LogLevel {
  return LEVELS[level]
}

/** A log level from the wire; `info` for one that is not known. */
export function logLevelFromProto(level: plugin.LogLevel): LogLevel {
  for (const name in LEVELS) if (LEVELS[name as LogLevel] === level) return name as LogLevel
  return "info"
}

/** `fields` as a Struct can hold them: what JSON cannot say becomes text, an error its name and message; undefined is left out. Never throws. */
export function toStruct(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const seen = new WeakSet<object>()
  try {
    return JSON.parse(JSON.stringify(fields, (_key, value: unknown) => plain(value, seen))) as Record<string, unknown>
  } catch (thrown) {
    return { unreadable: messageOf(thrown) } // a toJSON of the author's that throws
  }
}

function plain(value: unknown, seen: WeakSet<object>): unknown {
  if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol") return String(value)
  if (typeof value !== "object" || value === null) return value
  if (seen.has(value)) return "[seen before]"
  seen.add(value)
  return isErrorLike(value) ? `${value.name}: ${value.message}` : value
}

function isErrorLike(value: object): value is Error {
  return "message" in value && "stack" in value && "name" in value
}
