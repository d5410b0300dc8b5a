import { isDeepStrictEqual } from "node:util"
import { DEFAULT_NAMESPACE, FnError, type RuntimeKind } from "@fn/core"
import {
  type ArtifactInfo,
  type FunctionDefinition,
  type FunctionManifest,
  functionDefinitionSchema,
  type RetryPolicy,
} from "./definition.js"

/** A definition whose version is not chosen yet. */
export type DefinitionDraft = Omit<FunctionDefinition, "version">

/** What a deploy adds to the manifest. */
export interface DraftOptions {
  readonly artifact?: ArtifactInfo | undefined
  readonly sourceDigest?: string | undefined
  readonly deployedBy: string
  readonly deployedAt: string
}

const DEFAULT_TIMEOUT_MS = 30_000
const DEFAULT_MEMORY_MB = 256
const DEFAULT_CONCURRENCY: Readonly<Record<RuntimeKind, number>> = { builtin: 100, module: 100, plugin: 100, wasm: 1, command: 1 }
const DEFAULT_RETRY: RetryPolicy = { attempts: 3, initialMs: 1_000, maxMs: 30_000, factor: 2, jitter: true }

/** The definition that `manifest` asks for, every default filled in. */
export function draftDefinition(manifest: FunctionManifest, options: DraftOptions): DefinitionDraft {
  const min = manifest.instances?.min ?? 0
  const memoryMb = manifest.memoryMb ?? (manifest.runtime === "module" || manifest.runtime === "wasm" ? DEFAULT_MEMORY_MB : undefined)
  const draft: DefinitionDraft = {
    schema: 1,
    namespace: manifest.namespace ?? DEFAULT_NAMESPACE,
    name: manifest.name,
    language: manifest.language,
    runtime: manifest.runtime,
    artifact: options.artifact,
    command: manifest.command,
    stdin: manifest.stdin,
    config: manifest.config ?? {},
    env: manifest.env ?? {},
    timeoutMs: manifest.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    concurrency: manifest.concurrency ?? DEFAULT_CONCURRENCY[manifest.runtime],
    instances: { min, max: manifest.instances?.max ?? Math.max(1, min) },
    memoryMb,
    cpu: manifest.cpu,
    cpuTimeMs: manifest.cpuTimeMs,
    pids: manifest.pids,
    isolation: manifest.isolation,
    retry: manifest.retry && { ...DEFAULT_RETRY, ...withoutUndefined(manifest.retry) },
    queue: manifest.queue && withoutUndefined(manifest.queue),
    accepts: manifest.accepts,
    emits: manifest.emits,
    record: manifest.record ?? "failures",
    metadata: manifest.metadata ?? {},
    sourceDigest: options.sourceDigest,
    deployedBy: options.deployedBy,
    deployedAt: options.deployedAt,
  }
  return withoutUndefined(draft)
}

// Who deployed a version, when, and from which source does not change what it does.
const NO_CONTENT: ReadonlySet<string> = new Set(["version", "sourceDigest", "deployedBy", "deployedAt"])
const CONTENT = Object.keys(functionDefinitionSchema.shape).filter((field) => !NO_CONTENT.has(field))

/** Whether two definitions say the same, apart from version and provenance. Fields that this release does not know are not compared. */
export function sameContent(a: DefinitionDraft, b: DefinitionDraft): boolean {
  return isDeepStrictEqual(content(a), content(b))
}

function content(definition: DefinitionDraft): unknown {
  const fields = definition as unknown as Record<string, unknown>
  return JSON.parse(JSON.stringify(CONTENT.map((field) => fields[field])))
}

/**
 * Refuses what this release cannot do; nothing a manifest asks for is dropped in silence.
 * @throws {FnError} unimplemented FEATURE_UNSUPPORTED; failed_precondition ISOLATION_UNAVAILABLE for limits that could not be enforced
 */
export function refuseUnsupported(manifest: FunctionManifest): void {
  if (manifest.secrets !== undefined) throw unsupported("secrets", "there is no secret store yet")
  if (manifest.http !== undefined) throw unsupported("http", "there are no HTTP triggers yet; POST /function/{name} on the gateway works")
  refuseMisplaced(manifest)
  const unenforced = unenforceable(manifest)
  if (unenforced.length > 0) {
    throw FnError.of("ISOLATION_UNAVAILABLE", `no host could enforce what the definition asks for: ${unenforced.join("; ")}`, {
      details: { settings: unenforced },
    })
  }
}

/** Settings that mean nothing for the runtime they stand beside. */
function refuseMisplaced({ runtime, stdin, cpuTimeMs, concurrency = 1 }: FunctionManifest): void {
  if (cpuTimeMs !== undefined && runtime !== "command")
    throw FnError.of("INVALID_DEFINITION", `cpuTimeMs: only a command has a process per execution, not a ${runtime}; use cpu or timeoutMs`)
  if (stdin !== undefined && runtime !== "command" && runtime !== "wasm")
    throw FnError.of("INVALID_DEFINITION", `stdin: a ${runtime} reads no stdin; only command and wasm functions do`)
  if (concurrency > 1 && runtime === "wasm")
    throw FnError.of("INVALID_DEFINITION", "concurrency: an instance of a wasm function runs one execution at a time; raise instances.max")
}

/** What no host could ever keep; what one host cannot, another may. */
function unenforceable({ runtime, isolation = {}, memoryMb, cpu, pids }: FunctionManifest): string[] {
  const { level, network, files } = isolation
  const reasons: string[] = []
  if (level === "wasm" && runtime !== "wasm") reasons.push(`isolation.level: only wasm functions can have the level wasm, not a ${runtime}`)
  if (level === "sandbox" && runtime === "wasm") reasons.push("isolation.level: a wasm function reaches nothing; its level is wasm")
  if (level === "process" && ((network !== undefined && network !== "full") || (files?.length ?? 0) > 0))
    reasons.push("isolation.level: a process has the files and the network of its host; only a sandbox restricts them")
  if (runtime === "wasm" && ((network !== undefined && network !== "none") || (files?.length ?? 0) > 0))
    reasons.push("isolation: a wasm function has neither network nor files")
  if (runtime !== "builtin") return reasons
  if (level !== undefined && level !== "none") reasons.push("isolation.level: a builtin runs inside the host's own process")
  for (const [setting, value] of Object.entries({ "isolation.network": network, "isolation.files": files, memoryMb, cpu, pids }))
    if (value !== undefined) reasons.push(`${setting}: a builtin runs inside the host's own process`)
  return reasons
}

function unsupported(setting: string, why: string): FnError {
  return FnError.of("FEATURE_UNSUPPORTED", `${setting} is not supported by this release: ${why}`, { details: { setting } })
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } & T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never
}
