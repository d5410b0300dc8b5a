/** Levels from noisy to quiet. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error"

/** Structured logging as the packages use it: a constant message and dictionary keys. winston, pino and console loggers fit behind it. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** A logger that adds `fields` to every line. */
  child(fields: Readonly<Record<string, unknown>>): Logger
}

/** A logger over one sink. */
export function createLogger(sink: (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void): Logger {
  const make = (bound: Readonly<Record<string, unknown>>): Logger => {
    const log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void =>
      sink(level, message, fields ? { ...bound, ...fields } : bound)
    return {
      log,
      debug: (message, fields) => log("debug", message, fields),
      info: (message, fields) => log("info", message, fields),
      warn: (message, fields) => log("warn", message, fields),
      error: (message, fields) => log("error", message, fields),
      child: (fields) => make({ ...bound, ...fields }),
    }
  }
  return make({})
}

/** The default everywhere: says nothing. */
export const noopLogger: Logger = createLogger(() => undefined)
