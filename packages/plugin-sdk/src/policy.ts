import { FnError } from "@fn/core"
import { type Duration, parseDuration } from "./duration.js"

/** How the queue repeats a failed invocation. Permanent errors (FnError.terminal, invalid input) are never repeated. */
export interface RetryPolicy {
  /** Executions in all, the first included. Platform default 3. */
  readonly maxAttempts?: number
  /** Wait before the second execution. Platform default 1 s. */
  readonly initial?: Duration
  /** Longest wait. Platform default 30 s. */
  readonly max?: Duration
  /** Each wait is this many times the one before. */
  readonly factor?: number
  /** Spread the waits at random, so that failures do not come back together. */
  readonly jitter?: boolean
}

/** Policies of a function as its author writes them. */
export interface PolicyOptions {
  /** How long one execution may take. Platform default 30 s. */
  readonly timeout?: Duration
  readonly retry?: RetryPolicy
  /** Executions at once in one instance. Platform default 100. */
  readonly concurrency?: number | { readonly limit: number }
}

/** The policies as plain JSON, in the words of fn.yaml: stored with the definition, where an operator can override them. */
export interface PolicyManifest {
  readonly timeoutMs?: number
  readonly retry?: {
    readonly attempts?: number
    readonly initialMs?: number
    readonly maxMs?: number
    readonly factor?: number
    readonly jitter?: boolean
  }
  readonly concurrency?: number
}

/** Policies as plain JSON. @throws {FnError} invalid_argument INVALID_DEFINITION */
export function policyToManifest(options: PolicyOptions): PolicyManifest {
  const { timeout, retry, concurrency } = options
  const limit = typeof concurrency === "object" ? concurrency.limit : concurrency
  return {
    ...(timeout === undefined ? {} : { timeoutMs: atLeastOne(parseDuration(timeout, "timeout"), "timeout") }),
    ...(retry === undefined ? {} : { retry: retryToManifest(retry) }),
    ...(limit === undefined ? {} : { concurrency: atLeastOne(limit, "concurrency") }),
  }
}

function retryToManifest(retry: RetryPolicy): NonNullable<PolicyManifest["retry"]> {
  const { maxAttempts, initial, max, factor, jitter } = retry
  if (factor !== undefined && !(Number.isFinite(factor) && factor >= 1)) throw invalid("retry.factor", factor, "it must be 1 or more")
  return {
    ...(maxAttempts === undefined ? {} : { attempts: atLeastOne(maxAttempts, "retry.maxAttempts") }),
    ...(initial === undefined ? {} : { initialMs: parseDuration(initial, "retry.initial") }),
    ...(max === undefined ? {} : { maxMs: parseDuration(max, "retry.max") }),
    ...(factor === undefined ? {} : { factor }),
    ...(jitter === undefined ? {} : { jitter }),
  }
}

function atLeastOne(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 1) throw invalid(what, value, "it must be a whole number of 1 or more")
  return value
}

function invalid(what: string, value: unknown, why: string): FnError {
  return FnError.of("INVALID_DEFINITION", `${what}: ${JSON.stringify(value)} will not do: ${why}`)
}
