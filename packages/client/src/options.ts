import type { FunctionRef, Instruments } from "@fn/core"
import type { NatsConnection, NatsOptions } from "@fn/nats"
import type { Registry } from "@fn/registry"

/** What every client can be told. */
export interface ClientSettings {
  /** Where events without a `source` come from. Default `/fn/client`. */
  readonly source?: string | undefined
  /** Counts the calls. Default: nobody does. */
  readonly instruments?: Instruments | undefined
}

/** Further settings, of the connection as it is used. */
export interface PlatformSettings extends ClientSettings {
  /** JetStream domain. */
  readonly jsDomain?: string | undefined
}

/** A client with a NATS connection of its own, which it closes with itself. */
export type OwnConnectionOptions = NatsOptions & ClientSettings & { readonly nc?: undefined; readonly registry?: undefined }

/** A client on a connection that somebody else opened and closes. */
export interface SharedConnectionOptions extends ClientSettings {
  readonly nc: NatsConnection
  /** Where functions are looked up. Default: the one of this NATS account. */
  readonly registry?: Registry | undefined
  /** First token of the platform's subjects and buckets. Default `function`. */
  readonly prefix?: string | undefined
  /** JetStream domain, for the default registry. */
  readonly jsDomain?: string | undefined
}

/** How one call is made. */
export interface CallOptions {
  /** Time for the whole call, looking the function up included, in ms. Default: the function's own timeout, kept by its host. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait at once and tells the host to abort the execution. */
  readonly signal?: AbortSignal | undefined
  /** An exact version or an alias, instead of the active version. Wins over the one in the ref. */
  readonly version?: string | undefined
  /**
   * Makes the call durable, and the same for everybody who makes it with this key of this function: it runs once, and each of them gets
   * its result, for as long as keys are remembered (24 h; results too large for a message 1 h). `timeoutMs` (default 30 000) and `signal`
   * then end the wait alone, and `onStarted` is not called. At most 1024 characters.
   */
  readonly idempotencyKey?: string | undefined
  /**
   * Called once when a host says that it has started the call, which hosts do when it has lasted 100 ms. What it throws cancels the call.
   * Not for a call with an idempotency key.
   */
  readonly onStarted?: ((started: StartedCall) => void) | undefined
}

/** A call that a host has started. */
export interface StartedCall {
  readonly host: string
  readonly invocationId: string
}

/** How a call that streams is made; it is never a durable one. */
export type StreamCallOptions = Omit<CallOptions, "idempotencyKey">

/** How one function is invoked. */
export interface InvokeOptions extends CallOptions {
  /** The value is data, to be sent in an event of this type. */
  readonly type?: string | undefined
  /** `source` of an event that has none. */
  readonly source?: string | undefined
}

/** How one function is invoked whose events are taken one by one. */
export type StreamOptions = Omit<InvokeOptions, "idempotencyKey">

/** How an event is broadcast. */
export interface BroadcastCallOptions {
  /** Time for all answers, ms. Default 30 000. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait at once and tells the hosts to abort. */
  readonly signal?: AbortSignal | undefined
  /** An exact version or an alias, instead of the active version. Wins over the one in the ref. */
  readonly version?: string | undefined
  /** So many answers are enough. Default: those of all hosts that say that they serve the function, which takes 250 ms to find out. */
  readonly expect?: number | undefined
}

/** How an event is sent to a function on every host. */
export interface BroadcastOptions extends BroadcastCallOptions {
  /** The value is data, to be sent in an event of this type. */
  readonly type?: string | undefined
  /** `source` of an event that has none. */
  readonly source?: string | undefined
}

/** A function by its text form (`name`, `namespace/name`, each with `@version`) or as an object. */
export type RefInput = string | FunctionRef
