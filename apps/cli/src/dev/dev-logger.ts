import { createLogger, type Logger, type LogLevel } from "@fn/core"
import type { DevConsole } from "./console.js"

/** Lines of the host that only say again what the console has said in its own words. */
const QUIET: ReadonlySet<LogLevel> = new Set(["trace", "debug", "info"])

/** The runtime's logger: what functions log is shown from `info` on, what the host says from `warn` on. */
export function createDevLogger(console: DevConsole): Logger {
  const functions = createLogger((level, message, fields) => {
    if (level !== "trace" && level !== "debug") console.functionLog(level, message, fields)
  })
  const host = (bound: Readonly<Record<string, unknown>>): Logger => ({
    ...createLogger((level, message, fields) => {
      if (!QUIET.has(level)) console.warn(`${message} ${JSON.stringify({ ...bound, ...fields })}`)
    }),
    // The runtime gives every instance a logger of its own: that one speaks for the function.
    child: (fields) => ("instanceId" in fields ? functions.child({ ...bound, ...fields }) : host({ ...bound, ...fields })),
  })
  return host({})
}
