import {
  ExecutionContext,
  eventFromWire,
  FnError,
  type FunctionModule,
  handlerError,
  outputToSink,
  outputToWire,
  type WireEvent,
} from "@fn/core"
import type { Execution, Instance, InstanceSpec, InstanceStarter } from "../instance.js"

const OVER = "the execution is over"

/** The starter of runtime `builtin`: functions that the embedding app registered, by `namespace/name`. They run in this process and cannot be killed. */
export function createBuiltinStarter(builtins: ReadonlyMap<string, FunctionModule>): InstanceStarter {
  return {
    start: async (spec) => {
      const key = `${spec.fn.namespace}/${spec.fn.name}`
      const module = builtins.get(key)
      if (!module) throw FnError.of("BUILTIN_NOT_REGISTERED", `the app around this host registered no builtin ${key}`)
      return new BuiltinInstance(module, spec).initialize()
    },
    close: async () => undefined,
  }
}

class BuiltinInstance implements Instance {
  readonly id: string
  readonly accepts: readonly string[] | undefined
  readonly exited: Promise<FnError | undefined>
  readonly #module: FunctionModule
  readonly #spec: InstanceSpec
  #end: (error: FnError | undefined) => void = () => undefined
  #closing: Promise<void> | undefined

  constructor(module: FunctionModule, spec: InstanceSpec) {
    this.id = spec.fn.instance
    this.accepts = module.accepts
    this.#module = module
    this.#spec = spec
    this.exited = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  async initialize(): Promise<this> {
    const { fn, definition, logger } = this.#spec
    try {
      await this.#module.initialize?.({ fn, config: definition.config, secrets: {}, log: logger })
    } catch (thrown) {
      throw FnError.from(thrown, "failed_precondition", "INIT_FAILED")
    }
    return this
  }

  execute(execution: Execution): WireEvent[] | Promise<WireEvent[]> {
    const { fn, definition, logger } = this.#spec
    const { invocationId, attempt, deadline } = execution
    const context = new ExecutionContext({ invocationId, attempt, deadline, fn, config: definition.config, log: logger })
    execution.cancel = (reason) => context.abort(reason)
    try {
      const output = this.#module.execute(eventFromWire(execution.event), context)
      const { sink } = execution
      if (sink)
        return this.#finish(
          outputToSink(output, fn, sink).then(() => []),
          context,
        )
      if (output instanceof Promise)
        return this.#finish(
          output.then((done) => outputToWire(done, fn, context)),
          context,
        )
      const events = outputToWire(output, fn, context)
      if (events instanceof Promise) return this.#finish(events, context)
      context.abort(OVER)
      return events
    } catch (thrown) {
      context.abort(OVER)
      throw handlerError(thrown)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutdown()
    return this.#closing
  }

  async #finish(events: Promise<WireEvent[]>, context: ExecutionContext): Promise<WireEvent[]> {
    try {
      return await events
    } catch (thrown) {
      throw handlerError(thrown)
    } finally {
      context.abort(OVER)
    }
  }

  async #shutdown(): Promise<void> {
    try {
      await this.#module.shutdown?.(this.#spec.fn)
    } catch (thrown) {
      this.#spec.logger.error("shutdown failed", { error: String(thrown) })
    }
    this.#end(undefined)
  }
}
