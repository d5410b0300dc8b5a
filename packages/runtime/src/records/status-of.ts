import type { FnError } from "@fn/core"
import type { FinalStatus } from "@fn/queue"

/** How an execution ended, by the reason it failed for. */
export function statusOf(error: FnError | undefined): FinalStatus {
  if (error === undefined) return "succeeded"
  switch (error.reason) {
    case "CANCELLED":
      return "cancelled"
    case "FUNCTION_TIMEOUT":
    case "DEADLINE_EXCEEDED":
      return "timed_out"
    default:
      return "failed"
  }
}
