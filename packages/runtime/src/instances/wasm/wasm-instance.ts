import { FnError, type WireEvent } from "@fn/core"
import type { Usage } from "@fn/isolation"
import { usageOf } from "../../isolation/usage.js"
import type { Execution, Instance, InstanceSpec } from "../instance.js"
import { LineSplitter } from "../line-splitter.js"
import type { WasmProcess } from "./wasm-process.js"

/**
 * A version of a WebAssembly function, in a process of its own.
 *
 * A program that runs hears nothing, so a call that is to stop costs the process; the next call gets another, loaded meanwhile. That is no
 * crash: the instance stays. A process that ends by itself is one, and ends the instance.
 */
export class WasmInstance implements Instance {
  readonly id: string
  readonly exited: Promise<FnError | undefined>
  readonly #spec: InstanceSpec
  readonly #launch: () => Promise<WasmProcess>
  /** What the calls run on; another one when a call had to be stopped. */
  #process: Promise<WasmProcess>
  #current: WasmProcess
  /** The one that was ended for a call's sake. */
  #replaced: WasmProcess | undefined
  #running: string | undefined
  #closing: Promise<void> | undefined
  #exit: (error: FnError | undefined) => void = () => undefined

  constructor(spec: InstanceSpec, process: WasmProcess, launch: () => Promise<WasmProcess>) {
    this.id = spec.fn.instance
    this.#spec = spec
    this.#launch = launch
    this.#current = process
    this.exited = new Promise((resolve) => {
      this.#exit = resolve
    })
    this.#process = Promise.resolve(this.#adopt(process))
  }

  get pid(): number | undefined {
    return this.#current.child.pid
  }

  get isOver(): boolean {
    return this.#current.child.exit !== undefined && this.#current !== this.#replaced
  }

  async execute(execution: Execution): Promise<WireEvent[]> {
    const { invocationId, attempt, deadline, event } = execution
    let stopped: FnError | undefined
    let running: WasmProcess | undefined
    execution.cancel = (reason) => {
      stopped ??= reason
      if (running) this.#replace(running)
    }
    const process = await this.#process
    if (stopped) throw stopped
    running = process
    this.#running = invocationId
    try {
      const timeoutMs = deadline === Number.POSITIVE_INFINITY ? {} : { timeoutMs: Math.max(1, deadline - Date.now()) }
      return await process.call({ invocationId, attempt, ...timeoutMs, attributes: event.attributes }, event.data)
    } catch (thrown) {
      throw stopped ?? FnError.from(thrown)
    } finally {
      running = undefined
      this.#running = undefined
    }
  }

  usage(): Promise<Usage> {
    return usageOf(this.#current.child)
  }

  ping(): Promise<void> {
    return this.#current.ping()
  }

  close({ graceMs }: { graceMs: number }): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    // One that is still being loaded is closed when it is; a failed load leaves nothing.
    const process = await this.#process.catch(() => undefined)
    await process?.close(graceMs)
    this.#exit(undefined)
  }

  /** Ends `process` and loads another. */
  #replace(process: WasmProcess): void {
    process.child.kill("SIGKILL")
    if (process !== this.#current || process === this.#replaced || this.#closing) return
    this.#replaced = process
    this.#process = this.#relaunch(process)
    this.#process.catch((thrown: unknown) => this.#exit(FnError.from(thrown)))
  }

  async #relaunch(process: WasmProcess): Promise<WasmProcess> {
    await process.exited
    return this.#adopt(await this.#launch())
  }

  #adopt(process: WasmProcess): WasmProcess {
    this.#current = process
    const lines = new LineSplitter((line) =>
      this.#spec.logger.info(line, { channel: "stderr", ...(this.#running === undefined ? {} : { invocationId: this.#running }) }),
    )
    process.onStderr = (text) => lines.push(text)
    void process.exited.then(async (exit) => {
      lines.end()
      if (process !== this.#replaced && !this.#closing) this.#exit(await process.endError(exit, "on its own"))
    })
    return process
  }
}
