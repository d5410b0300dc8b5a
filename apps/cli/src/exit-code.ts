import type { Code, FnError, Reason } from "@fn/core"

/** What the command's exit code says. */
export const ExitCode = {
  ok: 0,
  /** The function itself failed: it threw, crashed, did not build, was refused. */
  functionFailed: 1,
  /** The command line, fn.yaml or the event is wrong. */
  usage: 2,
  notFound: 3,
  /** NATS, a host or a port is not there for us. */
  platformUnavailable: 4,
  timedOut: 5,
  /** Stopped by Ctrl-C before it was done. */
  interrupted: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** `unavailable` speaks of the platform, except where the function's own process was the cause. */
const FUNCTION_UNAVAILABLE: ReadonlySet<string> = new Set<Reason | "RETRY_AFTER">([
  "FUNCTION_CRASHED",
  "CRASH_LOOP",
  "PLUGIN_EXITED",
  "PLUGIN_START_TIMEOUT",
  "RETRY_AFTER",
])
/** Preconditions that only the platform's operator can mend. */
const PLATFORM_REASONS: ReadonlySet<string> = new Set<Reason>([
  "NOT_SET_UP",
  "JETSTREAM_OFF",
  "STORAGE_FULL",
  "SERVER_TOO_OLD",
  "SCHEMA_TOO_NEW",
  "NATS_PERMISSION",
  "QUEUE_FULL",
])
const USAGE_REASONS: ReadonlySet<string> = new Set<Reason>(["FOLDER_NOT_EMPTY", "FEATURE_UNSUPPORTED"])

const BY_CODE: Readonly<Record<Code, ExitCode>> = {
  cancelled: ExitCode.interrupted,
  unknown: ExitCode.functionFailed,
  invalid_argument: ExitCode.usage,
  deadline_exceeded: ExitCode.timedOut,
  not_found: ExitCode.notFound,
  already_exists: ExitCode.functionFailed,
  permission_denied: ExitCode.functionFailed,
  resource_exhausted: ExitCode.functionFailed,
  failed_precondition: ExitCode.functionFailed,
  aborted: ExitCode.functionFailed,
  out_of_range: ExitCode.usage,
  unimplemented: ExitCode.functionFailed,
  internal: ExitCode.functionFailed,
  unavailable: ExitCode.platformUnavailable,
  data_loss: ExitCode.functionFailed,
  unauthenticated: ExitCode.platformUnavailable,
}

/** The exit code of a command that ended with `error`. */
export function exitCodeOf(error: Pick<FnError, "code" | "reason">): ExitCode {
  if (PLATFORM_REASONS.has(error.reason)) return ExitCode.platformUnavailable
  if (FUNCTION_UNAVAILABLE.has(error.reason)) return ExitCode.functionFailed
  if (USAGE_REASONS.has(error.reason)) return ExitCode.usage
  return BY_CODE[error.code]
}
