/**
 * Starts WebAssembly instances: WASI preview 1 programs with a command's conventions, each in a process of its own. docs/wasm.md
 *
 * A spare process is kept from the first use on: it is what a stopped call's place is taken by without a wait. Not in sandboxes: those are made
 * with the module in them.
 */
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"
import { type Demand, PLAIN } from "../../isolation/demand.js"
import { FunctionLauncher, type Place } from "../../isolation/launcher.js"
import { resultType } from "../../stdio/result-type.js"
import type { Instance, InstanceSpec, InstanceStarter } from "../instance.js"
import { WasmInstance } from "./wasm-instance.js"
import { WasmProcess } from "./wasm-process.js"

/** How WebAssembly instances start. */
export interface WasmStarterOptions {
  /** Keep a warm process once there are functions of this kind. Default true; costs about 40 MB. */
  readonly spares?: boolean
  /** Most that one execution may write to stdout, and to stderr. Default 64 MiB. */
  readonly maxOutputBytes?: number
  /** Default: plain processes for functions that ask for nothing else. */
  readonly launcher?: FunctionLauncher
}

// By way of dist, so that it is found from the sources (under test) and from the build alike.
const PROGRAM = fileURLToPath(new URL("../../../dist/wasm-host/main.bundle.mjs", import.meta.url))
/** For what a module can make beside its linear memory: tables, references, events on their way out. */
const HEAP_MB = 128
const DEFAULT_MEMORY_MB = 256
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** The starter of runtime `wasm`. */
export function createWasmStarter(options: WasmStarterOptions = {}): InstanceStarter {
  return new WasmStarter(options)
}

class WasmStarter implements InstanceStarter {
  readonly #options: WasmStarterOptions
  readonly #launcher: FunctionLauncher
  #spare: Promise<WasmProcess> | undefined
  #closed = false

  constructor(options: WasmStarterOptions) {
    this.#options = options
    this.#launcher = options.launcher ?? new FunctionLauncher()
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance> {
    const demand = this.#launcher.demandOf(spec.definition)
    const launch = (): Promise<WasmProcess> => this.#launch(spec, demand, signal)
    return new WasmInstance(spec, await launch(), launch)
  }

  async close(): Promise<void> {
    this.#closed = true
    const spare = await this.#spare?.catch(() => undefined) // it could not be started: nothing to end
    this.#spare = undefined
    await spare?.close(0)
    if (this.#launcher !== this.#options.launcher) await this.#launcher.close()
  }

  async #launch(spec: InstanceSpec, demand: Demand, signal: AbortSignal): Promise<WasmProcess> {
    if (spec.artifactPath === undefined) throw FnError.of("INVALID_ARTIFACT", "a wasm function needs an artifact")
    const artifact = await this.#launcher.place(demand, spec.artifactPath)
    const process = await this.#take(demand, artifact, signal)
    const abort = (): void => void process.child.kill("SIGKILL")
    signal.addEventListener("abort", abort)
    try {
      const { fn, definition } = spec
      await process.spare()
      await process.load({
        path: artifact.path,
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
      await process.close(0)
      throw signal.aborted ? FnError.from(signal.reason, "unavailable") : thrown
    } finally {
      signal.removeEventListener("abort", abort)
      if (demand.plain) this.#warm()
    }
  }

  async #take(demand: Demand, artifact: Place, signal: AbortSignal): Promise<WasmProcess> {
    if (!demand.plain) return await this.#spawn(demand, artifact, signal)
    const spare = this.#spare
    this.#spare = undefined
    const waiting = await spare?.catch(() => undefined) // it could not be started: the next attempt says why
    return waiting && !waiting.child.exit ? waiting : await this.#spawn(PLAIN)
  }

  #warm(): void {
    if (this.#options.spares === false || this.#closed || this.#spare) return
    const spare = this.#spawn(PLAIN)
    this.#spare = spare
    const forget = (): void => {
      if (this.#spare === spare) this.#spare = undefined
    }
    spare.then((process) => process.exited).then(forget, forget)
  }

  async #spawn(demand: Demand, artifact?: Place, signal?: AbortSignal): Promise<WasmProcess> {
    const [node, program] = await Promise.all([this.#launcher.node(demand), this.#launcher.place(demand, PROGRAM)])
    const child = await this.#launcher.launch(demand, {
      command: node.path,
      args: [`--max-old-space-size=${HEAP_MB}`, "--no-warnings", program.path],
      env: {},
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      files: [...node.files, ...program.files, ...(artifact?.files ?? [])],
      system: "none",
      name: "wasm",
      ...(signal ? { signal } : {}),
    })
    return new WasmProcess(child)
  }
}
