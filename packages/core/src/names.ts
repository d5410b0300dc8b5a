import { FnError } from "./errors.js"

/** The namespace that needs no spelling in sync subjects and `FunctionRef` texts. */
export const DEFAULT_NAMESPACE = "default"

/** Languages a function can be written in: its subject token and queue group. */
export const LANGUAGES = ["go", "js", "python", "java", "rust", "ruby", "php", "dotnet", "shell", "custom"] as const
export type Language = (typeof LANGUAGES)[number]

/** How a version is run. */
export const RUNTIMES = ["builtin", "module", "plugin", "wasm", "command"] as const
export type RuntimeKind = (typeof RUNTIMES)[number]

/** Names a function, and with `version` one version of it or an alias. Text form: `namespace/name@version`. */
export interface FunctionRef {
  readonly namespace: string
  readonly name: string
  readonly version?: string
}

const NAME = /^[a-z][a-z0-9_-]{0,62}$/
const ID = /^[A-Za-z0-9_-]{1,64}$/
const LANGUAGE = /^[a-z][a-z0-9]{0,15}$/
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$/
const MAX_VERSION_LENGTH = 64
/** Second tokens of our own subjects: a namespace or language of that name would make two subjects one. */
const RESERVED: ReadonlySet<string> = new Set([
  "invoke",
  "queue",
  "result",
  "cancel",
  "status",
  "health",
  "dlq",
  "log",
  "execution",
  "claim",
  "wake",
  "host",
  "broadcast",
])

/** `value` if it can name a function; `what` says in the error what it would have named. @throws {FnError} invalid_argument INVALID_NAME */
export function checkName(value: string, what: string = "function name"): string {
  if (typeof value !== "string" || !NAME.test(value)) throw invalidName(what, value, "it must match ^[a-z][a-z0-9_-]{0,62}$")
  return value
}

/** `value` if it can name a namespace: a name that is no reserved word and no language. @throws {FnError} invalid_argument INVALID_NAME */
export function checkNamespace(value: string): string {
  checkName(value, "namespace")
  if (RESERVED.has(value)) throw invalidName("namespace", value, "it is a reserved word")
  if ((LANGUAGES as readonly string[]).includes(value)) throw invalidName("namespace", value, "it is the name of a language")
  return value
}

/** `value` if it is a host, invocation or execution id: one NATS token. @throws {FnError} invalid_argument INVALID_NAME */
export function checkId(value: string, what: string): string {
  if (!isId(value)) throw invalidName(what, value, "it must match [A-Za-z0-9_-]{1,64}")
  return value
}

/** Whether `value` is a valid id. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value)
}

/** `value` if it is a language token: no reserved word. @throws {FnError} invalid_argument INVALID_NAME */
export function checkLanguage(value: string): string {
  if (typeof value !== "string" || !LANGUAGE.test(value)) throw invalidName("language", value, "it must match ^[a-z][a-z0-9]{0,15}$")
  if (RESERVED.has(value)) throw invalidName("language", value, "it is a reserved word")
  return value
}

/** `value` if it is a semantic version without build metadata. @throws {FnError} invalid_argument INVALID_VERSION */
export function checkVersion(value: string): string {
  if (typeof value !== "string" || !isVersion(value)) {
    throw FnError.of(
      "INVALID_VERSION",
      `${JSON.stringify(value)} is no version: it must be semver (1.2.3 or 1.2.3-rc.1) without build metadata`,
    )
  }
  return value
}

/** Whether `value` is a semantic version of at most 64 characters; an alias is not. */
export function isVersion(value: string): boolean {
  return value.length <= MAX_VERSION_LENGTH && SEMVER.test(value)
}

/** Order of two versions by semver §11: negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [, aMajor, aMinor, aPatch, aPre] = SEMVER.exec(checkVersion(a)) as unknown as [string, string, string, string, string | undefined]
  const [, bMajor, bMinor, bPatch, bPre] = SEMVER.exec(checkVersion(b)) as unknown as [string, string, string, string, string | undefined]
  const core = compareNumbers(aMajor, bMajor) || compareNumbers(aMinor, bMinor) || compareNumbers(aPatch, bPatch)
  if (core !== 0 || aPre === bPre) return core
  if (aPre === undefined) return 1
  if (bPre === undefined) return -1
  return comparePrerelease(aPre.split("."), bPre.split("."))
}

/** The version after `version`: a release gets patch + 1, a pre-release becomes its release. */
export function nextVersion(version: string | undefined): string {
  if (version === undefined) return "0.0.1"
  const [, major, minor, patch, pre] = SEMVER.exec(checkVersion(version)) as unknown as [string, string, string, string, string | undefined]
  return pre === undefined ? `${major}.${minor}.${BigInt(patch) + 1n}` : `${major}.${minor}.${patch}`
}

/** `name`, `namespace/name`, each with an optional `@version` or `@alias`. @throws {FnError} invalid_argument INVALID_NAME, INVALID_VERSION */
export function parseRef(text: string, defaultNamespace: string = DEFAULT_NAMESPACE): FunctionRef {
  const at = text.indexOf("@")
  const path = at < 0 ? text : text.slice(0, at)
  const slash = path.indexOf("/")
  const namespace = checkNamespace(slash < 0 ? defaultNamespace : path.slice(0, slash))
  const name = checkName(slash < 0 ? path : path.slice(slash + 1))
  if (at < 0) return { namespace, name }
  const version = text.slice(at + 1)
  if (!isVersion(version)) checkName(version, "version or alias")
  return { namespace, name, version }
}

/** `namespace/name` or `namespace/name@version`. */
export function formatRef(ref: FunctionRef): string {
  const path = `${ref.namespace}/${ref.name}`
  return ref.version === undefined ? path : `${path}@${ref.version}`
}

function comparePrerelease(a: string[], b: string[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const x = a[i]
    const y = b[i]
    if (x === y) continue
    if (x === undefined) return -1
    if (y === undefined) return 1
    const xNumeric = /^\d+$/.test(x)
    const yNumeric = /^\d+$/.test(y)
    if (xNumeric && yNumeric) return compareNumbers(x, y)
    if (xNumeric !== yNumeric) return xNumeric ? -1 : 1
    return x < y ? -1 : 1
  }
  return 0
}

/** Order of two decimal numbers without leading zeros, of any length: a Number would be wrong past 2^53. */
function compareNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : a > b ? 1 : 0
}

function invalidName(what: string, value: unknown, why: string): FnError {
  return FnError.of("INVALID_NAME", `${JSON.stringify(value) ?? String(value)} cannot be a ${what}: ${why}`)
}
