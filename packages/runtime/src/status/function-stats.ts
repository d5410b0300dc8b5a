import type { FnError } from "@fn/core"

/** What a host counts about one function since it started. */
export class FunctionStats {
  executions = 0
  errors = 0
  coldStarts = 0
  crashes = 0
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
    this.averageMs = this.executions === 1 ? durationMs : this.averageMs + (durationMs - this.averageMs) * 0.1
  }

  failed(error: FnError): void {
    this.errors++
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
