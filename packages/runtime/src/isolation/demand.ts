/** From what a definition asks for, and what the host's policy says of it, to what its processes are held to. */
import { FnError } from "@fn/core"
import type { FileGrant, Level, Limits, Network } from "@fn/isolation"
import { type FileRequest, type FunctionDefinition, type FunctionRecord, isolationRequest, type NetworkRequest } from "@fn/registry"
import type { IsolationPolicy } from "./policy.js"

/** What is known of a version that is to be run here. */
export type Asking = Pick<
  FunctionDefinition,
  "namespace" | "name" | "version" | "runtime" | "isolation" | "memoryMb" | "cpu" | "cpuTimeMs" | "pids"
>

/** What the processes of a version are held to. */
export interface Demand {
  /** Nothing but what every child of ours has: under policy `dev`, for a function that asks for nothing. */
  readonly plain: boolean
  readonly level: Level
  readonly limits: Limits
  readonly network: Network
  readonly files: readonly FileGrant[]
  /** The same for versions whose processes may stand in for each other. */
  readonly key: string
}

/** What a record says of its active version. */
export function askingOf({ namespace, name, runtime, activeVersion, asks }: FunctionRecord): Asking {
  return { namespace, name, runtime, ...(asks?.version === activeVersion ? asks : {}), version: activeVersion }
}

const MIB = 1024 * 1024
/** Under `strict`, of functions that do not say. */
const DEFAULT_MEMORY_MB = 256
const DEFAULT_PIDS = 64
/** A WebAssembly process has its engine and its output beside the module's own memory. */
const WASM_HOST_MB = 192

/** A plain child. */
export const PLAIN: Demand = { plain: true, level: "process", limits: {}, network: { kind: "full" }, files: [], key: "plain" }

/** What a function that asks for nothing is held to under `strict`. */
export function strictDefaults(): Pick<Demand, "limits" | "network"> {
  return { limits: { memoryBytes: DEFAULT_MEMORY_MB * MIB, pids: DEFAULT_PIDS }, network: { kind: "none" } }
}

/**
 * What `definition` is held to under `policy`.
 * @throws {FnError} failed_precondition ISOLATION_UNAVAILABLE for what the operator does not allow
 */
export function demandOf(definition: Asking, policy: IsolationPolicy): Demand {
  const request = isolationRequest(definition)
  const { runtime, cpu, cpuTimeMs, pids, memoryMb } = definition
  const restricted = request.files.length > 0 || (request.network !== undefined && request.network !== "full")
  // A module and a WebAssembly program limit their memory themselves.
  const limited =
    cpu !== undefined ||
    cpuTimeMs !== undefined ||
    pids !== undefined ||
    (memoryMb !== undefined && (runtime === "plugin" || runtime === "command"))
  // Who asks for level `process` by name gets it: a user and a control group of its own, where there are any.
  const asks = request.level === "sandbox" || request.level === "process"
  if (policy.name === "dev" && !asks && !restricted && !limited) return PLAIN
  const level = levelOf(request.level, policy, restricted)
  refuse(definition, problemsOf(request.network, request.files, level, policy))
  const demand = {
    plain: false,
    level,
    limits: limitsOf(definition, policy),
    network: networkOf(request.network, level),
    files: request.files.map(({ path, at, writable = false }) => ({ path, writable, ...(at === undefined ? {} : { at }) })),
  }
  if (level === "process" && policy.name === "strict" && !policy.allowProcess)
    refuse(definition, ["isolation.level: this host runs functions in sandboxes only (its operator may allow processes)"])
  return { ...demand, key: JSON.stringify(demand) }
}

function levelOf(asked: string | undefined, policy: IsolationPolicy, restricted: boolean): Level {
  if (asked === "sandbox" || asked === "wasm") return "sandbox"
  if (asked === undefined) return policy.name === "strict" || restricted ? "sandbox" : "process"
  return "process"
}

function limitsOf({ runtime, memoryMb, cpu, cpuTimeMs, pids }: Asking, policy: IsolationPolicy): Limits {
  const strict = policy.name === "strict"
  const memory = memoryMb ?? (strict ? DEFAULT_MEMORY_MB : undefined)
  const count = pids ?? (strict ? DEFAULT_PIDS : undefined)
  return {
    ...(memory === undefined ? {} : { memoryBytes: (memory + (runtime === "wasm" ? WASM_HOST_MB : 0)) * MIB }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(cpuTimeMs === undefined ? {} : { cpuTimeMs }),
    ...(count === undefined ? {} : { pids: count }),
  }
}

function networkOf(asked: NetworkRequest | undefined, level: Level): Network {
  if (asked === undefined) return { kind: level === "sandbox" ? "none" : "full" }
  return typeof asked === "string" ? { kind: asked } : { kind: "egress", allow: asked }
}

function problemsOf(
  network: NetworkRequest | undefined,
  files: readonly FileRequest[],
  level: Level,
  { name, allowFullNetwork, allowFiles }: IsolationPolicy,
): string[] {
  const hidden = files.filter(({ path }) => !allowFiles.some((folder) => path === folder || path.startsWith(folder.replace(/\/?$/, "/"))))
  return [
    ...(network === "full" && level === "sandbox" && name === "strict" && !allowFullNetwork
      ? ["isolation.network: its operator does not allow the full network"]
      : []),
    ...(files.length > 0 && level === "process" ? ["isolation.files: only a sandbox restricts files"] : []),
    ...(network !== undefined && network !== "full" && level === "process"
      ? ["isolation.network: only a sandbox restricts the network"]
      : []),
    ...hidden.map(({ path }) => `isolation.files: its operator does not allow ${path}`),
  ]
}

function refuse({ namespace, name, version }: Asking, problems: readonly string[]): void {
  if (problems.length === 0) return
  throw FnError.of("ISOLATION_UNAVAILABLE", `this host refuses what ${namespace}/${name}@${version} asks for: ${problems.join("; ")}`, {
    details: { settings: problems.map((problem) => problem.slice(0, problem.indexOf(":"))) },
  })
}
