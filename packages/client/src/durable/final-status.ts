import type { FnError } from "@fn/core"
import type { FinalStatus } from "@fn/queue"

/** The status of an invocation whose result is `error`, or events. */
export function finalStatus(error: FnError | undefined): FinalStatus {
  if (error === undefined) return "succeeded"
  if (error.code === "cancelled") return "cancelled"
  return error.code === "deadline_exceeded" ? "timed_out" : "failed"
}
