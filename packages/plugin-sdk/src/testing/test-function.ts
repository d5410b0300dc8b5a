/** Runs one function in this process, as the platform would: events cross the wire format, errors are what a caller gets. No server. */
import { isDeepStrictEqual } from "node:util"
import {
  acceptsType,
  asFunctionModule,
  type CloudEvent,
  createLogger,
  DEFAULT_NAMESPACE,
  type EventInit,
  ExecutionContext,
  eventFromWire,
  eventToWire,
  FnError,
  type FunctionIdentity,
  type FunctionModule,
  type Handler,
  handlerError,
  type LogLevel,
  newId,
  outputToWire,
  type WireEvent,
} from "@fn/core"
import type { TypedEvent } from "../event.js"
import type { DefinedFunction } from "../function-types.js"

/** How to set a function up for a test. */
export interface TestOptions {
  readonly config?: Readonly<Record<string, unknown>>
  readonly secrets?: Readonly<Record<string, string>>
  /**
   * Finds handlers that the platform's retries would hurt: input and config are frozen, so that changing them throws, and every event is
   * delivered twice, which must give the same events (ids and times aside). Default false.
   */
  readonly strict?: boolean
  /** Parts of the identity that `ctx.fn` shows. */
  readonly fn?: Partial<FunctionIdentity>
}

/** How to invoke it. */
export interface InvokeOptions {
  /** Makes the value the data of an event of this type. Default for what is no event: the one type the function takes, else `com.fn.invoke`. */
  readonly type?: string
  /** Default 1. */
  readonly attempt?: number
  /** When it passes, the invocation fails and `ctx.signal` fires. Default: none. */
  readonly timeoutMs?: number
  /** Cancels the invocation. */
  readonly signal?: AbortSignal
}

/** A line the function logged. */
export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** An event that came out. */
export type TestResult<Out> = Out extends { readonly type: infer Type extends string; readonly data: infer Data }
  ? TypedEvent<Type, Data>
  : CloudEvent

/** A function under test. */
export interface TestedFunction<Out = EventInit> extends AsyncDisposable {
  /**
   * Delivers an event, or data in an event made for it, and resolves with the events that came out.
   * @throws {FnError} what a caller would get; with `strict` also NOT_IDEMPOTENT
   */
  invoke(eventOrData: unknown, options?: InvokeOptions): Promise<TestResult<Out>[]>
  /** What it logged so far, setup included. */
  readonly logs: readonly LogLine[]
  /** Runs its shutdown. */
  close(): Promise<void>
}

const SOURCE = "/test"
/** What the client calls the event around bare data. */
const DATA_EVENT_TYPE = "com.fn.invoke"

/**
 * Initializes `fn` for a test.
 * @throws {FnError} INVALID_CONFIG, INIT_FAILED as a deploy would
 */
export async function testFunction<Out = EventInit>(
  fn: DefinedFunction<never, Out> | FunctionModule | Handler,
  options: TestOptions = {},
): Promise<TestedFunction<Out>> {
  const module = asFunctionModule(fn)
  if (!module) throw FnError.of("LOAD_FAILED", "testFunction needs defineFunction(...) or a handler")
  const tested = new FunctionUnderTest(module, options)
  await tested.initialize()
  return tested as unknown as TestedFunction<Out>
}

class FunctionUnderTest implements TestedFunction {
  readonly logs: LogLine[] = []
  readonly #module: FunctionModule
  readonly #strict: boolean
  readonly #fn: FunctionIdentity
  readonly #config: Readonly<Record<string, unknown>>
  readonly #secrets: Readonly<Record<string, string>>
  readonly #log = createLogger((level, message, fields) => this.logs.push({ level, message, fields }))

  constructor(module: FunctionModule, options: TestOptions) {
    this.#module = module
    this.#strict = options.strict ?? false
    this.#fn = {
      namespace: DEFAULT_NAMESPACE,
      name: (module as Partial<DefinedFunction>).name ?? "function",
      version: "0.0.0",
      instance: newId(),
      ...options.fn,
    }
    const config = structuredClone(options.config ?? {})
    this.#config = this.#strict ? freeze(config) : config
    this.#secrets = Object.freeze({ ...options.secrets })
  }

  async initialize(): Promise<void> {
    try {
      await this.#module.initialize?.({ fn: this.#fn, config: this.#config, secrets: this.#secrets, log: this.#log })
    } catch (thrown) {
      throw FnError.from(thrown, "failed_precondition", "INIT_FAILED")
    }
  }

  async invoke(eventOrData: unknown, options: InvokeOptions = {}): Promise<CloudEvent[]> {
    const event = this.#eventOf(eventOrData, options)
    const first = await this.#deliver(event, options, options.attempt ?? 1)
    if (this.#strict) await this.#deliverAgain(event, options, first)
    return first.map((wire) => eventFromWire(wire))
  }

  close(): Promise<void> {
    return Promise.resolve(this.#module.shutdown?.(this.#fn))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #eventOf(eventOrData: unknown, { type }: InvokeOptions): WireEvent {
    if (type === undefined && isEvent(eventOrData)) return eventToWire(eventOrData, { source: SOURCE })
    const { accepts } = this.#module
    const only = accepts?.length === 1 && !accepts[0]?.endsWith("*") ? accepts[0] : undefined
    return eventToWire({ type: type ?? only ?? DATA_EVENT_TYPE, data: eventOrData }, { source: SOURCE })
  }

  async #deliver(wire: WireEvent, options: InvokeOptions, attempt: number): Promise<WireEvent[]> {
    const { timeoutMs, signal } = options
    const context = new ExecutionContext({
      invocationId: wire.attributes.id,
      attempt,
      deadline: timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs,
      fn: this.#fn,
      config: this.#config,
      secrets: this.#secrets,
      log: this.#log,
    })
    const ended = new AbortController()
    try {
      return await Promise.race([this.#execute(wire, context), givenUp(context, { timeoutMs, signal, ended: ended.signal })])
    } catch (thrown) {
      throw handlerError(thrown)
    } finally {
      ended.abort()
      context.abort(FnError.of("CANCELLED", "the execution is over"))
    }
  }

  async #execute(wire: WireEvent, context: ExecutionContext): Promise<WireEvent[]> {
    if (!acceptsType(this.#module.accepts, wire.attributes.type))
      throw FnError.of("TYPE_NOT_ACCEPTED", `function ${this.#fn.name} does not take ${wire.attributes.type}`)
    // Decoded anew for each delivery: what one did to its event, the next must not see.
    const event = eventFromWire(wire.data ? { ...wire, data: Buffer.from(wire.data) } : wire)
    return await outputToWire(await this.#module.execute(this.#strict ? freeze(event) : event, context), this.#fn, context)
  }

  async #deliverAgain(event: WireEvent, options: InvokeOptions, first: WireEvent[]): Promise<void> {
    let second: WireEvent[]
    try {
      second = await this.#deliver(event, options, (options.attempt ?? 1) + 1)
    } catch (cause) {
      throw notIdempotent(`delivered again, it failed: ${FnError.from(cause).message}`, { first: first.map(comparable) }, cause)
    }
    const outputs = { first: first.map(comparable), second: second.map(comparable) }
    if (!isDeepStrictEqual(outputs.first, outputs.second)) throw notIdempotent("delivered again, it gave other events", outputs)
  }
}

/** Rejects when the time is up or the caller has had enough; never resolves. Leaves nothing behind once `ended`. */
function givenUp(
  context: ExecutionContext,
  { timeoutMs, signal, ended }: { timeoutMs: number | undefined; signal: AbortSignal | undefined; ended: AbortSignal },
): Promise<never> {
  return new Promise((_resolve, reject) => {
    const giveUp = (error: FnError): void => {
      context.abort(error)
      reject(error)
    }
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => giveUp(FnError.of("FUNCTION_TIMEOUT", `the function ran longer than ${timeoutMs} ms`)), timeoutMs)
    const onAbort = (): void => giveUp(FnError.from(signal?.reason, "cancelled", "CANCELLED"))
    if (signal?.aborted) onAbort()
    signal?.addEventListener("abort", onAbort)
    ended.addEventListener("abort", () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", onAbort)
    })
  })
}

/** As the client sees it: what says that it is an event, or has a type and data. */
function isEvent(value: unknown): value is EventInit {
  if (typeof value !== "object" || value === null) return false
  if ("specversion" in value) return true
  return "type" in value && typeof value.type === "string" && ("data" in value || "data_base64" in value)
}

/** What two deliveries of one event must agree on. */
function comparable(wire: WireEvent): Record<string, unknown> {
  const { id: _id, time: _time, ...attributes } = wire.attributes
  const event = eventFromWire({ attributes: { ...wire.attributes }, data: wire.data })
  return { ...attributes, data: event.data }
}

function notIdempotent(why: string, details: Record<string, unknown>, cause?: unknown): FnError {
  return new FnError("failed_precondition", `the handler is not idempotent: ${why}`, { reason: "NOT_IDEMPOTENT", details, cause })
}

function freeze<T>(value: T): T {
  // Bytes cannot be frozen; each delivery has a copy of its own.
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}
