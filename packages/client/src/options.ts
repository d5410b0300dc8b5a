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
}

/** How one function is invoked. */
export interface InvokeOptions extends CallOptions {
  /** The value is data, to be sent in an event of this type. */
  readonly type?: string | undefined
  /** `source` of an event that has none. */
  readonly source?: string | undefined
}

/** A function by its text form (`name`, `namespace/name`, each with `@version`) or as an object. */
export type RefInput = string | FunctionRef
