/**
 * Starts module instances, from a spare process when one waits.
 *
 * A Node process needs some 80 ms until it can load anything; a spare has that behind it. One spare is kept per heap size that is in use.
 */
import { FnError } from "@fn/core"
import type { Instance, InstanceSpec, InstanceStarter } from "../instance.js"
import { ModuleInstance } from "./module-instance.js"
import { ModuleProcess } from "./module-process.js"

const DEFAULT_HEAP_MB = 256

/** How module instances start. */
export interface ModuleStarterOptions {
  /** Keep a warm process per heap size. Default true; costs about 40 MB each. */
  readonly spares?: boolean
  /** Heap size for which a spare is made before the first function asks, MB. Default 256. */
  readonly heapMb?: number
}

/** The starter of runtime `module`. */
export function createModuleStarter(options: ModuleStarterOptions = {}): InstanceStarter {
  return new ModuleStarter(options)
}

class ModuleStarter implements InstanceStarter {
  readonly #spares = new Map<number, ModuleProcess>()
  readonly #keepSpares: boolean
  #closed = false

  constructor(options: ModuleStarterOptions) {
    this.#keepSpares = options.spares ?? true
    if (this.#keepSpares) this.#warm(options.heapMb ?? DEFAULT_HEAP_MB)
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<Instance> {
    if (spec.artifactPath === undefined) throw FnError.of("INVALID_ARTIFACT", "a module needs an artifact")
    const heapMb = spec.definition.memoryMb ?? DEFAULT_HEAP_MB
    const process = this.#take(heapMb)
    const abort = (): void => void process.child.kill("SIGKILL")
    signal.addEventListener("abort", abort)
    try {
      await process.spare()
      return await new ModuleInstance(process, spec).load(spec.artifactPath)
    } catch (thrown) {
      process.child.kill("SIGKILL")
      throw signal.aborted ? FnError.from(signal.reason, "unavailable") : thrown
    } finally {
      signal.removeEventListener("abort", abort)
      if (this.#keepSpares) this.#warm(heapMb)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const spares = [...this.#spares.values()]
    this.#spares.clear()
    for (const spare of spares) spare.child.kill("SIGKILL")
    await Promise.all(spares.map((spare) => spare.exited))
  }

  #take(heapMb: number): ModuleProcess {
    const spare = this.#spares.get(heapMb)
    this.#spares.delete(heapMb)
    return spare && !spare.child.exit ? spare : new ModuleProcess({ heapMb })
  }

  #warm(heapMb: number): void {
    if (this.#closed || this.#spares.has(heapMb)) return
    const spare = new ModuleProcess({ heapMb })
    this.#spares.set(heapMb, spare)
    void spare.exited.then(() => {
      if (this.#spares.get(heapMb) === spare) this.#spares.delete(heapMb)
    })
  }
}
