/**
 * A version of a function in a plugin process.
 *
 * Phases: ready → closing (its owner ends it) or dead (the process ended, or its stream broke) → over, told by `exited`.
 * Made by plugin-starter.ts; the calls run in stream-calls.ts or unary-calls.ts.
 */

import type { WireEvent } from "@fn/core"
import { FnError, type Logger, messageOf } from "@fn/core"
import { durationFromMs } from "@fn/core/plugin-wire"
import type { PluginProcess } from "@fn/go-plugin"
import { readProcessUsage, type Usage } from "@fn/isolation"
import type { plugin } from "@fn/proto"
import { Metadata } from "@grpc/grpc-js"
import type { Execution, Instance } from "../instance.js"
import type { PluginCalls } from "./plugin-calls.js"
import { crashError, EXIT_LAG_MS } from "./plugin-error.js"
import { within } from "./within.js"

/** What an instance is made of. */
export interface PluginParts {
  readonly id: string
  readonly process: PluginProcess
  readonly client: plugin.FunctionClient
  readonly calls: PluginCalls
  readonly accepts: readonly string[] | undefined
  readonly logger: Logger
  /** The limit that ended its process, if one did. */
  readonly limit?: () => Promise<FnError | undefined>
  /** What its process uses, if it is known better than from /proc. */
  readonly usage?: () => Promise<Usage | undefined>
}

export class PluginInstance implements Instance {
  readonly id: string
  readonly accepts: readonly string[] | undefined
  readonly exited: Promise<FnError | undefined>
  readonly #parts: PluginParts
  #closing: Promise<void> | undefined
  #broken: FnError | undefined

  constructor(parts: PluginParts) {
    this.#parts = parts
    this.id = parts.id
    this.accepts = parts.accepts
    this.exited = parts.process.exited.then(async (exit) => {
      const error = this.#broken ?? (await parts.limit?.()) ?? crashError(parts.process, exit)
      parts.calls.fail(error)
      return this.#closing && !this.#broken ? undefined : error
    })
  }

  get pid(): number {
    return this.#parts.process.pid
  }

  get isOver(): boolean {
    return this.#broken !== undefined || this.#parts.process.exit !== undefined
  }

  execute(execution: Execution): Promise<WireEvent[]> {
    return this.#parts.calls.execute(execution)
  }

  async usage(): Promise<Usage> {
    return (await this.#parts.usage?.()) ?? readProcessUsage(this.pid)
  }

  /** The stream broke. The process follows, unless it is only the stream: then it is ended, because its open calls have no answer. */
  async broke(thrown: unknown): Promise<void> {
    if (this.#closing || (await within(EXIT_LAG_MS, this.#parts.process.exited))) return
    this.#broken = FnError.of("FUNCTION_CRASHED", `the plugin's stream broke while its process lived: ${messageOf(thrown)}`, {
      cause: thrown,
    })
    await this.#parts.process.close({ shutdownTimeoutMs: 0, graceMs: 0 })
  }

  close({ graceMs }: { graceMs: number }): Promise<void> {
    this.#closing ??= this.#end(graceMs)
    return this.#closing
  }

  /** Each step gets a share of the grace, so that a plugin that ignores one is still ended in time. */
  async #end(graceMs: number): Promise<void> {
    const { process, calls } = this.#parts
    const end = performance.now() + graceMs
    const left = (): number => Math.max(0, end - performance.now())
    if (graceMs > 0 && !process.exit) {
      await within(graceMs * 0.5, Promise.race([calls.drain(), process.exited]))
      await this.#shutdown(left() * 0.7)
    }
    await process.close({ shutdownTimeoutMs: left(), graceMs: left() })
    await this.exited
  }

  /** The function's own shutdown. Whatever it answers, go-plugin's comes next. */
  #shutdown(timeoutMs: number): Promise<void> {
    const { client, process, logger } = this.#parts
    return new Promise((resolve) => {
      void process.exited.then(() => resolve())
      client.shutdown(
        { grace: durationFromMs(timeoutMs * 0.8) },
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          if (error && !process.exit) logger.warn("plugin failed at its shutdown", { cause: error.details })
          else if (response && response.callsAbandoned > 0n)
            logger.warn("plugin left calls behind", { calls: Number(response.callsAbandoned) })
          resolve()
        },
      )
    })
  }
}
