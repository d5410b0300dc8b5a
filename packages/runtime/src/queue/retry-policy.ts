/** What becomes of an attempt that failed. docs/protocol.md#retries */
import type { Code, FnError } from "@fn/core"
import type { RetryPolicy } from "@fn/registry"

/** Policy of a function that declares none. */
export const DEFAULT_RETRY: Omit<RetryPolicy, "attempts"> = { initialMs: 1_000, maxMs: 30_000, factor: 2, jitter: true }

/** Codes that no repetition mends, in whatever language the function is written. */
const PERMANENT: ReadonlySet<Code> = new Set<Code>([
  "invalid_argument",
  "not_found",
  "already_exists",
  "permission_denied",
  "unauthenticated",
  "failed_precondition",
  "out_of_range",
  "unimplemented",
  "data_loss",
  "cancelled",
])

/** Failures that say nothing of the invocation, only that this host cannot run it: another may. */
const HOST_LOCAL: ReadonlySet<string> = new Set([
  "RUNTIME_UNSUPPORTED",
  "ISOLATION_UNAVAILABLE",
  "BUILTIN_NOT_REGISTERED",
  "COMMAND_NOT_EXECUTABLE",
  "HOST_DRAINING",
  "CIRCUIT_OPEN",
])

/** Whether only this host could not run it. */
export function isHostLocal(error: FnError): boolean {
  return HOST_LOCAL.has(error.reason)
}

/** Whether an attempt that failed with `error` is the last one, whatever its number. */
export function isPermanent(error: FnError, policy: Pick<RetryPolicy, "on" | "except"> = {}): boolean {
  if (error.code === "cancelled") return true
  const named = (list: readonly string[]): boolean => list.includes(error.reason) || list.includes(error.code)
  if (policy.except && named(policy.except)) return true
  if (policy.on) return !named(policy.on)
  return PERMANENT.has(error.code)
}

/** How long the next attempt waits, ms: what the error asks for, else exponential back-off. `random` is from 0 to 1. */
export function retryDelayMs(
  error: FnError,
  attempt: number,
  policy: Omit<RetryPolicy, "attempts"> = DEFAULT_RETRY,
  random: number = Math.random(),
): number {
  if (error.retryAfterMs !== undefined) return Math.max(0, error.retryAfterMs)
  const { initialMs, maxMs, factor, jitter } = policy
  const delayMs = Math.min(maxMs, initialMs * factor ** (attempt - 1))
  // Half of it fixed, half drawn: what failed together does not come back together.
  return Math.round(jitter ? delayMs / 2 + (delayMs / 2) * random : delayMs)
}
