import { checkName, checkNamespace, type FunctionRef, Subjects } from "@fn/core"

/** Names of the streams and the bucket of durable invocation, for one subject prefix. */
export interface QueueNames {
  readonly subjects: Subjects
  /** Work queue of `function.queue.>`. */
  readonly queue: string
  /** Results, one message a subject. */
  readonly results: string
  /** Records of executions that ended. */
  readonly executions: string
  readonly deadLetters: string
  /** Claims of idempotency keys, and cancels of queued invocations. */
  readonly claims: string
  /** Object store bucket of events and results that are too large for a message. */
  readonly payloads: string
}

const DEFAULT_PREFIX = "function"

/** The names for a subject prefix: `FUNCTION_QUEUE` … for the default one, `{prefix}-QUEUE` … for another. */
export function queueNames(prefix: string = DEFAULT_PREFIX): QueueNames {
  const subjects = new Subjects({ functions: prefix })
  const head = prefix === DEFAULT_PREFIX ? "FUNCTION_" : `${prefix}-`
  return {
    subjects,
    queue: `${head}QUEUE`,
    results: `${head}RESULTS`,
    executions: `${head}EXECUTIONS`,
    deadLetters: `${head}DLQ`,
    claims: `${head}CLAIMS`,
    // Upper case like the buckets of artifacts: no namespace is.
    payloads: `${prefix}-PAYLOADS`,
  }
}

/** Durable name of a function's consumer. `=` is in no name, so no two functions share one. */
export function consumerName(ref: FunctionRef): string {
  return `${checkNamespace(ref.namespace)}=${checkName(ref.name)}`
}
