/** Executions by one Execute each, for plugins without ExecuteStream: dearer, and the way every gRPC library offers. */
import { eventFromProto, eventToProto, FnError, type WireEvent } from "@fn/core"
import type { plugin } from "@fn/proto"
import { Metadata } from "@grpc/grpc-js"
import type { Execution } from "../instance.js"
import type { PluginCalls } from "./plugin-calls.js"
import { badOutput, tooLarge } from "./stream-calls.js"

/** What unary calls need to know of their plugin. */
export interface UnaryCallsOptions {
  readonly maxReceiveBytes: number
  /** What a failed call really means: a crash looks like a lost connection first. */
  readonly explain: (thrown: unknown) => Promise<FnError>
}

export class UnaryCalls implements PluginCalls {
  readonly #client: plugin.FunctionClient
  readonly #options: UnaryCallsOptions
  readonly #running = new Set<(error: FnError) => void>()
  #failure: FnError | undefined
  #idle: (() => void) | undefined

  constructor(client: plugin.FunctionClient, options: UnaryCallsOptions) {
    this.#client = client
    this.#options = options
  }

  execute(execution: Execution): Promise<WireEvent[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      const sizeBytes = 512 + (execution.event.data?.length ?? 0)
      if (sizeBytes > this.#options.maxReceiveBytes) return reject(tooLarge(sizeBytes, this.#options.maxReceiveBytes))
      this.#running.add(reject)
      this.#call(execution)
        .then(resolve, reject)
        .finally(() => {
          this.#running.delete(reject)
          if (this.#running.size === 0) this.#idle?.()
        })
    })
  }

  async drain(): Promise<void> {
    this.#failure ??= FnError.of("HOST_DRAINING", "this instance is shutting down")
    if (this.#running.size === 0) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }

  fail(error: FnError): void {
    this.#failure = error
    for (const reject of this.#running) reject(error)
    this.#running.clear()
    this.#idle?.()
  }

  async #call(execution: Execution): Promise<WireEvent[]> {
    const { event, invocationId, attempt, deadline } = execution
    const request: plugin.ExecuteRequest = { event: eventToProto(event), context: { invocationId, attempt, metadata: {} } }
    const options = deadline === Number.POSITIVE_INFINITY ? {} : { deadline }
    let cancelled: FnError | undefined
    const response = await new Promise<plugin.ExecuteResponse>((resolve, reject) => {
      const call = this.#client.execute(request, new Metadata(), options, (error, reply) => (error ? reject(error) : resolve(reply)))
      execution.cancel = (reason) => {
        cancelled = reason
        call.cancel()
      }
    }).catch(async (thrown) => {
      throw cancelled ?? (await this.#options.explain(thrown))
    })
    try {
      return response.events.map(eventFromProto)
    } catch (thrown) {
      throw badOutput(thrown)
    }
  }
}
