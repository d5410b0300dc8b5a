import {
  decodeResult,
  type EventSink,
  encodeCall,
  FnError,
  type FnErrorData,
  INSTANCE_STREAM_WINDOW,
  type LogBody,
  SlabMap,
  type WireEvent,
} from "@fn/core"
import type { Usage } from "@fn/isolation"
import { usageOf } from "../../isolation/usage.js"
import { EventRelay } from "../event-relay.js"
import type { Execution, Instance, InstanceSpec } from "../instance.js"
import { LineSplitter } from "../line-splitter.js"
import type { ModuleProcess, ModuleProcessEvents } from "./module-process.js"

interface Pending {
  resolve(events: WireEvent[]): void
  reject(error: FnError): void
  /** Where the events of a call that streams go. */
  readonly relay: EventRelay | undefined
}

/** A version of a JavaScript or TypeScript function in a Node process of its own. */
export class ModuleInstance implements Instance, ModuleProcessEvents {
  readonly id: string
  readonly exited: Promise<FnError | undefined>
  accepts: readonly string[] | undefined
  readonly #process: ModuleProcess
  readonly #spec: InstanceSpec
  readonly #pending = new SlabMap<number, Pending>()
  readonly #lines: { stdout: LineSplitter; stderr: LineSplitter }
  #nextCallId = 1
  #closing = false

  constructor(process: ModuleProcess, spec: InstanceSpec) {
    this.id = spec.fn.instance
    this.#process = process
    this.#spec = spec
    this.#lines = {
      stdout: new LineSplitter((line) => spec.logger.info(line, { channel: "stdout" })),
      stderr: new LineSplitter((line) => spec.logger.warn(line, { channel: "stderr" })),
    }
    this.exited = process.exited.then(async (exit) => {
      const error = await process.endError(exit, "while it ran")
      for (const { reject } of this.#pending.values()) reject(error)
      this.#pending.clear()
      return this.#closing ? undefined : error
    })
  }

  get pid(): number | undefined {
    return this.#process.child.pid
  }

  get isOver(): boolean {
    return this.#process.child.exit !== undefined
  }

  /** Loads the version; the instance is ready when it resolves. */
  async load(bundle: { path: string; source?: string }): Promise<this> {
    const { definition, fn } = this.#spec
    const response = await this.#process.load({ ...bundle, fn, config: definition.config, env: definition.env }, this)
    this.accepts = response.accepts
    return this
  }

  execute(execution: Execution): Promise<WireEvent[]> {
    const callId = this.#takeCallId()
    const { invocationId, attempt, deadline, event, sink } = execution
    const timeoutMs = deadline === Number.POSITIVE_INFINITY ? {} : { timeoutMs: Math.max(1, deadline - Date.now()) }
    const head = { invocationId, attempt, ...timeoutMs, attributes: event.attributes }
    const { prefix, data } = encodeCall(sink ? { ...head, window: INSTANCE_STREAM_WINDOW } : head, event.data)
    return new Promise((resolve, reject) => {
      if (this.#process.child.exit) return reject(this.#process.endError(this.#process.child.exit, "before the call"))
      this.#pending.set(callId, { resolve, reject, relay: sink && this.#relay(callId, sink) })
      execution.cancel = (reason) => this.#process.cancel(callId, reason)
      this.#process.call(callId, data === undefined ? [prefix] : [prefix, data])
    })
  }

  usage(): Promise<Usage> {
    return usageOf(this.#process.child)
  }

  ping(): Promise<void> {
    return this.#process.ping()
  }

  close(options: { graceMs: number }): Promise<void> {
    this.#closing = true
    return this.#process.close(options.graceMs)
  }

  result(callId: number, body: Buffer): void {
    const pending = this.#take(callId)
    if (!pending) return
    let events: WireEvent[]
    try {
      events = decodeResult(body)
    } catch (thrown) {
      return pending.reject(FnError.from(thrown))
    }
    if (!pending.relay) return pending.resolve(events)
    pending.relay.end((failure) => (failure ? pending.reject(failure) : pending.resolve(events)))
  }

  error(callId: number, error: FnErrorData): void {
    const pending = this.#take(callId)
    if (!pending?.relay) return pending?.reject(FnError.fromData(error))
    // After what the function yielded before it failed.
    pending.relay.end(() => pending.reject(FnError.fromData(error)))
  }

  events(callId: number, body: Buffer): void {
    const relay = this.#pending.get(callId)?.relay
    if (!relay) return
    let events: WireEvent[]
    try {
      events = decodeResult(body)
    } catch (thrown) {
      const error = FnError.from(thrown)
      this.#take(callId)?.reject(error)
      return this.#process.cancel(callId, error)
    }
    relay.push(events)
  }

  log(_callId: number, line: LogBody): void {
    this.#spec.logger.log(line.level, line.message, line.fields)
  }

  output(channel: "stdout" | "stderr", text: string): void {
    this.#lines[channel].push(text)
  }

  #relay(callId: number, sink: EventSink): EventRelay {
    return new EventRelay(sink, {
      window: INSTANCE_STREAM_WINDOW,
      grant: (count) => this.#process.grant(callId, count),
      failed: (error) => this.#process.cancel(callId, error),
    })
  }

  #take(callId: number): Pending | undefined {
    const pending = this.#pending.get(callId)
    this.#pending.delete(callId)
    return pending
  }

  #takeCallId(): number {
    const callId = this.#nextCallId
    // 32 bits on the wire; 0 means the load.
    this.#nextCallId = callId === 0xffffffff ? 1 : callId + 1
    return callId
  }
}
