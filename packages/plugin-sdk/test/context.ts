import { type CallOptions, ExecutionContext, type FunctionIdentity, type InitializeContext, noopLogger } from "@fn/core"

export const FN: FunctionIdentity = { namespace: "default", name: "charge", version: "1.0.0", instance: "i1" }

/** A context as a runtime would make it. */
export function contextOf(options: Partial<CallOptions> = {}): ExecutionContext {
  return new ExecutionContext({ invocationId: "inv", attempt: 1, deadline: Number.POSITIVE_INFINITY, fn: FN, config: {}, ...options })
}

export function initOf(config: Readonly<Record<string, unknown>>): InitializeContext {
  return { fn: FN, config, secrets: {}, log: noopLogger }
}
