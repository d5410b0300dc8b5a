import type { FnError, Reason } from "@fn/core"

/** What says that a limit ended an execution. */
const LIMITS: ReadonlySet<string> = new Set<Reason>(["MEMORY_LIMIT", "CPU_LIMIT", "PIDS_LIMIT", "OUTPUT_LIMIT"])

/** Whether a limit ended an execution that failed with `error`. */
export function isLimit({ reason }: FnError): boolean {
  return LIMITS.has(reason)
}

/** Part that the newest execution has in the average. */
const SMOOTHING = 0.1
/**
 * An execution counts for at most so many averages. While a host takes in a burst of calls everything that runs seems to take as long as that;
 * reckoned with at its full length it would make the host refuse calls that it has time for.
 */
const OUTLIER = 2

/** What a host counts about one function since it started. */
export class FunctionStats {
  executions = 0
  errors = 0
  coldStarts = 0
  crashes = 0
  /** Executions that a limit ended, by reason. */
  limits: Record<string, number> | undefined
  /** Executions that were answered and never let go of their slot. */
  stuck = 0
  lastColdStartMs: number | undefined
  lastError: string | undefined
  /** Sum of execution times, ms. */
  totalMs = 0
  /** Smoothed execution time, ms: what the admission reckons with. */
  averageMs = 0

  executed(durationMs: number): void {
    this.executions++
    this.totalMs += durationMs
    const countedMs = this.executions === 1 ? durationMs : Math.min(durationMs, this.averageMs * OUTLIER + 1)
    this.averageMs += (countedMs - this.averageMs) * (this.executions === 1 ? 1 : SMOOTHING)
  }

  failed(error: FnError): void {
    this.errors++
    if (isLimit(error)) {
      this.limits ??= {}
      this.limits[error.reason] = (this.limits[error.reason] ?? 0) + 1
    }
    this.lastError = `${error.code} ${error.reason}: ${error.message}`
  }

  coldStarted(durationMs: number): void {
    this.coldStarts++
    this.lastColdStartMs = durationMs
  }

  crashed(): void {
    this.crashes++
  }
}
