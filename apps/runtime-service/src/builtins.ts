import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { asFunctionModule, checkName, FnError, type FunctionModule, messageOf } from "@fn/core"

/**
 * The builtin functions that ES modules export: each export under its own name in kebab-case (`labelIssue` is `label-issue`), unless the
 * function carries a name of its own.
 * @throws {FnError} invalid_argument INVALID_CONFIG naming the file
 */
export async function loadBuiltins(files: readonly string[]): Promise<Record<string, FunctionModule>> {
  const builtins: Record<string, FunctionModule> = {}
  for (const file of files) {
    for (const [exported, value] of Object.entries(await importFile(file))) {
      const module = asFunctionModule(value)
      if (!module) continue // constants and helpers may stand beside functions
      const name = nameOf(value) ?? exported.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
      if (builtins[checkName(name)]) throw FnError.of("INVALID_CONFIG", `builtin ${name} is exported twice; the second time by ${file}`)
      builtins[name] = module
    }
  }
  return builtins
}

function nameOf(value: unknown): string | undefined {
  return typeof value === "object" && value !== null && "name" in value && typeof value.name === "string" ? value.name : undefined
}

async function importFile(file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
  } catch (thrown) {
    throw FnError.of("INVALID_CONFIG", `builtins ${file} cannot be loaded: ${messageOf(thrown)}`, { cause: thrown })
  }
}
