/** What a client does with invocations that are stored before they run. docs/protocol.md#durable-invocations */
import type { FnError, FunctionRef, WireEvent } from "@fn/core"
import type { ExecutionRecord, FinalStatus } from "@fn/queue"
import type { InvokeResult } from "../client.js"
import type { EventDataOf, EventInputOf, EventTypeOf, OutputOf, RefOf } from "../functions.js"
import type { RefInput } from "../options.js"

/** How an invocation is stored. */
export interface AsyncCallOptions {
  /** An exact version or an alias, instead of the version that is active at each attempt. Wins over the one in the ref. */
  readonly version?: string | undefined
  /** Time one attempt may take, ms. Default: the function's own timeout. */
  readonly timeoutMs?: number | undefined
  /** Not run sooner than in this many ms. A host starts it within a second or so after that. At most 30 days. */
  readonly delayMs?: number | undefined
  /** Not run before this moment, a Date or an ISO time; instead of `delayMs`. Compared with the hosts' clocks. At most 30 days ahead. */
  readonly at?: Date | string | undefined
  /** Not run when it has waited longer than this, ms: it becomes a dead letter, EXPIRED. Counted from `at` where there is one. Default: the function's, 24 h. */
  readonly maxAgeMs?: number | undefined
  /** Where the result is delivered too: `https://…` (if the operator allows it), `event:{type}`, or `function:{ref}`. */
  readonly callback?: string | undefined
  /** Invocations of this function with the same key are one: same id, one run, one result. Remembered for 24 h. At most 1024 characters. */
  readonly idempotencyKey?: string | undefined
  /** Ends the attempt to store it. What is stored is ended by {@link DurableClient.cancel}. */
  readonly signal?: AbortSignal | undefined
}

/** As {@link AsyncCallOptions}, for an event that is yet to be made. */
export interface AsyncOptions extends AsyncCallOptions {
  /** The value is data, to be sent in an event of this type. */
  readonly type?: string | undefined
  /** `source` of an event that has none. */
  readonly source?: string | undefined
}

/** Which invocation is meant, beside its id. */
export interface InvocationScope {
  /** Namespace of its function. Default `default`. */
  readonly namespace?: string | undefined
}

/** How to wait for a result. */
export interface ResultOptions extends InvocationScope {
  /** How long to wait, ms. Default 30 000. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait; the invocation goes on. */
  readonly signal?: AbortSignal | undefined
}

/** How to ask for a status. */
export interface StatusOptions extends InvocationScope {
  /** Name of its function: makes an invocation that waits quick to find, and one among very many findable at all. */
  readonly function?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What is known of an invocation. */
export interface InvocationStatus {
  readonly invocationId: string
  readonly namespace: string
  /** `pending`: it waits in the queue, for a host, its time, or its next attempt. */
  readonly status: "pending" | "running" | FinalStatus
  /** Host it runs on. */
  readonly host?: string
  /** Attempt that is under way or was the last one, where known. */
  readonly attempt?: number
  /** Exact version that ran, where known. */
  readonly version?: string
  /** Why it failed. */
  readonly error?: FnError
  /** When it was stored, where it still waits. ISO. */
  readonly queuedAt?: string
  /** Its record, where it is kept. */
  readonly execution?: ExecutionRecord
}

/** What became of an invocation that was to be cancelled. */
export interface CancelOutcome {
  readonly invocationId: string
  /**
   * `cancelled`, or what it had become before: `succeeded`, `failed`, `timed_out`. `pending` when it is not final yet: the cancel is stored,
   * and the next host that meets the invocation drops it.
   */
  readonly status: FinalStatus | "pending"
}

/** The part of a client that deals with durable invocations. */
export interface DurableClient<Functions = unknown> {
  /**
   * Stores an invocation and resolves with its id; it will run at least once, and has one result. `event` is as for `invoke`.
   * Resolves only when the stream has acknowledged it. A lost acknowledgement is no risk: it is asked for again, and stored once.
   * @throws {FnError} not_found FUNCTION_NOT_FOUND; resource_exhausted QUEUE_FULL, PAYLOAD_TOO_LARGE; unavailable DISCONNECTED,
   *   JETSTREAM_UNAVAILABLE; deadline_exceeded, after which it may be stored; invalid_argument; cancelled
   */
  invokeAsync<Ref extends RefOf<Functions>>(
    ref: Ref | FunctionRef,
    event: EventInputOf<Functions, Ref>,
    options?: AsyncOptions & { readonly type?: undefined },
  ): Promise<string>
  /** With `type`: the value is the data of an event of that type. */
  invokeAsync<Ref extends RefOf<Functions>, Type extends EventTypeOf<Functions, Ref>>(
    ref: Ref | FunctionRef,
    data: EventDataOf<Functions, Ref, Type>,
    options: AsyncOptions & { readonly type: Type },
  ): Promise<string>

  /** The lower-level form for gateways and adapters, as `invokeWire` is of `invoke`. @throws {FnError} as {@link invokeAsync} */
  invokeAsyncWire(ref: RefInput, wire: WireEvent, options?: AsyncCallOptions): Promise<string>

  /**
   * Waits for the result of an invocation and gives its events. Name the function for their type: `client.result<"charge">(id)`.
   * An id that never existed is not told from one that is pending: ask {@link status}.
   * @throws {FnError} what the invocation failed with; deadline_exceeded DEADLINE_EXCEEDED with `details.pending` when there is none yet;
   *   unavailable; cancelled
   */
  result<Ref extends RefOf<Functions> = RefOf<Functions>>(id: string, options?: ResultOptions): Promise<OutputOf<Functions, Ref>[]>
  /** As {@link result}, with the error as a value. Never rejects. */
  tryResult<Ref extends RefOf<Functions> = RefOf<Functions>>(
    id: string,
    options?: ResultOptions,
  ): Promise<InvokeResult<OutputOf<Functions, Ref>>>
  /** As {@link result}, with the events in wire form. */
  resultWire(id: string, options?: ResultOptions): Promise<WireEvent[]>

  /**
   * Cancels an invocation, running or waiting. Resolves when its result is final, at the latest after 3 s. Whether there is such an
   * invocation cannot be told from one that waits: both give `pending`.
   * @throws {FnError} unavailable DISCONNECTED, JETSTREAM_UNAVAILABLE; deadline_exceeded
   */
  cancel(id: string, options?: InvocationScope): Promise<CancelOutcome>

  /**
   * What is known of an invocation: its result, else which host runs it, else whether it waits. Costs several round trips; to learn of an
   * end, wait for the {@link result}.
   * @throws {FnError} not_found EXECUTION_NOT_FOUND; unavailable; deadline_exceeded; cancelled
   */
  status(id: string, options?: StatusOptions): Promise<InvocationStatus>
}
