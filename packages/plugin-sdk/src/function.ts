/**
 * defineFunction: the author's handler behind the platform's contract (FunctionModule of @fn/core).
 *
 * Each instance has a state of its own (checked config, deps), kept by instance id: a builtin is one object that may run as several
 * instances at once, an old one still draining while the new one starts.
 */
import {
  acceptsType,
  type CloudEvent,
  checkName,
  FnError,
  type FunctionIdentity,
  type HandlerContext,
  type HandlerOutput,
  type InitializeContext,
} from "@fn/core"
import { AuthorContext } from "./author-context.js"
import type { EventType } from "./event.js"
import type {
  DefinedFunction,
  Emitted,
  EventSpec,
  EventSpecs,
  FunctionManifestPart,
  FunctionOptions,
  HandlerReturn,
  Received,
} from "./function-types.js"
import { OutputCheck } from "./output-check.js"
import { policyToManifest } from "./policy.js"
import { jsonSchemaOf, type StandardSchema } from "./standard-schema.js"
import { validateConfig, validateData } from "./validation.js"

/**
 * Declares a function: what it takes, what it emits, how it is configured, and its handler.
 * @throws {FnError} invalid_argument INVALID_NAME, INVALID_DEFINITION
 */
export function defineFunction<
  const On extends EventSpecs | undefined = undefined,
  const Emits extends EventSpecs | undefined = undefined,
  Config extends StandardSchema | undefined = undefined,
  Deps = undefined,
  // Inferred as a constant, so that an event written by hand keeps the literal of its type.
  const Output extends HandlerReturn<Emits> = HandlerReturn<Emits>,
  const Name extends string = string,
>(options: FunctionOptions<On, Emits, Config, Deps, Output, Name>): DefinedFunction<Received<On>, Emitted<Emits>, Name> {
  return new AuthoredFunction<Name>(options as unknown as AnyOptions)
}

type AnyHandler = (event: CloudEvent, ctx: HandlerContext<unknown, unknown>) => HandlerOutput | Promise<HandlerOutput>
/** Options with the author's types forgotten: from here on everything is checked at run time. */
type AnyOptions = FunctionOptions<EventSpecs | undefined, EventSpecs | undefined, StandardSchema | undefined, unknown>

interface InstanceState {
  readonly config: unknown
  readonly deps: unknown
}

class AuthoredFunction<Name extends string> implements DefinedFunction<never, never, Name> {
  readonly name: Name
  readonly accepts: readonly string[] | undefined
  readonly emits: readonly string[] | undefined
  readonly configSchema: Readonly<Record<string, unknown>> | undefined
  readonly #options: AnyOptions
  readonly #handler: AnyHandler
  readonly #manifest: FunctionManifestPart
  readonly #schemas: ReadonlyMap<string, StandardSchema>
  readonly #output: OutputCheck
  readonly #instances = new Map<string, InstanceState>()

  constructor(options: AnyOptions) {
    this.name = checkName(options.name) as Name
    if (typeof options.handler !== "function") throw FnError.of("INVALID_DEFINITION", `function ${this.name} has no handler`)
    const on = specsOf(options.on)
    const emits = specsOf(options.emits)
    this.accepts = on?.map(typeOf)
    this.emits = emits?.map(typeOf)
    this.configSchema = options.config && jsonSchemaOf(options.config)
    this.#options = options
    this.#handler = options.handler as unknown as AnyHandler
    this.#schemas = schemasOf(on)
    this.#output = new OutputCheck(this.name, this.emits, schemasOf(emits))
    this.#manifest = Object.freeze({
      name: this.name,
      ...(this.accepts?.length ? { accepts: this.accepts } : {}),
      ...(this.emits?.length ? { emits: this.emits } : {}),
      ...policyToManifest(options),
    })
  }

  toManifest(): FunctionManifestPart {
    return this.#manifest
  }

  async initialize(init: InitializeContext): Promise<void> {
    const { config: schema, setup } = this.#options
    const config = schema ? await validateConfig(schema, init.config, this.name) : init.config
    const deps = setup ? await setup({ ...init, config: config as Readonly<Record<string, unknown>> }) : undefined
    this.#instances.set(init.fn.instance, { config, deps })
  }

  execute(event: CloudEvent, ctx: HandlerContext): HandlerOutput | Promise<HandlerOutput> {
    const state = this.#stateOf(ctx)
    if (!acceptsType(this.accepts, event.type)) {
      throw FnError.of("TYPE_NOT_ACCEPTED", `function ${this.name} does not take ${event.type}: it takes ${this.accepts?.join(", ")}`, {
        details: { type: event.type, accepts: this.accepts ?? [] },
      })
    }
    const schema = this.#schemas.get(event.type)
    if (!schema) return this.#run(event, ctx, state)
    const data = validateData(schema, event.data, event.type, "receiver")
    if (data instanceof Promise) return data.then((settled) => this.#run({ ...event, data: settled }, ctx, state))
    return this.#run({ ...event, data }, ctx, state)
  }

  async shutdown(fn?: FunctionIdentity): Promise<void> {
    const ending = fn ? [fn.instance] : [...this.#instances.keys()]
    for (const instance of ending) {
      const state = this.#instances.get(instance)
      this.#instances.delete(instance)
      await dispose(state?.deps)
    }
  }

  #run(event: CloudEvent, ctx: HandlerContext, state: InstanceState): HandlerOutput | Promise<HandlerOutput> {
    return this.#output.check(() => this.#handler(event, new AuthorContext(ctx, state.config, state.deps)))
  }

  #stateOf(ctx: HandlerContext): InstanceState {
    const state = this.#instances.get(ctx.fn.instance)
    if (state) return state
    // Without config schema and setup there is nothing to prepare, so a caller may leave initialize out.
    if (!this.#options.config && !this.#options.setup) return { config: ctx.config, deps: undefined }
    throw FnError.of("INIT_FAILED", `function ${this.name} was executed on an instance that is not initialized, or is shut down`)
  }
}

function specsOf(specs: EventSpecs | undefined): readonly EventSpec[] | undefined {
  if (specs === undefined) return undefined
  return Array.isArray(specs) ? (specs as readonly EventSpec[]) : [specs as EventSpec]
}

function typeOf(spec: EventSpec): string {
  return typeof spec === "string" ? spec : spec.type
}

function schemasOf(specs: readonly EventSpec[] | undefined): ReadonlyMap<string, StandardSchema> {
  const defined = (specs ?? []).filter((spec): spec is EventType => typeof spec !== "string")
  return new Map(defined.map((spec) => [spec.type, spec.schema]))
}

async function dispose(deps: unknown): Promise<void> {
  if (typeof deps !== "object" || deps === null) return
  if (Symbol.asyncDispose in deps) await (deps as AsyncDisposable)[Symbol.asyncDispose]()
  else if (Symbol.dispose in deps) (deps as Disposable)[Symbol.dispose]()
}
