/** Builtin functions from files: what `--builtins file.mjs` of `fn dev` and the runtime-service loads. */
import { pathToFileURL } from "node:url"
import { asFunctionModule, checkName, FnError, type FunctionModule, messageOf } from "@fn/core"
import { type FunctionManifest, parseManifest } from "@fn/registry"

/** A function that runs in the host's own process, and how to deploy it. */
export interface Builtin {
  readonly module: FunctionModule
  readonly manifest: FunctionManifest
}

/** What defineFunction's result has beside a function module. */
interface Described {
  readonly name?: unknown
  toManifest?(): Readonly<Record<string, unknown>>
}

/**
 * The functions that the ES module `path` exports: each named export, and the default export if it is one or an object of some.
 * They are called as defineFunction says, else as the export, `camelCase` becoming `camel-case`.
 * @throws {FnError} failed_precondition LOAD_FAILED; INVALID_NAME
 */
export async function loadBuiltins(path: string, namespace: string): Promise<Builtin[]> {
  let exports: Record<string, unknown>
  try {
    exports = (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (cause) {
    throw FnError.of("LOAD_FAILED", `the builtins of ${path} do not load: ${messageOf(cause)}`, { cause })
  }
  const { default: main, ...named } = exports
  const found = [...Object.entries(named), ...defaultEntries(main)].flatMap(([name, value]) => builtin(name, value, namespace))
  if (found.length === 0) throw FnError.of("LOAD_FAILED", `${path} exports no function: export handlers, or what defineFunction gives`)
  return found
}

function defaultEntries(main: unknown): [string, unknown][] {
  if (asFunctionModule(main)) return [["default", main]]
  return typeof main === "object" && main !== null ? Object.entries(main) : []
}

function builtin(exportName: string, value: unknown, namespace: string): Builtin[] {
  const module = asFunctionModule(value)
  if (!module) return []
  const { name: ownName, toManifest } = value as Described
  const isDefined = typeof value === "object" && typeof ownName === "string"
  const name = checkName(isDefined ? ownName : kebab(exportName === "default" && typeof ownName === "string" ? ownName : exportName))
  const declared = toManifest?.call(value) ?? {}
  return [{ module, manifest: parseManifest({ ...declared, name, namespace, version: "0.0.1", language: "js", runtime: "builtin" }) }]
}

function kebab(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase()
}
