import type { HostedFunction } from "../dispatch/hosted-function.js"

/** Timeout of a function whose definition has not been read yet, ms: the default of a definition. */
export const DEFAULT_TIMEOUT_MS = 30_000

/** Time a call has when its caller does not say: the function's own timeout. */
export function timeoutOf(fn: HostedFunction): number {
  return fn.versions.get(fn.record.activeVersion)?.pool.definition.timeoutMs ?? DEFAULT_TIMEOUT_MS
}
