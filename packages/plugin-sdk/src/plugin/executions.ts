/**
 * The executions of one plugin process: decode the event, run the handler under its deadline, encode what comes out.
 * Unary calls and streams share them, so that one drain waits for both.
 */
import {
  type CloudEvent,
  type CreditWindow,
  DeadlineSweep,
  ExecutionContext,
  eventFromProto,
  eventFromWire,
  eventToProto,
  FnError,
  type FunctionIdentity,
  type FunctionModule,
  type HandlerOutput,
  handlerError,
  type Logger,
  outputToSink,
  outputToWire,
  Slab,
  type WireEvent,
} from "@fn/core"
import type { cloudevents, plugin } from "@fn/proto"

/** The loaded function, once it is initialized. */
export interface LoadedFunction {
  readonly module: FunctionModule
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets: Readonly<Record<string, string>>
}

/** One call as it came over the wire. */
export interface ExecutionRequest {
  readonly event: cloudevents.CloudEvent | undefined
  readonly context: plugin.CallContext | undefined
  /** Time left; undefined: no limit. */
  readonly timeoutMs: number | undefined
  readonly log: Logger
  /** Where events go as they come; absent: all with the outcome. */
  readonly output?: StreamedOutput | undefined
}

/** The way out of a call that streams. */
export interface StreamedOutput {
  /** What may still be sent. */
  readonly credit: CreditWindow
  readonly send: (event: cloudevents.CloudEvent) => void
}

/** A running call. */
export interface RunningExecution {
  /** The way out, if it streams. */
  readonly output: StreamedOutput | undefined
  cancel(reason: FnError): void
}

/** What becomes of a call: told once, in the same tick when the handler is synchronous. */
export interface ExecutionOutcome {
  succeeded(events: cloudevents.CloudEvent[]): void
  failed(error: FnError): void
}

/** Runs calls and knows how many are left. */
export class Executions {
  readonly #running = new Slab<StartedExecution>()
  readonly #deadlines = new DeadlineSweep<StartedExecution>((execution) =>
    execution.cancel(FnError.of("FUNCTION_TIMEOUT", "the time of this execution is over")),
  )
  #idle: (() => void) | undefined
  #draining = false

  get running(): number {
    return this.#running.size
  }

  /** Runs one call. After {@link drain} it is refused. */
  start(loaded: LoadedFunction, request: ExecutionRequest, outcome: ExecutionOutcome): RunningExecution | undefined {
    if (this.#draining) {
      outcome.failed(FnError.of("HOST_DRAINING", "this plugin is shutting down"))
      return undefined
    }
    let event: CloudEvent
    try {
      if (!request.event) throw FnError.of("INVALID_EVENT", "invalid event: the call carries none")
      event = eventFromWire(eventFromProto(request.event))
    } catch (thrown) {
      outcome.failed(FnError.from(thrown))
      return undefined
    }
    const context = contextOf(loaded, request)
    const started = new StartedExecution(context, request.output)
    const slot = request.timeoutMs === undefined ? undefined : this.#deadlines.add(started, performance.now() + request.timeoutMs)
    const at = this.#running.add(started)
    const end = (): void => {
      if (slot !== undefined) this.#deadlines.delete(started, slot)
      this.#running.delete(at)
      context.abort(FnError.of("CANCELLED", "the execution is over"))
      if (this.#running.size === 0) this.#idle?.()
    }
    run(loaded, event, started, {
      succeeded: (events) => {
        end()
        outcome.succeeded(events)
      },
      failed: (error) => {
        end()
        outcome.failed(error)
      },
    })
    return started
  }

  /** Refuses further calls and waits for those that run, at most `graceMs`. Resolves with how many were still running then. */
  async drain(graceMs: number): Promise<number> {
    this.#draining = true
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs)
        this.#idle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#deadlines.close()
    return this.#running.size
  }
}

function contextOf({ fn, config, secrets }: LoadedFunction, { context, timeoutMs, log }: ExecutionRequest): ExecutionContext {
  return new ExecutionContext({
    invocationId: context?.invocationId ?? "",
    attempt: context?.attempt || 1,
    deadline: timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs,
    fn,
    config,
    secrets,
    log,
  })
}

class StartedExecution implements RunningExecution {
  readonly context: ExecutionContext
  readonly output: StreamedOutput | undefined

  constructor(context: ExecutionContext, output: StreamedOutput | undefined) {
    this.context = context
    this.output = output
  }

  cancel(reason: FnError): void {
    this.context.abort(reason)
    this.output?.credit.close(reason)
  }
}

/** One tick for a synchronous handler: its result then leaves with the others of that tick. */
function run(
  { module, fn }: LoadedFunction,
  event: CloudEvent,
  { context, output: streamed }: StartedExecution,
  outcome: ExecutionOutcome,
): void {
  const fail = (thrown: unknown): void => outcome.failed(failure(thrown, context))
  const succeed = (wires: WireEvent[]): void => outcome.succeeded(wires.map(eventToProto))
  const finish = (output: HandlerOutput): void => {
    const wires = outputToWire(output, fn, context)
    if (wires instanceof Promise) wires.then(succeed, fail)
    else succeed(wires)
  }
  try {
    const output = module.execute(event, context)
    if (streamed) stream(output, fn, streamed).then(() => succeed([]), fail)
    else if (isPromise(output)) output.then(finish).catch(fail)
    else finish(output)
  } catch (thrown) {
    fail(thrown)
  }
}

/** Sends what the handler yields as it comes, and asks it for more only where there is credit. */
function stream(output: HandlerOutput | Promise<HandlerOutput>, fn: FunctionIdentity, { credit, send }: StreamedOutput): Promise<void> {
  return outputToSink(output, fn, {
    write: (event) => {
      send(eventToProto(event))
      return credit.spend()
    },
  })
}

function failure(thrown: unknown, context: ExecutionContext): FnError {
  const error = handlerError(thrown)
  // An aborted timer or stream throws a bare AbortError: why it was aborted is what the caller wants to know.
  if (error.reason === "CANCELLED" && error !== thrown && context.signal.aborted) return FnError.from(context.signal.reason, "cancelled")
  // The stack is the author's, and only the log may have it.
  if (error.reason === "FUNCTION_THREW") context.log.error("the function threw", { error: stackOf(thrown) })
  return error
}

function stackOf(thrown: unknown): string {
  return typeof thrown === "object" && thrown !== null && "stack" in thrown ? String(thrown.stack) : String(thrown)
}

function isPromise(output: HandlerOutput | Promise<HandlerOutput>): output is Promise<HandlerOutput> {
  return typeof output === "object" && output !== null && "then" in output && typeof output.then === "function"
}
