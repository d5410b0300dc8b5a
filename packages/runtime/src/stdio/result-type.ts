import type { FunctionDefinition } from "@fn/registry"

/** Type of an output event that says none: the one that the function emits, if it says so and it is one. */
export function resultType({ emits }: FunctionDefinition): string {
  const [only, ...more] = emits ?? []
  return only !== undefined && more.length === 0 && !only.endsWith("*") ? only : "fn.result"
}
