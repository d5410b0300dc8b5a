/**
 * Says at once what `fn dev` would otherwise say at the first call: that this machine cannot give a function what its fn.yaml asks for.
 *
 * The machine is only tried when a function asks for something: most ask for nothing, and a start is quicker without.
 */
import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { FunctionLauncher, GUARANTEES, type Guarantee, type IsolationSettings } from "@fn/runtime"
import { lacksOf } from "../doctor/isolation.js"

/** What the policy of `fn dev` grants on this machine. */
export class DevIsolation {
  readonly #launcher: FunctionLauncher
  readonly #settings: IsolationSettings

  constructor(settings: IsolationSettings) {
    this.#settings = settings
    this.#launcher = new FunctionLauncher(settings)
  }

  /** Why calls of this version will be refused here; undefined if they will not. */
  async problem(definition: FunctionDefinition): Promise<FnError | undefined> {
    try {
      if (definition.runtime === "builtin") return undefined
      const { plain, level, limits, network } = this.#launcher.demandOf(definition)
      if (plain) return undefined
      const needed: Guarantee[] = ["handles", "user", "kill"]
      if (level === "sandbox") needed.push("files", "syscalls")
      if (network.kind !== "full") needed.push("network")
      if (limits.memoryBytes !== undefined) needed.push("memory")
      if (limits.pids !== undefined) needed.push("pids")
      if (limits.cpu !== undefined) needed.push("cpu")
      const lacks = lacksOf(level, needed, await this.#launcher.report(), { ...this.#settings, acceptSoft: GUARANTEES })
      if (lacks.length === 0) return undefined
      const why = lacks.map(({ what, remedy }) => `${what} (${remedy})`).join("; ")
      return FnError.of("ISOLATION_UNAVAILABLE", `this machine cannot enforce what it asks for: ${why}`)
    } catch (thrown) {
      return FnError.from(thrown)
    }
  }

  async close(): Promise<void> {
    await this.#launcher.close()
  }
}
