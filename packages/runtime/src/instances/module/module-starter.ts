/**
 * Starts module instances, from a spare process when one waits.
 *
 * A Node process needs some 80 ms until it can load anything, and a sandbox some more; a spare has that behind it. One spare is kept per class
 * in use: heap size and whatever else its processes are held to. A sandboxed spare cannot be shown a file any more, so it gets the bundle itself.
 */
import { readFile } from "node:fs/promises"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { type Demand, PLAIN } from "../../isolation/demand.js"
import { FunctionLauncher } from "../../isolation/launcher.js"
import type { Instance, InstanceSpec, InstanceStarter } from "../instance.js"
import { ModuleInstance } from "./module-instance.js"
import { ModuleProcess } from "./module-process.js"

// By way of dist, so that it is found from the sources (under test) and from the build alike.
const PROGRAM = fileURLToPath(new URL("../../../dist/module-host/main.bundle.mjs", import.meta.url))
const DEFAULT_HEAP_MB = 256
const MIB = 1024 * 1024
/** Of all that a process may have, its heap; the rest is for code, stacks and buffers. */
const HEAP_SHARE = 0.75
/** Where a sandboxed process puts its bundle: in memory. */
const BUNDLE_FOLDER = "/tmp/fn"

/** How module instances start. */
export interface ModuleStarterOptions {
  /** Keep a warm process per class. Default true; costs about 40 MB each. */
  readonly spares?: boolean
  /** Heap size for which a plain spare is made before the first function asks, MB. Default 256. */
  readonly heapMb?: number
  /** Default: plain processes for functions that ask for nothing else. */
  readonly launcher?: FunctionLauncher
}

/** What the processes of a version have in common. */
interface ProcessClass {
  readonly demand: Demand
  readonly heapMb: number
}

/** The starter of runtime `module`. */
export function createModuleStarter(options: ModuleStarterOptions = {}): InstanceStarter {
  return new ModuleStarter(options)
}

class ModuleStarter implements InstanceStarter {
  readonly #launcher: FunctionLauncher
  readonly #ownsLauncher: boolean
  readonly #spares = new Map<string, Promise<ModuleProcess>>()
  readonly #keepSpares: boolean
  #closed = false

  constructor(options: ModuleStarterOptions) {
    this.#launcher = options.launcher ?? new FunctionLauncher()
    this.#ownsLauncher = options.launcher === undefined
    this.#keepSpares = options.spares ?? true
    // Under a stricter policy the first function says what its class is.
    if (this.#launcher.policy.name === "dev") this.#warm({ demand: PLAIN, heapMb: options.heapMb ?? DEFAULT_HEAP_MB })
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance> {
    if (spec.artifactPath === undefined) throw FnError.of("INVALID_ARTIFACT", "a module needs an artifact")
    const kind = this.#classOf(spec.definition)
    const process = await this.#take(kind, signal)
    const abort = (): void => void process.child.kill("SIGKILL")
    signal.addEventListener("abort", abort)
    try {
      await process.spare()
      return await new ModuleInstance(process, spec).load(await this.#bundle(kind.demand, spec.artifactPath))
    } catch (thrown) {
      await process.close(0)
      throw signal.aborted ? FnError.from(signal.reason, "unavailable") : thrown
    } finally {
      signal.removeEventListener("abort", abort)
      this.#warm(kind)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const spares = [...this.#spares.values()]
    this.#spares.clear()
    for (const spare of await Promise.allSettled(spares)) if (spare.status === "fulfilled") await spare.value.close(0)
    if (this.#ownsLauncher) await this.#launcher.close()
  }

  #classOf(definition: FunctionDefinition): ProcessClass {
    const demand = this.#launcher.demandOf(definition)
    const { memoryBytes } = demand.limits
    const heapMb = memoryBytes === undefined ? (definition.memoryMb ?? DEFAULT_HEAP_MB) : Math.floor((memoryBytes / MIB) * HEAP_SHARE)
    return { demand, heapMb }
  }

  async #bundle(demand: Demand, artifactPath: string): Promise<{ path: string; source?: string }> {
    if (demand.level === "process") return { path: (await this.#launcher.place(demand, artifactPath)).path }
    return { path: `${BUNDLE_FOLDER}/${basename(artifactPath)}`, source: await readFile(artifactPath, "utf8") }
  }

  async #take(kind: ProcessClass, signal: AbortSignal): Promise<ModuleProcess> {
    const key = keyOf(kind)
    const spare = this.#spares.get(key)
    this.#spares.delete(key)
    const waiting = await spare?.catch(() => undefined) // it could not be started: the next attempt says why
    return waiting && !waiting.child.exit ? waiting : await this.#launch(kind, signal)
  }

  #warm(kind: ProcessClass): void {
    const key = keyOf(kind)
    if (!this.#keepSpares || this.#closed || this.#spares.has(key)) return
    const spare = this.#launch(kind)
    this.#spares.set(key, spare)
    const forget = (): void => {
      if (this.#spares.get(key) === spare) this.#spares.delete(key)
    }
    spare.then((process) => process.exited).then(forget, forget)
  }

  async #launch({ demand, heapMb }: ProcessClass, signal?: AbortSignal): Promise<ModuleProcess> {
    const [node, program] = await Promise.all([this.#launcher.node(demand), this.#launcher.place(demand, PROGRAM)])
    const child = await this.#launcher.launch(demand, {
      command: node.path,
      args: [`--max-old-space-size=${heapMb}`, program.path],
      env: {},
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      files: [...node.files, ...program.files],
      system: "none",
      name: "module",
      ...(signal ? { signal } : {}),
    })
    return new ModuleProcess(child)
  }
}

function keyOf({ demand, heapMb }: ProcessClass): string {
  return `${heapMb} ${demand.key}`
}
