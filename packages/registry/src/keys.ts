import { checkName, checkNamespace, checkVersion } from "@fn/core"

/** `f.{namespace}.{name}`: key of a function record. */
export function functionKey(namespace: string, name: string): string {
  return `f.${checkNamespace(namespace)}.${checkName(name)}`
}

/** `v.{namespace}.{name}.{version}`, dots of the version as `_`, which no version contains: key of a definition. */
export function versionKey(namespace: string, name: string, version: string): string {
  return `v.${checkNamespace(namespace)}.${checkName(name)}.${checkVersion(version).replaceAll(".", "_")}`
}

/** Filter for the function records of `namespace`, or of all. */
export function functionKeys(namespace?: string): string {
  return namespace === undefined ? "f.>" : `f.${checkNamespace(namespace)}.*`
}

/** Filter for the definitions of one function. */
export function versionKeys(namespace: string, name: string): string {
  return `v.${checkNamespace(namespace)}.${checkName(name)}.*`
}

/** The function whose record `key` holds; undefined when it is no such key. */
export function parseFunctionKey(key: string): { namespace: string; name: string } | undefined {
  const [kind, namespace = "", name = "", ...rest] = key.split(".")
  if (kind !== "f" || rest.length > 0) return undefined
  try {
    return { namespace: checkNamespace(namespace), name: checkName(name) }
  } catch {
    return undefined // somebody else's key
  }
}

/** The version whose definition `key` holds; undefined when it is no such key. */
export function parseVersionKey(key: string): string | undefined {
  const [kind, , , token = "", ...rest] = key.split(".")
  if (kind !== "v" || rest.length > 0) return undefined
  try {
    return checkVersion(token.replaceAll("_", "."))
  } catch {
    return undefined // somebody else's key
  }
}

/** Whether `key` is selected by `filter`: tokens, `*` for one, a last `>` for one or more. */
export function matchesKey(filter: string, key: string): boolean {
  const wanted = filter.split(".")
  const tokens = key.split(".")
  for (const [i, token] of wanted.entries()) {
    if (token === ">") return tokens.length > i
    if (tokens[i] === undefined || (token !== "*" && token !== tokens[i])) return false
  }
  return tokens.length === wanted.length
}
