import { FnError, messageOf } from "./errors.js"
import { eventToWire } from "./event/data.js"
import type { CloudEvent, EventInit, WireEvent } from "./event/event.js"
import { type Logger, noopLogger } from "./logger.js"

/** Which version of which function runs, and where. */
export interface FunctionIdentity {
  readonly namespace: string
  readonly name: string
  readonly version: string
  /** Id of the instance (`faas.instance`). */
  readonly instance: string
}

/** Adds attributes to the span of the execution. */
export interface Span {
  setAttribute(name: string, value: string | number | boolean): void
  addEvent(name: string, attributes?: Readonly<Record<string, string | number | boolean>>): void
}

/** A function's own metrics. */
export interface FunctionMetrics {
  /** Adds `value` (default 1) to a counter. */
  count(name: string, value?: number): void
  /** Records one observation, in the unit the name says. */
  record(name: string, value: number): void
}

/** What a handler gets beside its event. */
export interface HandlerContext<Config = Readonly<Record<string, unknown>>, Deps = unknown> {
  /** Aborts when the caller cancels, the deadline passes, or the execution is over. Its reason is a sentence. */
  readonly signal: AbortSignal
  /** When the time is up, epoch ms; Infinity without a deadline. */
  readonly deadline: number
  readonly log: Logger
  readonly span: Span
  readonly metrics: FunctionMetrics
  /** 1 for the first execution of the invocation. */
  readonly attempt: number
  readonly invocationId: string
  readonly fn: FunctionIdentity
  readonly config: Config
  readonly secrets: Readonly<Record<string, string>>
  /** What `setup` returned. */
  readonly deps: Deps
}

/** What a handler may return: nothing, an event, several, or a (possibly async) iterable of events. */
// biome-ignore lint/suspicious/noConfusingVoidType: an author's function without a return statement is typed void
export type HandlerOutput = EventInit | CloudEvent | null | undefined | void | Iterable<EventInit> | AsyncIterable<EventInit>

/** The author's code. */
export type Handler<Event = CloudEvent, Config = Readonly<Record<string, unknown>>, Deps = unknown> = (
  event: Event,
  ctx: HandlerContext<Config, Deps>,
) => HandlerOutput | Promise<HandlerOutput>

/** What `initialize` gets. */
export interface InitializeContext {
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets: Readonly<Record<string, string>>
  readonly log: Logger
}

/** A loaded function, whatever way it was written: `initialize(config)` once, `execute(event, ctx)` many times, `shutdown()` once. */
export interface FunctionModule {
  readonly accepts?: readonly string[] | undefined
  readonly emits?: readonly string[] | undefined
  initialize?(init: InitializeContext): void | Promise<void>
  execute(event: CloudEvent, ctx: HandlerContext): HandlerOutput | Promise<HandlerOutput>
  /** Ends the instance `fn` that was initialized; one builtin module may run as several instances at once. Without `fn`: all of them. */
  shutdown?(fn?: FunctionIdentity): void | Promise<void>
}

/**
 * The function that a module exports: an object with `execute` (what `defineFunction` makes) or a bare handler, as its default export or,
 * when there is exactly one, a named export.
 * @throws {FnError} failed_precondition LOAD_FAILED
 */
export function functionFromExports(exports: Readonly<Record<string, unknown>>): FunctionModule {
  const found = asFunctionModule(exports.default)
  if (found) return found
  const named = Object.keys(exports).flatMap((name) => (name !== "default" && isFunctionModule(exports[name]) ? [exports[name]] : []))
  if (named.length === 1) return named[0] as FunctionModule
  const why =
    named.length === 0
      ? "it has no default export that is a function or defineFunction(...)"
      : "it exports several functions and none as default"
  throw FnError.of("LOAD_FAILED", `the module exports no function: ${why}`)
}

/** `value` as a function module, if it is one or a bare handler. */
export function asFunctionModule(value: unknown): FunctionModule | undefined {
  if (isFunctionModule(value)) return value
  if (typeof value === "function") return { execute: value as FunctionModule["execute"] }
  return undefined
}

function isFunctionModule(value: unknown): value is FunctionModule {
  return typeof value === "object" && value !== null && "execute" in value && typeof value.execute === "function"
}

/** Parts of a {@link HandlerContext} that differ per call. */
export interface CallOptions {
  readonly invocationId: string
  readonly attempt: number
  /** Epoch ms, Infinity for none. */
  readonly deadline: number
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly log?: Logger
  readonly metrics?: FunctionMetrics
  readonly span?: Span
}

const noopSpan: Span = { setAttribute: () => undefined, addEvent: () => undefined }
const noopMetrics: FunctionMetrics = { count: () => undefined, record: () => undefined }
const NO_SECRETS: Readonly<Record<string, string>> = Object.freeze({})

/** The context of one execution. Its AbortController exists only once somebody asks: making one costs more than decoding the event. */
export class ExecutionContext implements HandlerContext {
  readonly deadline: number
  readonly attempt: number
  readonly invocationId: string
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets: Readonly<Record<string, string>>
  readonly log: Logger
  readonly span: Span
  readonly metrics: FunctionMetrics
  readonly deps: unknown = undefined
  #controller: AbortController | undefined
  #abort: { readonly reason: unknown } | undefined

  constructor(options: CallOptions) {
    this.deadline = options.deadline
    this.attempt = options.attempt
    this.invocationId = options.invocationId
    this.fn = options.fn
    this.config = options.config
    this.secrets = options.secrets ?? NO_SECRETS
    this.log = options.log ?? noopLogger
    this.span = options.span ?? noopSpan
    this.metrics = options.metrics ?? noopMetrics
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#abort) this.#controller.abort(this.#abort.reason)
    }
    return this.#controller.signal
  }

  get aborted(): boolean {
    return this.#abort !== undefined
  }

  /** Fires the signal. The first reason stays. */
  abort(reason: unknown): void {
    if (this.#abort) return
    this.#abort = { reason }
    this.#controller?.abort(reason)
  }
}

/** Where events without a source come from. */
export function functionSource(fn: { readonly namespace: string; readonly name: string }): string {
  return `/functions/${fn.namespace}/${fn.name}`
}

/** What an iterable is read under. `signal` may be made when it is first asked for. */
interface Abortable {
  readonly aborted: boolean
  readonly signal: AbortSignal
}

/** Most events of one answer. A function that yields without end is one to be streamed; collected, it would fill the memory. */
export const MAX_ANSWER_EVENTS = 100_000
/** So many events of an iterable are collected in one go, before others get their turn: also who cancels it. */
const COLLECT_EVENTS = 1_000

/**
 * What a handler returned, as wire events. An async iterable is read to its end, or until `context` is aborted.
 * @throws {FnError} failed_precondition BAD_OUTPUT for what is no event; resource_exhausted OUTPUT_LIMIT for more than
 *   {@link MAX_ANSWER_EVENTS}; cancelled; whatever the iterable throws
 */
export function outputToWire(output: HandlerOutput, fn: FunctionIdentity, context?: Abortable): WireEvent[] | Promise<WireEvent[]> {
  if (output === undefined || output === null) return []
  if (typeof output !== "object") throw badOutput(`it returned a ${typeof output}`)
  if (Symbol.asyncIterator in output) return collect(output, fn, context)
  if (!(Symbol.iterator in output)) return [eventOut(output, fn)]
  const events: WireEvent[] = []
  for (const event of output) {
    if (events.length === MAX_ANSWER_EVENTS) throw tooManyEvents()
    events.push(eventOut(event, fn))
  }
  return events
}

async function collect(output: AsyncIterable<EventInit>, fn: FunctionIdentity, context: Abortable | undefined): Promise<WireEvent[]> {
  const events: WireEvent[] = []
  for await (const event of output) {
    if (events.length === MAX_ANSWER_EVENTS) throw tooManyEvents()
    events.push(eventOut(event, fn))
    if (events.length % COLLECT_EVENTS === 0) await new Promise(setImmediate)
    if (context?.aborted) throw FnError.from(context.signal.reason, "cancelled")
  }
  return events
}

function tooManyEvents(): FnError {
  return FnError.of("OUTPUT_LIMIT", `the function yields more than ${MAX_ANSWER_EVENTS} events: take them as a stream`)
}

/** Takes the events of one execution as they come. */
export interface EventSink {
  /**
   * Takes the next event. A promise: the function is not asked for another before it resolves. Throws or rejects when the event cannot be
   * delivered or nobody wants further ones; the execution ends then.
   */
  write(event: WireEvent): void | Promise<void>
}

/**
 * Hands what a handler returned to `sink`, event by event. An iterable is asked for its next event only when the sink is ready for it, and
 * is ended when the sink fails.
 * @throws {FnError} failed_precondition BAD_OUTPUT for what is no event; whatever the handler, the iterable or the sink throws
 */
export async function outputToSink(output: HandlerOutput | Promise<HandlerOutput>, fn: FunctionIdentity, sink: EventSink): Promise<void> {
  const settled = await output
  if (settled === undefined || settled === null) return
  if (typeof settled !== "object") throw badOutput(`it returned a ${typeof settled}`)
  if (Symbol.asyncIterator in settled) {
    for await (const event of settled) {
      const ready = sink.write(eventOut(event, fn))
      if (ready) await ready
    }
  } else if (Symbol.iterator in settled) {
    for (const event of settled) {
      const ready = sink.write(eventOut(event, fn))
      if (ready) await ready
    }
  } else await sink.write(eventOut(settled, fn))
}

function eventOut(event: EventInit, fn: FunctionIdentity): WireEvent {
  if (typeof event !== "object" || event === null)
    throw badOutput(`it returned ${event === null ? "null" : `a ${typeof event}`} among its events`)
  try {
    return eventToWire(event, { source: functionSource(fn) })
  } catch (thrown) {
    throw badOutput(messageOf(thrown))
  }
}

function badOutput(why: string): FnError {
  return FnError.of("BAD_OUTPUT", `the function must return CloudEvents or nothing, but ${why}`)
}

/** What a handler threw, as an error for the caller: an FnError stays, AbortError and TimeoutError keep their meaning, the rest is FUNCTION_THREW. */
export function handlerError(thrown: unknown): FnError {
  return FnError.from(thrown, "unknown", "FUNCTION_THREW")
}
