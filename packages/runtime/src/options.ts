import type { FunctionModule, Instruments, Logger, SubjectPrefixes } from "@fn/core"
import type { Registry } from "@fn/registry"
import type { NatsConnection } from "@nats-io/transport-node"
import type { HttpPolicyOptions } from "./callbacks/http-policy.js"
import type { CallbackRetry } from "./callbacks/response-codes.js"
import type { CircuitOptions } from "./dispatch/circuit-breaker.js"
import type { ExecutionReport } from "./dispatch/dispatcher.js"
import type { BackoffOptions } from "./instances/pool.js"
import type { IsolationSettings } from "./isolation/policy.js"
import type { QueueDefaults } from "./queue/settings.js"

/** Options of {@link import("./runtime-service.js").startRuntime}. */
export interface RuntimeOptions {
  /** Connection of this host. Stays the caller's: it is not closed. */
  readonly nc: NatsConnection
  readonly registry: Registry
  /** Folder for artifacts. Kept across restarts; safe to delete while no host uses it. */
  readonly dataDir: string
  /** Functions that run in this process, by name or `namespace/name`. They must also be deployed with `runtime: builtin`. */
  readonly builtins?: Readonly<Record<string, FunctionModule | FunctionModule["execute"]>>
  /** Id of the host: the id of its NATS service. Default: a new one. */
  readonly host?: string
  /** Default: silent. */
  readonly logger?: Logger
  readonly instruments?: Instruments
  readonly subjects?: SubjectPrefixes
  /** First tokens a caller's reply subject may have. Default `_INBOX`, `_R_`. */
  readonly replyPrefixes?: readonly string[]
  /** Called after every execution. Must be quick and not throw. */
  readonly onExecution?: (report: ExecutionReport) => void
  readonly limits?: Partial<RuntimeLimits>
  /** Where results may be delivered to. Default: to events and functions of the same namespace, to no HTTP address. */
  readonly callbacks?: CallbackOptions
  /** How this host works on the durable queue; false: not at all. Default: it does, with the settings functions ask for. */
  readonly queue?: QueueRuntimeOptions | false
  /** How the processes of functions are isolated. Default: policy `dev`, as plain processes unless a function asks for more. */
  readonly isolation?: IsolationSettings
  /** JetStream domain, from a leaf node. */
  readonly jsDomain?: string
}

/** A host's part of the durable queue. docs/operations.md#queue */
export interface QueueRuntimeOptions extends QueueDefaults {
  /** How often the depths of all queues are read, ms. Default 5000: how late work is found whose announcement was lost. */
  readonly sweepMs?: number
}

/** What an operator says of callbacks. docs/protocol.md#callbacks */
export interface CallbackOptions extends HttpPolicyOptions {
  /** Callbacks to functions of other namespaces. Default false. */
  readonly crossNamespace?: boolean | undefined
  /** Default: ten attempts in about an hour. */
  readonly retry?: CallbackRetry | undefined
}

/** Numbers that bound a host. */
export interface RuntimeLimits {
  /** Event data that was stored apart and is in memory, for calls that are not over, bytes. Calls beyond it wait. Default 256 MiB. */
  readonly payloadBytes: number
  /** Records of failed sync calls that a function may write in a second; the rest is counted and logged. Default 100. */
  readonly failureRecordsPerSecond: number
  /** Calls that may wait for a slot, per slot. Default 10. */
  readonly waitFactor: number
  /** After this long the caller hears *started*, ms. Default 100; our client relies on it. */
  readonly startedAfterMs: number
  /** How long a cancelled execution may go on before its instance is given up, ms. Default 1000. */
  readonly cancelGraceMs: number
  /** Grace of an instance that is stopped, ms. Default 5000. */
  readonly closeGraceMs: number
  /** An instance without calls for this long is stopped, ms. Default 300 000. */
  readonly idleMs: number
  /** Pause before a version that crashed is started again. Default 100 ms … 30 s, a crash loop after 3. */
  readonly backoff: BackoffOptions
  /** When a version that fails is given a rest, and how long. Default: after 5 failures in a row, 1 s … 60 s. */
  readonly circuit: CircuitOptions
  /** Keep a pre-started module process. Default true; about 40 MB. */
  readonly spares: boolean
  /** Time a plugin has until its handshake, ms. Default 10 000. */
  readonly pluginStartTimeoutMs: number
  /** Most that a command or wasm function may write to stdout, and to stderr, in one execution, bytes. Default 64 MiB. */
  readonly outputBytes: number
}

/** What is used where nothing is said. */
export const DEFAULT_LIMITS: RuntimeLimits = {
  payloadBytes: 268_435_456,
  failureRecordsPerSecond: 100,
  waitFactor: 10,
  startedAfterMs: 100,
  cancelGraceMs: 1_000,
  closeGraceMs: 5_000,
  idleMs: 300_000,
  backoff: { initialMs: 100, maxMs: 30_000, loopAfter: 3 },
  circuit: { failures: 5, initialMs: 1_000, maxMs: 60_000 },
  spares: true,
  pluginStartTimeoutMs: 10_000,
  outputBytes: 64 * 1024 * 1024,
}
