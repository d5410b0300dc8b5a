/**
 * The log lines of go-plugin: hclog's JSON, one object a line, on a plugin's stderr.
 *
 * A Go host *panics* when `@message`, `@level` or `@timestamp` is no string, and logs the raw line when the time stamp has not exactly
 * six fraction digits; so what we write is strict, and what we read is not.
 */
import type { LogLevel } from "@fn/core"

/** One line of a plugin's stderr, understood. */
export interface PluginLogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

const LEVELS: ReadonlySet<string> = new Set<LogLevel>(["trace", "debug", "info", "warn", "error"])
const PREFIXES: ReadonlyArray<readonly [string, LogLevel]> = [
  ["[TRACE]", "trace"],
  ["[DEBUG]", "debug"],
  ["[INFO]", "info"],
  ["[WARN]", "warn"],
  ["[ERROR]", "error"],
]
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/
/** A Go host reads lines of up to 64 KiB; a longer one arrives in pieces, unparsed. */
const MAX_LINE_BYTES = 60_000
const MAX_VALUE_LENGTH = 16_384

/** Reads stderr line by line; knows when a panic's trace began, which lasts until the stream ends. */
export class HclogReader {
  #panicked = false

  /** Never throws: what is no log line is text at `debug`, or at `error` once a Go runtime reported its own death. */
  read(line: string): PluginLogLine {
    const record = parseObject(line)
    if (record) return fromRecord(record) ?? plain("debug", line)
    for (const [prefix, level] of PREFIXES) if (line.startsWith(prefix)) return plain(level, line)
    if (line.startsWith("panic: ") || line.startsWith("fatal error: ")) this.#panicked = true
    return plain(this.#panicked ? "error" : "debug", line)
  }
}

/** What {@link formatHclogLine} writes. */
export interface HclogEntry extends PluginLogLine {
  /** Epoch ms; default now. */
  readonly at?: number
  /** Dotted name of the logger: `@module`. */
  readonly module?: string
}

/** One line with its newline. Keys that begin with `@` are the format's own: such a field is written with `_` in front. */
export function formatHclogLine(entry: HclogEntry): string {
  const record: Record<string, unknown> = {
    "@level": entry.level,
    "@message": truncate(String(entry.message)),
    ...(entry.module ? { "@module": entry.module } : {}),
    // toISOString has three digits, Go's layout wants exactly six.
    "@timestamp": new Date(entry.at ?? Date.now()).toISOString().replace("Z", "000Z"),
  }
  const line = stringify({ ...record, ...ownFields(entry.fields) })
  if (line !== undefined && Buffer.byteLength(line) <= MAX_LINE_BYTES) return `${line}\n`
  return `${JSON.stringify({ ...record, fields_dropped: line === undefined ? "not serializable" : "too large" })}\n`
}

function parseObject(line: string): Record<string, unknown> | undefined {
  if (!line.trimStart().startsWith("{")) return undefined
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined // text that begins with a brace
  }
}

function fromRecord(record: Record<string, unknown>): PluginLogLine | undefined {
  const { "@level": level, "@message": message, "@timestamp": timestamp, "@module": module, "@caller": caller, ...pairs } = record
  const known = typeof level === "string" ? level.toLowerCase() : ""
  if (!LEVELS.has(known)) return undefined
  if (typeof timestamp === "string" && !RFC3339.test(timestamp)) return undefined
  return {
    level: known as LogLevel,
    message: typeof message === "string" ? message : message === undefined ? "" : JSON.stringify(message),
    fields: {
      ...pairs,
      ...(module === undefined ? {} : { module }),
      ...(caller === undefined ? {} : { caller }),
      ...(timestamp === undefined ? {} : { timestamp }),
    },
  }
}

function plain(level: LogLevel, message: string): PluginLogLine {
  return { level, message, fields: {} }
}

function ownFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key.startsWith("@") ? `_${key}` : key, value]))
}

function stringify(record: Record<string, unknown>): string | undefined {
  try {
    return JSON.stringify(record, replacer)
  } catch {
    return undefined // a cycle, or a toJSON that throws
  }
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value)
  if (typeof value === "string") return truncate(value)
  // Node's own errors are not always `instanceof Error` (other realms), so by shape; JSON would make them {}.
  if (typeof value === "object" && value !== null && "stack" in value && "message" in value) return truncate(String(value.stack))
  return value
}

function truncate(text: string): string {
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}… (${text.length} characters)` : text
}
