import type { CloudEvent, EventInit, FunctionModule, HandlerContext, HandlerOutput, InitializeContext } from "@fn/core"
import type { EventType, TypedEvent, TypedEventInit } from "./event.js"
import type { PolicyManifest, PolicyOptions } from "./policy.js"
import type { SchemaOutput, StandardSchema } from "./standard-schema.js"

/** A type of event: defined with {@link defineEvent}, or its bare name, which may end in `*`. */
export type EventSpec = EventType | string
/** One or several {@link EventSpec}. */
export type EventSpecs = EventSpec | readonly EventSpec[]

type Each<Specs> = Specs extends readonly (infer Spec)[] ? Spec : Specs
type NamedType<Name extends string> = Name extends `${infer Start}*` ? `${Start}${string}` : Name

type ReceivedOf<Spec> =
  Spec extends EventType<infer Type, infer Schema>
    ? TypedEvent<Type, SchemaOutput<Schema>>
    : Spec extends string
      ? CloudEvent & { readonly type: NamedType<Spec> }
      : never

type EmittedOf<Spec> =
  Spec extends EventType<infer Type, infer Schema>
    ? TypedEventInit<Type, NonNullable<Schema["~standard"]["types"]>["input"]>
    : Spec extends string
      ? EventInit & { readonly type: NamedType<Spec> }
      : never

/** The event a handler gets. */
export type Received<On> = [On] extends [undefined] ? CloudEvent : ReceivedOf<Each<On>>
/** One event a handler may return. */
export type Emitted<Emits> = [Emits] extends [undefined] ? EventInit : EmittedOf<Each<Emits>>

/** What a handler may return: nothing, an event, several, or a (possibly async) iterable of events, each of a declared type. */
export type HandlerReturn<Emits> = [Emits] extends [undefined]
  ? HandlerOutput
  : // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement is typed void
    Emitted<Emits> | null | undefined | void | Iterable<Emitted<Emits>> | AsyncIterable<Emitted<Emits>>

/** A config schema's output; without a schema, whatever the definition says. */
export type ConfigOf<Config> = Config extends StandardSchema ? SchemaOutput<Config> : Readonly<Record<string, unknown>>

/** What `setup` gets. */
export interface SetupContext<Config> extends Omit<InitializeContext, "config"> {
  readonly config: Config
}

/** A function as its author writes it. */
export interface FunctionOptions<
  On extends EventSpecs | undefined,
  Emits extends EventSpecs | undefined,
  Config extends StandardSchema | undefined,
  Deps,
  Output extends HandlerReturn<Emits> = HandlerReturn<Emits>,
  Name extends string = string,
> extends PolicyOptions {
  /** `^[a-z][a-z0-9_-]{0,62}$` */
  readonly name: Name
  /** Events it takes; absent: any. Others are refused before the handler runs, and so is data that does not fit its schema. */
  readonly on?: On
  /** Events it may return; absent: any, `[]`: none. Others do not compile, and fail the execution for good. */
  readonly emits?: Emits
  /** Schema of the configuration, checked once before `setup`. */
  readonly config?: Config
  /** Runs once per instance; what it returns is `ctx.deps`, disposed at the end if it is disposable. */
  readonly setup?: (init: SetupContext<ConfigOf<Config>>) => Deps | Promise<Deps>
  readonly handler: (event: Received<On>, ctx: HandlerContext<ConfigOf<Config>, Deps>) => Output | Promise<Output>
}

/** What a function says of itself, as plain JSON in the words of fn.yaml: `fn deploy` reads it. */
export interface FunctionManifestPart extends PolicyManifest {
  readonly name: string
  readonly accepts?: readonly string[]
  readonly emits?: readonly string[]
}

/** A function made by defineFunction. It runs wherever a FunctionModule runs. */
export interface DefinedFunction<In = CloudEvent, Out = EventInit, Name extends string = string> extends FunctionModule {
  readonly name: Name
  /** JSON Schema of the configuration, where the schema's library can tell. */
  readonly configSchema?: Readonly<Record<string, unknown>> | undefined
  toManifest(): FunctionManifestPart
  /** Types alone, for callers and tests; never set. */
  readonly "~types"?: { readonly in: In; readonly out: Out }
}
