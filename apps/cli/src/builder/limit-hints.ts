/** What is wrong with `isolation` and the limits of a fn.yaml, in words that say what to write instead. */

const MESSAGES: Readonly<Record<string, string>> = {
  isolation: "it is a mapping, as isolation: { level: sandbox, network: none }",
  "isolation.level": "it is sandbox, process or wasm; without it the host decides",
  "isolation.network": 'it is none, full, or a list as ["api.example.com:443"]',
  "isolation.files": "it is a list of absolute paths, or of { path, at, writable }",
  memoryMb: "it is a whole number of MiB, at least 16: 256, not 256Mi",
  cpu: "it is a number of processors, at least 0.01: 0.5 is half of one",
  pids: "it is a whole number of processes and threads, at least 16: with fewer, Node hangs",
}

/** Where people look for these settings, and where they are. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  memory: "memoryMb",
  resources: "memoryMb, cpu and pids",
  limits: "memoryMb, cpu and pids",
  sandbox: "isolation: { level: sandbox }",
  network: "isolation: { network: … }",
  files: "isolation: { files: … }",
}

/** What an unknown setting of that name may have meant. */
export function settingMeantBy(path: readonly PropertyKey[]): string | undefined {
  return path.length === 1 ? ELSEWHERE[String(path[0])] : undefined
}

/** A better text than the schema's for what stands at `path`; undefined where the schema's own is good. */
export function limitHint(path: readonly PropertyKey[], value: unknown): string | undefined {
  const [first, second, index, ...more] = path.map(String)
  if (first === "isolation" && second === "network" && index !== undefined) return targetHint(value)
  if (first === "isolation" && second === "files" && (typeof value === "string" || more.length > 0))
    return `${String(value)} is no absolute path without . and ..`
  return MESSAGES[[first, second].filter((part) => part !== undefined).join(".")]
}

/** What is no `host:port`. */
function targetHint(value: unknown): string {
  if (typeof value !== "string") return "it is a host:port, as api.example.com:443"
  const url = /^([a-z]+):\/\/([^/:]+)(?::(\d+))?/.exec(value)
  if (url) return `a host:port, not a URL: ${url[2]}:${url[3] ?? (url[1] === "http" ? 80 : 443)}`
  if (value.includes("*")) return `${value}: there are no patterns; name each host:port`
  return /^[\w.-]+$/.test(value) ? `it needs a port, as ${value}:443` : `${value} is no host:port, as api.example.com:443`
}
