/**
 * Starts WebAssembly instances: WASI preview 1 programs with a command's conventions, each in a process of its own. docs/wasm.md
 *
 * A spare process is kept from the first use on: it is what a stopped call's place is taken by without a wait.
 */
import { FnError } from "@fn/core"
import { resultType } from "../../stdio/result-type.js"
import type { Instance, InstanceSpec, InstanceStarter } from "../instance.js"
import { requireEnforceable } from "../isolation.js"
import { WasmInstance } from "./wasm-instance.js"
import { WasmProcess } from "./wasm-process.js"

/** How WebAssembly instances start. */
export interface WasmStarterOptions {
  /** Keep a warm process once there are functions of this kind. Default true; costs about 40 MB. */
  readonly spares?: boolean
  /** Most that one execution may write to stdout, and to stderr. Default 64 MiB. */
  readonly maxOutputBytes?: number
}

const DEFAULT_MEMORY_MB = 256
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** The starter of runtime `wasm`. */
export function createWasmStarter(options: WasmStarterOptions = {}): InstanceStarter {
  return new WasmStarter(options)
}

class WasmStarter implements InstanceStarter {
  readonly #options: WasmStarterOptions
  #spare: WasmProcess | undefined
  #closed = false

  constructor(options: WasmStarterOptions) {
    this.#options = options
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance> {
    requireEnforceable(spec.definition, { levels: ["none", "process", "wasm"], memory: true })
    const launch = (): Promise<WasmProcess> => this.#launch(spec, signal)
    return new WasmInstance(spec, await launch(), launch)
  }

  async close(): Promise<void> {
    this.#closed = true
    const spare = this.#spare
    this.#spare = undefined
    spare?.child.kill("SIGKILL")
    await spare?.exited
  }

  async #launch(spec: InstanceSpec, signal: AbortSignal): Promise<WasmProcess> {
    if (spec.artifactPath === undefined) throw FnError.of("INVALID_ARTIFACT", "a wasm function needs an artifact")
    const process = this.#take()
    const abort = (): void => void process.child.kill("SIGKILL")
    signal.addEventListener("abort", abort)
    try {
      const { fn, definition } = spec
      await process.spare()
      await process.load({
        path: spec.artifactPath,
        fn,
        config: definition.config,
        env: definition.env,
        stdin: definition.stdin ?? "event",
        resultType: resultType(definition),
        memoryMb: definition.memoryMb ?? DEFAULT_MEMORY_MB,
        maxOutputBytes: this.#options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
      })
      return process
    } catch (thrown) {
      process.child.kill("SIGKILL")
      await process.exited
      throw signal.aborted ? FnError.from(signal.reason, "unavailable") : thrown
    } finally {
      signal.removeEventListener("abort", abort)
      this.#warm()
    }
  }

  #take(): WasmProcess {
    const spare = this.#spare
    this.#spare = undefined
    return spare && !spare.child.exit ? spare : new WasmProcess()
  }

  #warm(): void {
    if (this.#options.spares === false || this.#closed || this.#spare) return
    const spare = new WasmProcess()
    this.#spare = spare
    void spare.exited.then(() => {
      if (this.#spare === spare) this.#spare = undefined
    })
  }
}
