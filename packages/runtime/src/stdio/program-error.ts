/** What an exit code means. docs/command-protocol.md#exit-codes */
import { FnError, isCode, messageOf } from "@fn/core"

/** EX_DATAERR of sysexits.h: the event itself is wrong, and no repetition mends it. */
const EXIT_BAD_EVENT = 65
const MESSAGE_LINES = 5
const MESSAGE_CHARS = 1_000
/** The end of stderr that travels with a failure. */
export const STDERR_TAIL_CHARS = 2_000

/** What is known of a program that ended with another exit code than 0. */
export interface ProgramEnd {
  readonly code: number
  /** The end of what it wrote to stderr. */
  readonly stderr: string
  /** The end of what it wrote to stdout, if that was text. */
  readonly stdout: string
  /** What it said of its failure, as JSON. */
  readonly failure: Readonly<Record<string, unknown>> | undefined
}

/** The error of an execution whose program ended with another exit code than 0. */
export function programError(end: ProgramEnd): FnError {
  const details = { exitCode: end.code, ...(end.stderr.trim() === "" ? {} : { stderr: end.stderr.trim().slice(-STDERR_TAIL_CHARS) }) }
  if (end.failure) return saidError(end.failure, details)
  const message = lastLines(end.stderr) || lastLines(end.stdout) || `exit code ${end.code}`
  return FnError.of(end.code === EXIT_BAD_EVENT ? "INVALID_EVENT" : "FUNCTION_THREW", message, { details })
}

/** The author's own words: not retryable is terminal, as FnError.terminal is; nothing said is a plain throw. */
function saidError(said: Readonly<Record<string, unknown>>, details: Readonly<Record<string, unknown>>): FnError {
  const reason = typeof said.reason === "string" && said.reason !== "" ? said.reason : undefined
  const retryable = typeof said.retryable === "boolean" ? said.retryable : undefined
  const retryAfterMs = typeof said.retryAfterMs === "number" && said.retryAfterMs >= 0 ? said.retryAfterMs : undefined
  const code = isCode(said.code)
    ? said.code
    : retryable === false
      ? "failed_precondition"
      : retryAfterMs !== undefined
        ? "unavailable"
        : "unknown"
  const own = typeof said.details === "object" && said.details !== null ? (said.details as Record<string, unknown>) : undefined
  return new FnError(code, typeof said.message === "string" ? messageOf(said) : (reason as string), {
    ...(reason !== undefined ? { reason } : code === "unknown" ? { reason: "FUNCTION_THREW" } : {}),
    ...(retryable === undefined ? {} : { retryable }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    details: own ?? details,
  })
}

function lastLines(text: string): string {
  const lines = text.trim().split("\n").slice(-MESSAGE_LINES)
  return lines.join("\n").slice(-MESSAGE_CHARS).trim()
}
