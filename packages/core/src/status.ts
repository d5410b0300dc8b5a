import type { FnErrorData } from "./errors.js"
import type { RuntimeKind } from "./names.js"

/** Name of the runtime host's NATS service (ADR-32). Hosts are found by `$SRV.PING.fn-runtime`; the service id is the host id. */
export const RUNTIME_SERVICE_NAME = "fn-runtime"

/** Question to `function.status.{host}`. An empty payload asks for everything. */
export interface StatusRequest {
  /** Only this function, as `namespace/name`. */
  readonly function?: string
  /** Answer only once this KV revision of the function's record is served (or known not to be servable), or `timeoutMs` passed. */
  readonly awaitRevision?: number
  /** Default 5000. */
  readonly timeoutMs?: number
  /** Only whether this invocation runs here, and what is known of it. */
  readonly invocationId?: string
  /** Also what each instance uses now: costs the host some reads per instance. */
  readonly usage?: boolean
  /** Also the last so many executions of the host, or of `function`; at most 1000. */
  readonly recent?: number
}

/** An invocation that a host has now. */
export interface RunningExecution {
  /** Invocation id. */
  readonly id: string
  /** `namespace/name`. */
  readonly function: string
  /** Exact version chosen for it. */
  readonly version?: string
  readonly attempt: number
  readonly durable: boolean
  /** Absent while it waits. */
  readonly startedAt?: string
  readonly instance?: string
}

/** An execution that ended on a host, as the host remembers it. */
export interface RecentExecution extends RunningExecution {
  readonly status: "succeeded" | "failed" | "cancelled" | "timed_out"
  readonly endedAt: string
  readonly durationMs: number
  readonly eventsOut: number
  readonly error?: FnErrorData
}

/** What an instance uses. What the host cannot count is absent, never 0. */
export interface InstanceStatus {
  readonly id: string
  readonly version: string
  /** Absent for what runs in the host's own process, and for a command that does not run. */
  readonly pid?: number
  /** `group`: all its processes, with page cache and in-memory files; `process`: its first process alone. Absent where nothing is counted. */
  readonly source?: "group" | "process"
  readonly memoryBytes?: number
  readonly memoryPeakBytes?: number
  /** Processor time since it started, ms; of a command that of all its executions. */
  readonly cpuMs?: number
  /** Processes and threads. */
  readonly pids?: number
}

/** How one host stands to one function. */
export interface FunctionStatus {
  /** `namespace/name`. */
  readonly function: string
  /** KV revision of the record the host acts on. */
  readonly revision: number
  readonly activeVersion: string
  readonly served: boolean
  /** Why it is not served. */
  readonly error?: FnErrorData
  readonly instances: number
  /** Slots of the host that are free for it now. */
  readonly freeSlots: number
  readonly running: number
  /** Executions that were answered but never let go of their slot: a builtin cannot be killed. */
  readonly stuck?: number
  readonly waiting: number
  /** Invocations in the durable queue, as the host last heard. */
  readonly queued?: number
  /** Circuit breaker of the active version; absent while closed. */
  readonly circuit?: { readonly phase: "open" | "half-open"; readonly retryAt: string; readonly error: FnErrorData }
  readonly executions: number
  readonly errors: number
  readonly coldStarts: number
  readonly crashes: number
  /** How long the last cold start took, ms. */
  readonly lastColdStartMs?: number
  /** How many executions a limit ended, by reason, as `MEMORY_LIMIT`; absent while there are none. */
  readonly limits?: Readonly<Record<string, number>>
  /** Answer to `usage`. */
  readonly usage?: readonly InstanceStatus[]
}

/** What a host has done with the durable queue since it started. */
export interface QueueStatus {
  /** Functions it has work of now. */
  readonly working: number
  /** Invocations that another queued message of the same idempotency key, or id, had already: not run. */
  readonly duplicates: number
  /** Results that were dropped, since another attempt had stored one. */
  readonly droppedResults: number
  /** Reply subjects that were refused. */
  readonly badReplySubjects: number
  /** Attempts that failed and were given back, to be made again. */
  readonly retries: number
  readonly deadLetters: number
}

/** Answer and report of a host on `function.status.{host}`. */
export interface HostStatus {
  readonly host: string
  readonly phase: "starting" | "ready" | "draining" | "closed"
  readonly version: string
  readonly startedAt: string
  readonly pid: number
  readonly runtimes: readonly RuntimeKind[]
  readonly rssBytes: number
  readonly running: number
  readonly functions: readonly FunctionStatus[]
  /** Answer to `invocationId`: whether it runs here. */
  readonly runningInvocation?: boolean
  /** Answer to `invocationId`: what is known of it, running or ended; absent when the host knows nothing of it. */
  readonly execution?: RunningExecution | RecentExecution
  /** Answer to `recent`, the latest first. */
  readonly recent?: readonly RecentExecution[]
  /** Absent where the host does not work on the queue at all. */
  readonly queue?: QueueStatus
  /** Records the host could not read; with the key `queue`, why it does not work on that. */
  readonly problems: readonly { readonly key: string; readonly error: FnErrorData }[]
}
