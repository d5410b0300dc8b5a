/** What rows say of the conditions they ran under. */

/** How the processes of functions were isolated. */
export function policyOf({ isolation }) {
  return isolation === "strict" ? "strict: functions in sandboxes" : "dev: functions as plain processes"
}

/** A row in which nothing of ours runs a function in a process of its own. */
export const IN_HOST = "in the host's process"

export const SYNC = "none: request and reply"
export const STORED = "file storage, one server: invocation and result stored"
export const STORED_PLAIN =
  "file storage, one server: invocation stored; the host stores the result, too, and then sends it to the caller's inbox"
export const NOTHING = "none"
