/**
 * Types of a client that knows its functions: `connectClient<typeof import("./functions.js")>()`.
 *
 * Structural and types alone: what `defineFunction` of @fn/plugin-sdk returns fits, so does a bare handler, and no code of a function
 * reaches its caller's bundle.
 */
import type { CloudEvent, EventInit } from "@fn/core"

/** The functions among the exports of a module, by their own name where its type is known, else by the name of the export. */
export type FunctionsOf<Module> = {
  [Key in keyof Module as Module[Key] extends FunctionLike ? NameOf<Module[Key], Key> : never]: Module[Key]
}

/** How a function of `Functions` may be named: `name` or `namespace/name`, each with `@version`. Any text where they are unknown. */
export type RefOf<Functions> = unknown extends Functions
  ? string
  : WithVersion<NamesOf<Functions>> | WithVersion<`${string}/${NamesOf<Functions>}`>

/** An event the function named by `Ref` takes; what is filled in may be left out. Where functions are unknown: anything. */
export type EventInputOf<Functions, Ref extends string> = unknown extends Functions ? unknown : Sent<TypesOf<Functions, Ref>["in"]>

/** Types of event the function named by `Ref` takes. */
export type EventTypeOf<Functions, Ref extends string> = unknown extends Functions ? string : TypesOf<Functions, Ref>["in"]["type"]

/** Data of the event of type `Type` that the function named by `Ref` takes. */
export type EventDataOf<Functions, Ref extends string, Type extends string> = unknown extends Functions
  ? unknown
  : DataOfType<TypesOf<Functions, Ref>["in"], Type>

/** The events the function named by `Ref` answers with. */
export type OutputOf<Functions, Ref extends string> = unknown extends Functions ? CloudEvent : Replied<TypesOf<Functions, Ref>["out"]>

/** What `defineFunction` says of a function's events, in a member that exists for the compiler only. */
interface EventTypes {
  readonly in: { readonly type: string }
  readonly out: { readonly type: string }
}
type FunctionLike = { execute(event: never, ctx: never): unknown } | ((event: never, ctx: never) => unknown)

type NamesOf<Functions> = keyof FunctionsOf<Functions> & string
type WithVersion<Name extends string> = Name | `${Name}@${string}`
/** `name` of `namespace/name@version`. */
type NameIn<Ref extends string> = Ref extends `${infer Path}@${string}` ? NameIn<Path> : Ref extends `${string}/${infer Name}` ? Name : Ref

type NameOf<Fn, Key> = Fn extends (...args: never) => unknown
  ? Key // a handler's `name` is that of a JavaScript function
  : Fn extends { readonly name: infer Name extends string }
    ? string extends Name
      ? Key
      : Name
    : Key

type TypesOf<Functions, Ref extends string> =
  NameIn<Ref> extends keyof FunctionsOf<Functions> ? EventTypesOf<FunctionsOf<Functions>[NameIn<Ref>]> : never
type EventTypesOf<Fn> = Fn extends { readonly "~types"?: infer Types }
  ? NonNullable<Types> extends EventTypes
    ? NonNullable<Types>
    : { in: CloudEvent; out: EventInit }
  : { in: CloudEvent; out: EventInit }

/** Distributes over the types of event a function takes. */
type Sent<In> = In extends { readonly type: infer Type extends string; readonly data: infer Data }
  ? EventInit<Data> & { readonly type: Type; readonly data: Data }
  : In extends { readonly type: infer Type extends string }
    ? EventInit & { readonly type: Type }
    : never
type DataOfType<In, Type extends string> = In extends { readonly type: infer Own }
  ? Type extends Own
    ? In extends { readonly data: infer Data }
      ? Data
      : unknown
    : never
  : never
type Replied<Out> = Out extends { readonly type: infer Type extends string; readonly data: infer Data }
  ? CloudEvent<Data> & { readonly type: Type; readonly data: Data }
  : Out extends { readonly type: infer Type extends string }
    ? CloudEvent & { readonly type: Type }
    : never
