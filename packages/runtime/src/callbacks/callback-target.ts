import { checkName, checkNamespace, FnError, type FunctionRef, messageOf, Subjects } from "@fn/core"

/** Where a result goes, as `Fn-Callback` says it. */
export type CallbackTarget =
  | { readonly kind: "http"; readonly url: URL }
  | { readonly kind: "event"; readonly type: string }
  | { readonly kind: "function"; readonly ref: FunctionRef }

/** Longer ones are refused. */
export const MAX_CALLBACK_CHARS = 2_048
/** Only its checks are used: an event's subject must be one that can be published to. */
const subjects = new Subjects()

/**
 * Reads a callback of an invocation in `namespace`.
 * @throws {FnError} permission_denied CALLBACK_REFUSED for one that can never work
 */
export function parseCallback(text: string, namespace: string): CallbackTarget {
  if (text.length > MAX_CALLBACK_CHARS) throw refused(text, `it is longer than ${MAX_CALLBACK_CHARS} characters`)
  const colon = text.indexOf(":")
  const rest = text.slice(colon + 1)
  try {
    switch (text.slice(0, colon).toLowerCase()) {
      case "http":
      case "https":
        return { kind: "http", url: httpUrl(text) }
      case "event":
        if (rest === "") throw refused(text, "it has no event type")
        subjects.event(namespace, rest)
        return { kind: "event", type: rest }
      case "function":
        return { kind: "function", ref: functionRef(rest, namespace) }
      default:
        throw refused(text, "it is neither http(s)://…, event:{type} nor function:{name}")
    }
  } catch (thrown) {
    if (FnError.is(thrown) && thrown.reason === "CALLBACK_REFUSED") throw thrown
    throw refused(text, messageOf(thrown))
  }
}

/** A callback that can never work. */
export function refused(callback: string, why: string): FnError {
  return FnError.of("CALLBACK_REFUSED", `the callback ${JSON.stringify(callback.slice(0, 200))} is refused: ${why}`)
}

function httpUrl(text: string): URL {
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") throw refused(text.replace(/\/\/.*@/, "//…@"), "an address has no user or password")
  url.hash = ""
  return url
}

function functionRef(text: string, namespace: string): FunctionRef {
  const slash = text.indexOf("/")
  if (slash < 0) return { namespace, name: checkName(text) }
  return { namespace: checkNamespace(text.slice(0, slash)), name: checkName(text.slice(slash + 1)) }
}
