import type { FnError } from "@fn/core"
import type { FinalStatus } from "@fn/queue"

/** How an execution ended, by the reason it failed for. */
export function statusOf(error: FnError | undefined): FinalStatus {
  return error === undefined ? "succeeded" : statusOfReason(error.reason)
}

/** How an execution ended that failed for `reason`. */
export function statusOfReason(reason: string): FinalStatus {
  switch (reason) {
    case "CANCELLED":
      return "cancelled"
    case "FUNCTION_TIMEOUT":
    case "DEADLINE_EXCEEDED":
      return "timed_out"
    default:
      return "failed"
  }
}
