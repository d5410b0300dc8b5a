import type { FnError, FunctionRef } from "@fn/core"
import type { Call } from "../dispatch/call.js"

/** What an execution left behind, as far as it ran. */
export interface ExecutionTrace {
  /** Exact version that ran it, and the instance; absent when none did. */
  readonly version?: string | undefined
  readonly instance?: string | undefined
  /** Epoch ms; absent when it never ran. */
  readonly startedAt?: number | undefined
  /** Time in the function, last attempt, ms; 0 when it never ran. */
  readonly durationMs: number
  /** Memory of the instance's process, at most a second old, bytes. */
  readonly memoryBytes?: number | undefined
}

/** A durable invocation that has ended for good: with its result, or given up. */
export interface DurableEnd extends ExecutionTrace {
  readonly ref: FunctionRef
  readonly invocationId: string
  /** Of the last attempt, from 1; 0 when none was made. */
  readonly attempt: number
  /** Epoch ms: when the queue stored it. */
  readonly queuedAt: number
  readonly eventsOut: number
  /** Absent when it succeeded. */
  readonly error?: FnError | undefined
}

/** Keeps what is known of executions. docs/protocol.md#executions */
export interface ExecutionRecorder {
  /** An execution starts on an instance. Called by the dispatcher for every one. */
  started(call: Call): void
  /** An execution has ended, or a call was answered without one. Called by the dispatcher for every one; of a durable call it is one attempt. */
  ended(call: Call, error: FnError | undefined, eventsOut: number): void
  /** What is known of an execution while its instance still has it: for a responder, before it answers. */
  trace(call: Call): ExecutionTrace
  /**
   * Stores the record of a durable invocation, after its result and before its acknowledgement; repeated it is stored once.
   * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
   */
  recordDurable(end: DurableEnd): Promise<void>
}
