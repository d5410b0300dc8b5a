import { createLogger, type Logger, type LogLevel } from "@fn/core"
import { writeFully } from "../wire/write-fully.js"
import { formatHclogLine } from "./hclog.js"

/** How to make a plugin's logger. */
export interface HclogLoggerOptions {
  /** Dotted name, shown by the host as `module`. */
  readonly name?: string
  /** Lines below it are not written. Default `trace`: the host filters. */
  readonly level?: LogLevel
  /** Default: the process's real stderr, which is what a go-plugin host reads logs from. */
  readonly write?: (line: string) => void
}

const ORDER: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"]
const STDERR_FD = 2

/** A logger for plugins: one hclog JSON line per call, at its own level on the host's side. */
export function createHclogLogger(options: HclogLoggerOptions = {}): Logger {
  const write = options.write ?? ((line: string) => void writeFully(STDERR_FD, line))
  const least = ORDER.indexOf(options.level ?? "trace")
  return createLogger((level, message, fields) => {
    if (ORDER.indexOf(level) < least) return
    write(formatHclogLine({ level, message, fields, ...(options.name ? { module: options.name } : {}) }))
  })
}
