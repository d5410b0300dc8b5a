import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"

/** What a kind of instance can hold a function to. */
export interface Enforceable {
  readonly levels: readonly ("none" | "process" | "sandbox" | "wasm")[]
  /** Whether `memoryMb` is enforced. */
  readonly memory?: boolean
}

/**
 * Refuses a definition that asks for more than is enforced: a limit is kept or the function does not run. The registry refuses such a
 * definition too, but another release may have written it.
 * @throws {FnError} failed_precondition ISOLATION_UNAVAILABLE naming each setting
 */
export function requireEnforceable(definition: FunctionDefinition, { levels, memory = false }: Enforceable): void {
  const { isolation, cpu, pids, memoryMb } = definition
  const settings = [
    ...(isolation?.level !== undefined && !levels.includes(isolation.level) ? [`isolation.level: ${isolation.level}`] : []),
    ...(isolation?.network !== undefined ? ["isolation.network"] : []),
    ...(isolation?.files !== undefined ? ["isolation.files"] : []),
    ...(cpu !== undefined ? ["cpu"] : []),
    ...(pids !== undefined ? ["pids"] : []),
    ...(memoryMb !== undefined && !memory ? ["memoryMb"] : []),
  ]
  if (settings.length === 0) return
  throw FnError.of(
    "ISOLATION_UNAVAILABLE",
    `this host cannot enforce what ${definition.namespace}/${definition.name}@${definition.version} asks for: ${settings.join(", ")}`,
    { details: { settings } },
  )
}
