import { DEFAULT_NAMESPACE, FnError } from "@fn/core"

/** Where a request goes. */
export type Route =
  | { readonly kind: "invoke"; readonly ref: string; readonly query: string }
  | { readonly kind: "result"; readonly namespace: string; readonly id: string; readonly query: string }
  | { readonly kind: "health" }
  | { readonly kind: "ready" }
  | { readonly kind: "metrics" }
  | { readonly kind: "reason"; readonly reason: string }

const RESULTS = "/result/"
const READ = ["GET", "HEAD"]

/** Methods a route takes. */
export const METHODS: Readonly<Record<Route["kind"], readonly string[]>> = {
  invoke: ["POST"],
  result: ["GET", "DELETE"],
  health: READ,
  ready: READ,
  metrics: READ,
  reason: READ,
}

/** The route of a request's target; undefined for a path that leads nowhere. @throws {FnError} invalid_argument INVALID_REQUEST for a broken percent-encoding */
export function routeOf(target: string): Route | undefined {
  const mark = target.indexOf("?")
  const path = mark < 0 ? target : target.slice(0, mark)
  if (path.startsWith("/function/")) {
    const ref = path.slice("/function/".length)
    const segments = ref.split("/")
    if (segments.length > 2 || segments.includes("")) return undefined
    return { kind: "invoke", ref: decoded(ref), query: mark < 0 ? "" : target.slice(mark + 1) }
  }
  if (path.startsWith(RESULTS)) {
    const segments = path.slice(RESULTS.length).split("/")
    if (segments.length > 2 || segments.includes("")) return undefined
    const [first, second] = segments as [string, string | undefined]
    const query = mark < 0 ? "" : target.slice(mark + 1)
    return second === undefined
      ? { kind: "result", namespace: DEFAULT_NAMESPACE, id: first, query }
      : { kind: "result", namespace: first, id: second, query }
  }
  switch (path) {
    case "/healthz":
      return { kind: "health" }
    case "/readyz":
      return { kind: "ready" }
    case "/metrics":
      return { kind: "metrics" }
  }
  return path.startsWith("/errors/") ? { kind: "reason", reason: path.slice("/errors/".length) } : undefined
}

/** Where the result of an invocation is asked for. */
export function resultPath(namespace: string, id: string): string {
  return namespace === DEFAULT_NAMESPACE ? RESULTS + id : `${RESULTS}${namespace}/${id}`
}

/** The first `type` of a query. */
export function typeOf(query: string): string | undefined {
  return query === "" ? undefined : (new URLSearchParams(query).get("type") ?? undefined)
}

function decoded(ref: string): string {
  if (!ref.includes("%")) return ref
  try {
    return decodeURIComponent(ref)
  } catch {
    throw FnError.of("INVALID_REQUEST", `the path has a broken percent-encoding: ${JSON.stringify(ref)}`)
  }
}
