import type { CloudEvent, FnError, FunctionRef, WireEvent } from "@fn/core"
import { connectNats } from "@fn/nats"
import { connectRegistry } from "@fn/registry"
import type { BroadcastAnswer } from "./broadcast.js"
import type { OngoingCall } from "./call.js"
import type { DurableClient } from "./durable/durable-client.js"
import type { EventStream } from "./event-stream.js"
import type { EventDataOf, EventInputOf, EventTypeOf, OutputOf, RefOf } from "./functions.js"
import { NatsClient } from "./nats-client.js"
import type { OperationsClient } from "./operations/operations-client.js"
import type {
  BroadcastCallOptions,
  BroadcastOptions,
  CallOptions,
  InvokeOptions,
  OwnConnectionOptions,
  RefInput,
  SharedConnectionOptions,
  StreamCallOptions,
  StreamOptions,
} from "./options.js"

/** What {@link Client.tryInvoke} gives. */
export type InvokeResult<Event = CloudEvent> =
  | { readonly ok: true; readonly events: Event[] }
  | { readonly ok: false; readonly error: FnError }

/**
 * Invokes functions. `Functions` is `typeof import("./functions.js")` where the functions' types are at hand: then names, data and results
 * are checked by the compiler.
 */
export interface Client<Functions = unknown> extends DurableClient<Functions>, OperationsClient, AsyncDisposable {
  /**
   * Runs a function with one event and gives its events: none, one or many.
   *
   * `event` is an event (an object with `specversion`, or with `type` and `data`) or the bare data of one. What an event leaves out is
   * filled in. A call is sent once: whether to repeat one that failed is the caller's choice (`error.retryable`).
   * @throws {FnError} invalid_argument for a bad name, event or version; not_found FUNCTION_NOT_FOUND, VERSION_NOT_FOUND;
   *   unavailable NO_HOST (nobody can run it), HOST_LOST (its host died within the last 3 s), DISCONNECTED;
   *   deadline_exceeded; cancelled; resource_exhausted PAYLOAD_TOO_LARGE (more than 64 MiB, or than the server takes where nothing can be
   *   stored), with a key QUEUE_FULL; and whatever the function or its host answers
   */
  invoke<Ref extends RefOf<Functions>>(
    ref: Ref | FunctionRef,
    event: EventInputOf<Functions, Ref>,
    options?: InvokeOptions & { readonly type?: undefined },
  ): Promise<OutputOf<Functions, Ref>[]>
  /** With `type`: the value is the data of an event of that type. */
  invoke<Ref extends RefOf<Functions>, Type extends EventTypeOf<Functions, Ref>>(
    ref: Ref | FunctionRef,
    data: EventDataOf<Functions, Ref, Type>,
    options: InvokeOptions & { readonly type: Type },
  ): Promise<OutputOf<Functions, Ref>[]>

  /** As {@link invoke}, with the error as a value. Never rejects. */
  tryInvoke<Ref extends RefOf<Functions>>(
    ref: Ref | FunctionRef,
    event: EventInputOf<Functions, Ref>,
    options?: InvokeOptions & { readonly type?: undefined },
  ): Promise<InvokeResult<OutputOf<Functions, Ref>>>
  /** With `type`: the value is the data of an event of that type. */
  tryInvoke<Ref extends RefOf<Functions>, Type extends EventTypeOf<Functions, Ref>>(
    ref: Ref | FunctionRef,
    data: EventDataOf<Functions, Ref, Type>,
    options: InvokeOptions & { readonly type: Type },
  ): Promise<InvokeResult<OutputOf<Functions, Ref>>>

  /**
   * As {@link invoke}, but gives the events one by one, while the function still runs where it yields them. The call starts at once. A
   * consumer that is slow slows the function down: it is at most 64 events ahead, and some 30 more in a process of its
   * own. Leaving the loop early (`break`, `return`, a throw) cancels the call, at the function too.
   *
   * Iterating throws what `invoke` throws, after the events that came before, and unavailable STREAM_BROKEN when messages were lost on
   * the way. `timeoutMs` is for the whole stream.
   * @throws {FnError} invalid_argument INVALID_EVENT
   */
  stream<Ref extends RefOf<Functions>>(
    ref: Ref | FunctionRef,
    event: EventInputOf<Functions, Ref>,
    options?: StreamOptions & { readonly type?: undefined },
  ): EventStream<OutputOf<Functions, Ref>>
  /** With `type`: the value is the data of an event of that type. */
  stream<Ref extends RefOf<Functions>, Type extends EventTypeOf<Functions, Ref>>(
    ref: Ref | FunctionRef,
    data: EventDataOf<Functions, Ref, Type>,
    options: StreamOptions & { readonly type: Type },
  ): EventStream<OutputOf<Functions, Ref>>

  /**
   * The lower-level call, for gateways and adapters: an event in wire form in, events in wire form out, their data never parsed.
   * The attributes must be valid (`checkAttributes` of @fn/core). @throws {FnError} as {@link invoke}
   */
  invokeWire(ref: RefInput, wire: WireEvent, options?: CallOptions): Promise<WireEvent[]>

  /** As {@link stream}, with events in wire form. The attributes must be valid. */
  streamWire(ref: RefInput, wire: WireEvent, options?: StreamCallOptions): EventStream<WireEvent>

  /** As {@link invokeWire}, with the call's id at once and a cancel that needs no AbortSignal. Never throws: `events` rejects. */
  startCall(ref: RefInput, wire: WireEvent, options?: CallOptions): OngoingCall

  /**
   * Runs a function with one event on every host that serves it, and gives what each of them answered, in order of host id. Nothing is
   * handed on, stored or repeated: a host that is busy lets it wait, one that starts later never hears of it. No host, no answers.
   * @throws {FnError} invalid_argument for a bad name, event or version; not_found FUNCTION_NOT_FOUND; resource_exhausted
   *   PAYLOAD_TOO_LARGE (more than the server takes in a message); unavailable DISCONNECTED; cancelled
   */
  broadcast<Ref extends RefOf<Functions>>(
    ref: Ref | FunctionRef,
    event: EventInputOf<Functions, Ref>,
    options?: BroadcastOptions & { readonly type?: undefined },
  ): Promise<BroadcastAnswer<OutputOf<Functions, Ref>>[]>
  /** With `type`: the value is the data of an event of that type. */
  broadcast<Ref extends RefOf<Functions>, Type extends EventTypeOf<Functions, Ref>>(
    ref: Ref | FunctionRef,
    data: EventDataOf<Functions, Ref, Type>,
    options: BroadcastOptions & { readonly type: Type },
  ): Promise<BroadcastAnswer<OutputOf<Functions, Ref>>[]>

  /** The lower-level {@link broadcast}: events in wire form. @throws {FnError} as that */
  broadcastWire(ref: RefInput, wire: WireEvent, options?: BroadcastCallOptions): Promise<BroadcastAnswer<WireEvent>[]>

  /** Refuses new calls, waits up to `graceMs` (default 30 000) for those under way, then closes. May be called twice. */
  drain(options?: { graceMs?: number }): Promise<void>
  /** Ends calls under way with `cancelled`, and the connection if it is the client's own. May be called twice. */
  close(): Promise<void>
  /** Resolves when the client is closed; never rejects. */
  readonly closed: Promise<undefined>
}

/**
 * A ready client. With NATS options it opens and owns a connection; with `nc` it shares one.
 * @throws {FnError} invalid_argument INVALID_CONFIG, unavailable NATS_UNREACHABLE, unauthenticated NATS_AUTH, and what opening the registry
 *   throws (NOT_SET_UP, REGISTRY_TIMEOUT)
 */
export async function connectClient<Functions = unknown>(
  options: OwnConnectionOptions | SharedConnectionOptions = {},
): Promise<Client<Functions>> {
  if (options.nc !== undefined) {
    const registry = options.registry ?? (await connectRegistry(options.nc, { prefix: options.prefix, jsDomain: options.jsDomain }))
    const owned = options.registry ? [] : [() => registry.close()]
    return new NatsClient(options.nc, registry, options.prefix, options, owned) as Client<Functions>
  }
  const { source, instruments, nc: _nc, registry: _registry, ...natsOptions } = options
  const nc = await connectNats({ name: "fn-client", ...natsOptions })
  try {
    const registry = await connectRegistry(nc, { prefix: options.prefix, jsDomain: options.jsDomain })
    const owned = [() => registry.close(), () => nc.close()]
    return new NatsClient(nc, registry, options.prefix, { source, instruments, jsDomain: options.jsDomain }, owned) as Client<Functions>
  } catch (thrown) {
    await nc.close()
    throw thrown
  }
}
