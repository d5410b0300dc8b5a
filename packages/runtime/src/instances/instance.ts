/**
 * What every runtime kind offers to the dispatcher: start an instance of one version, run executions on it, end it.
 *
 * An instance is ready once `start` resolved, runs up to `definition.concurrency` executions at once (the pool counts them),
 * and is over when `exited` settles. Neighbours: pool.ts owns instances, builtin/ module/ plugin/ make them.
 */
import type { EventSink, FnError, FunctionIdentity, Logger, WireEvent } from "@fn/core"
import type { Usage } from "@fn/isolation"
import type { FunctionDefinition } from "@fn/registry"

/** What an instance is made from. */
export interface InstanceSpec {
  readonly fn: FunctionIdentity
  readonly definition: FunctionDefinition
  /** Verified file of the artifact; absent for builtins. */
  readonly artifactPath?: string
  /** Lines of the function's own output and log. */
  readonly logger: Logger
}

/** One attempt of an invocation. */
export interface Execution {
  readonly invocationId: string
  readonly attempt: number
  /** Epoch ms; Infinity for none. The pool answers the caller when it passes, whatever the instance does. */
  readonly deadline: number
  readonly event: WireEvent
  /** Takes the events as they come, if the caller wants them one by one. What `execute` gives then are events that were not handed over. */
  readonly sink?: EventSink | undefined
  /** Set by the instance when it starts the execution: asks the function to stop. Must not throw. */
  cancel?: (reason: FnError) => void
}

/** A ready instance. */
export interface Instance {
  /** Unique per start; the same as `spec.fn.instance`. */
  readonly id: string
  /** Process id of what runs it, if it has a process. */
  readonly pid?: number | undefined
  /** Event types it said it takes, if it said so. */
  readonly accepts?: readonly string[] | undefined
  /** What ran it is gone: it gets no further calls. `exited` may settle later, when it is known why. Default: `exited` alone tells. */
  readonly isOver?: boolean
  /** Settles when the instance is over; with an error unless it was closed on purpose. Never rejects. */
  readonly exited: Promise<FnError | undefined>
  /** Runs the handler once. Rejects (or throws) with an FnError; when the instance dies, every execution on it rejects with FUNCTION_CRASHED. */
  execute(execution: Execution): WireEvent[] | Promise<WireEvent[]>
  /** Resolves when the instance can still react; absent where that cannot be known. A loop that never yields never resolves it. */
  ping?(): Promise<void>
  /** What it uses now, or used when it ended; absent for what has no process of its own. Undefined where nothing is known. */
  usage?(): Promise<Usage | undefined>
  /** Ends it: the function's shutdown, then SIGTERM, then SIGKILL, within `graceMs` all in all. Resolves when nothing of it is left. May be called twice. */
  close(options: { graceMs: number }): Promise<void>
}

/** Starts instances of one runtime kind. */
export interface InstanceStarter {
  /**
   * Resolves with a ready instance.
   * @throws {FnError} LOAD_FAILED, INIT_FAILED, BAD_HANDSHAKE, PLUGIN_PROTOCOL, PLUGIN_EXITED, PLUGIN_START_TIMEOUT, BUILTIN_NOT_REGISTERED …; nothing is left running then
   */
  start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance>
  /** Ends what the starter keeps beside instances (spares). */
  close(): Promise<void>
}
