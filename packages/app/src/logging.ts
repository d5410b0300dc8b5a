import { createLogger, type Logger } from "@fn/core"
import winston from "winston"
import { z } from "zod"
import type { AppOption } from "./config.js"

/** How an app logs. */
export interface LogSettings {
  readonly logLevel: "error" | "warn" | "info" | "debug"
  readonly logFormat: "json" | "text"
}

/** The options of {@link LogSettings}, the same for every app. */
export const LOG_OPTIONS: readonly AppOption[] = [
  {
    key: "logLevel",
    value: "level",
    description: "error, warn, info or debug (default info)",
    schema: z.enum(["error", "warn", "info", "debug"]).default("info"),
  },
  { key: "logFormat", value: "format", description: "json or text (default json)", schema: z.enum(["json", "text"]).default("json") },
]

/** A logger that writes one line per message to stderr: JSON, or text for people. */
export function createAppLogger(settings: LogSettings): Logger {
  const { timestamp, json, printf, combine } = winston.format
  const text = printf(
    ({ timestamp: at, level, message, ...fields }) => `${String(at)} ${level.padEnd(5)} ${String(message)}${formatFields(fields)}`,
  )
  const logger = winston.createLogger({
    level: settings.logLevel,
    format: combine(timestamp(), settings.logFormat === "json" ? json() : text),
    transports: [new winston.transports.Stream({ stream: process.stderr })],
  })
  // winston has no trace; what is that noisy counts as debug.
  return createLogger((level, message, fields) => void logger.log(level === "trace" ? "debug" : level, message, fields))
}

function formatFields(fields: Readonly<Record<string, unknown>>): string {
  let text = ""
  for (const key of Object.keys(fields)) text += ` ${key}=${typeof fields[key] === "string" ? fields[key] : JSON.stringify(fields[key])}`
  return text
}
