import { checkLanguage, checkName, checkNamespace, checkVersion, FnError, LANGUAGES, messageOf, RUNTIMES, type RuntimeKind } from "@fn/core"
import { z } from "zod"
import { type IsolationLevel, isolationManifestSchema, storedIsolationSchema } from "./isolation.js"

/** A zod string that one of core's checks must pass. */
function checked(check: (value: string) => string): z.ZodString {
  return z.string().superRefine((value, issues) => {
    try {
      check(value)
    } catch (thrown) {
      issues.addIssue({ code: "custom", message: messageOf(thrown) })
    }
  })
}

const KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/** What a command or WebAssembly function reads on stdin: a line of structured JSON, or the data as it is. docs/command-protocol.md */
export const STDIN_FORMS = ["event", "data"] as const
export type StdinForm = (typeof STDIN_FORMS)[number]

const metadataSchema = z.record(z.string().regex(KEY, "a metadata key has 1 to 63 letters, digits, . _ / -"), z.string().max(512))
const userMetadataSchema = metadataSchema.refine((map) => !Object.keys(map).some((key) => key.startsWith("fn.")), {
  message: "keys that begin with fn. are reserved",
})
const argvSchema = z.array(z.string().min(1)).min(1)
const eventTypesSchema = z.array(z.string().min(1).max(255)).min(1)
const instancesSchema = z
  .strictObject({ min: z.int().min(0).max(1000).optional(), max: z.int().min(1).max(1000).optional() })
  .refine(({ min = 0, max = Math.max(1, min) }) => min <= max, { message: "min must not exceed max" })
const retrySchema = z.strictObject({
  attempts: z.int().min(1).max(100).optional(),
  initialMs: z.int().min(1).max(3_600_000).optional(),
  maxMs: z.int().min(1).max(86_400_000).optional(),
  factor: z.number().min(1).max(10).optional(),
  jitter: z.boolean().optional(),
  /** Codes and reasons of errors that are retried; all others are permanent. */
  on: z.array(z.string().min(1).max(64)).min(1).max(32).optional(),
  /** Codes and reasons of errors that are not retried. */
  except: z.array(z.string().min(1).max(64)).min(1).max(32).optional(),
})
const queueShape = {
  maxPending: z.int().min(1).max(10_000_000).optional(),
  maxAgeMs: z.int().min(1).max(31_536_000_000).optional(),
  maxDeliver: z.int().min(1).max(1_000).optional(),
  ackWaitMs: z.int().min(100).max(3_600_000).optional(),
  batchSize: z.int().min(1).max(10_000).optional(),
}
/** Settings of the queue as `fn.yaml` and a host's configuration give them. Unknown keys fail. */
export const queueSettingsSchema = z.strictObject(queueShape)

/** What `fn.yaml` may say. Unknown keys fail. What it says but this release cannot do is refused at deploy, not here. */
export const functionManifestSchema = z.strictObject({
  name: checked(checkName),
  /** Default: `default`, or what the caller chooses. */
  namespace: checked(checkNamespace).optional(),
  /** Absent: the last version with patch + 1, or 0.0.1. */
  version: checked(checkVersion).optional(),
  /** Fixed by the first deploy. */
  language: z.enum(LANGUAGES),
  runtime: z.enum(RUNTIMES),
  /** module: the source file; plugin: the package or binary. Read by the builder. */
  entry: z.string().min(1).optional(),
  /** Command line of a plugin or command; `{artifact}` stands for the artifact's path. */
  command: argvSchema.optional(),
  /** Command line that builds the artifact, run in the function's folder. Read by the builder. */
  build: argvSchema.optional(),
  /** command and wasm: what comes on stdin, the whole event (default) or its data alone. */
  stdin: z.enum(STDIN_FORMS).optional(),
  config: z.record(z.string(), z.json()).optional(),
  env: z.record(z.string().regex(ENV_NAME, "not the name of an environment variable"), z.string()).optional(),
  /** Not in this release: refused at deploy. */
  secrets: z.unknown().optional(),
  timeoutMs: z.int().min(1).max(86_400_000).optional(),
  /** Executions at once in one instance. */
  concurrency: z.int().min(1).max(10_000).optional(),
  /** Instances per host. */
  instances: instancesSchema.optional(),
  memoryMb: z.int().min(16).max(1_048_576).optional(),
  cpu: z.number().min(0.01).max(1024).optional(),
  /** command: processor time that one execution may use, ms. */
  cpuTimeMs: z.int().min(1).max(86_400_000).optional(),
  /** Processes and threads. With fewer, Node hangs silently instead of failing. */
  pids: z.int().min(16).max(1_000_000).optional(),
  isolation: isolationManifestSchema.optional(),
  retry: retrySchema.optional(),
  /** How its invocations wait; what is not said here the hosts' configuration says. */
  queue: queueSettingsSchema.optional(),
  accepts: eventTypesSchema.optional(),
  emits: eventTypesSchema.optional(),
  /** Not in this release: refused at deploy. */
  http: z.unknown().optional(),
  /** Which executions are recorded. */
  record: z.enum(["all", "failures"]).optional(),
  metadata: userMetadataSchema.optional(),
})

/** What a user declares about a function: the contents of `fn.yaml`. */
export type FunctionManifest = z.infer<typeof functionManifestSchema>

/** An artifact as a definition names it. */
export interface ArtifactInfo {
  /** `sha256:` and 64 hex digits. */
  digest: string
  sizeBytes: number
  /** What the file is called on a host; its extension tells Node how to load it. One path segment. */
  fileName: string
  /** Whether the file gets its executable bit. */
  executable: boolean
  /** Whether it is an archive of several files that hosts unpack: `{artifact}` is then the folder. */
  archive?: boolean | undefined
}

/** Retry policy of queued invocations, with its defaults filled in. */
export interface RetryPolicy {
  attempts: number
  initialMs: number
  maxMs: number
  factor: number
  jitter: boolean
  /** Codes and reasons that are retried; absent: all that are not permanent. */
  on?: string[] | undefined
  /** Codes and reasons that are not retried. */
  except?: string[] | undefined
}

/** Settings of a function's queue. What is absent is looked for in its language's, then in the platform's. docs/operations.md#queue */
export interface QueueSettings {
  /** Invocations that may wait. Checked by callers against what hosts report, so a few more may get in. */
  maxPending?: number | undefined
  /** An invocation that waited longer is not run but dead-lettered, ms. */
  maxAgeMs?: number | undefined
  /** Attempts; `retry.attempts` by default. */
  maxDeliver?: number | undefined
  /** A host that was not heard of for so long has lost what it ran, ms. */
  ackWaitMs?: number | undefined
  /** Most invocations that a host takes at once. */
  batchSize?: number | undefined
}

/** One immutable version of a function, as stored under `v.{namespace}.{name}.{version}`. Defaults are filled in. */
export interface FunctionDefinition {
  schema: 1
  namespace: string
  name: string
  version: string
  language: string
  runtime: RuntimeKind
  /** Absent for builtins, and for commands that need no file of ours. */
  artifact?: ArtifactInfo | undefined
  /** Absent: see {@link commandLine}. */
  command?: string[] | undefined
  /** Absent: `event`. */
  stdin?: StdinForm | undefined
  config: Record<string, unknown>
  env: Record<string, string>
  timeoutMs: number
  concurrency: number
  instances: { min: number; max: number }
  /** What the function may use; of a WebAssembly module its linear memory, of a module on a host of policy `dev` its heap. */
  memoryMb?: number | undefined
  cpu?: number | undefined
  /** Processor time of one execution of a command, ms. */
  cpuTimeMs?: number | undefined
  pids?: number | undefined
  /** Read it with {@link isolationRequest}. */
  isolation?: { level?: IsolationLevel | undefined; network?: unknown; files?: unknown } | undefined
  retry?: RetryPolicy | undefined
  queue?: QueueSettings | undefined
  accepts?: string[] | undefined
  emits?: string[] | undefined
  record: "all" | "failures"
  metadata: Record<string, string>
  /** Digest of the source it was built from. */
  sourceDigest?: string | undefined
  deployedBy: string
  /** ISO time. */
  deployedAt: string
}

/** What a version asks of the host that runs it: hosts that cannot keep it do not serve it. */
export interface HostRequest extends Pick<FunctionDefinition, "isolation" | "memoryMb" | "cpu" | "cpuTimeMs" | "pids"> {
  /** The version that asks. Older releases change the active version and know nothing of this: what another one asked means nothing. */
  version: string
}

/** What every host and client keeps of every function, as stored under `f.{namespace}.{name}`; at most 2 KB. */
export interface FunctionRecord {
  schema: 1
  namespace: string
  name: string
  language: string
  /** Of the active version. */
  runtime: RuntimeKind
  activeVersion: string
  /** Alias → version. */
  aliases: Record<string, string>
  /** Counts the writes of this record since the function was made. */
  generation: number
  /** Of the active version. */
  metadata: Record<string, string>
  /** `queue.maxPending` of the active version, if it has one: callers check it, and they read no definitions. */
  maxPending?: number | undefined
  /** What the active version asks of its host, if anything. Absent also when it is too long for a record: hosts then refuse calls instead. */
  asks?: HostRequest | undefined
  /** ISO time of the last deploy. */
  deployedAt: string
  deployedBy: string
}

/** A function record and the KV revision it was read at. */
export interface FunctionEntry {
  readonly record: FunctionRecord
  readonly revision: number
}

// Stored values are read loosely: a newer release adds fields, and an older one must not drop them when it rewrites a record.
const storedHead = {
  schema: z.literal(1),
  namespace: checked(checkNamespace),
  name: checked(checkName),
  language: checked(checkLanguage),
  runtime: z.enum(RUNTIMES),
  metadata: metadataSchema,
  deployedAt: z.iso.datetime({ offset: true }),
  deployedBy: z.string(),
}

const requestShape = {
  memoryMb: z.int().min(1).optional(),
  cpu: z.number().positive().optional(),
  cpuTimeMs: z.int().min(1).optional(),
  pids: z.int().min(1).optional(),
  isolation: storedIsolationSchema.optional(),
}

/** A stored function record. Unknown fields are kept. */
export const functionRecordSchema = z.looseObject({
  ...storedHead,
  activeVersion: checked(checkVersion),
  aliases: z.record(
    checked((alias) => checkName(alias, "alias")),
    checked(checkVersion),
  ),
  generation: z.int().min(1),
  maxPending: z.int().min(1).optional(),
  asks: z.looseObject({ version: z.string(), ...requestShape }).optional(),
})

/** A stored definition. Unknown fields are kept. */
export const functionDefinitionSchema = z.looseObject({
  ...storedHead,
  version: checked(checkVersion),
  artifact: z
    .looseObject({
      digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      sizeBytes: z.int().min(0),
      fileName: z.string().regex(FILE_NAME),
      executable: z.boolean(),
      archive: z.boolean().optional(),
    })
    .optional(),
  command: argvSchema.optional(),
  stdin: z.enum(STDIN_FORMS).optional(),
  config: z.record(z.string(), z.json()),
  env: z.record(z.string().regex(ENV_NAME), z.string()),
  timeoutMs: z.int().min(1),
  concurrency: z.int().min(1),
  instances: z.looseObject({ min: z.int().min(0), max: z.int().min(1) }),
  ...requestShape,
  retry: z
    .looseObject({
      attempts: z.int().min(1),
      initialMs: z.int().min(1),
      maxMs: z.int().min(1),
      factor: z.number().min(1),
      jitter: z.boolean(),
      on: z.array(z.string()).optional(),
      except: z.array(z.string()).optional(),
    })
    .optional(),
  queue: z.looseObject(queueShape).optional(),
  accepts: eventTypesSchema.optional(),
  emits: eventTypesSchema.optional(),
  record: z.enum(["all", "failures"]),
  sourceDigest: z.string().optional(),
})

/**
 * `value` as a manifest, every problem in one error.
 * @throws {FnError} invalid_argument INVALID_DEFINITION; `details.problems` lists them as `path: what is wrong`
 */
export function parseManifest(value: unknown): FunctionManifest {
  const parsed = functionManifestSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(formatIssue)
  throw FnError.of("INVALID_DEFINITION", `invalid function definition: ${problems.join("; ")}`, { details: { problems } })
}

/** The text of a zod issue, with its path. */
export function formatIssue(issue: { readonly path: readonly PropertyKey[]; readonly message: string }): string {
  return issue.path.length === 0 ? issue.message : `${issue.path.map(String).join(".")}: ${issue.message}`
}

/** Command line of a version whose artifact lies at `artifactPath`: its `command`, else the artifact itself, a JavaScript one run by `node`. */
export function commandLine(definition: FunctionDefinition, artifactPath: string | undefined, node: string = process.execPath): string[] {
  const isScript = /\.[cm]?js$/.test(definition.artifact?.fileName ?? "")
  const command = definition.command ?? (isScript ? [node, "{artifact}"] : ["{artifact}"])
  return command.map((argument) => (artifactPath === undefined ? argument : argument.replaceAll("{artifact}", () => artifactPath)))
}

/** `text` made fit to be an artifact's file name. */
export function artifactFileName(text: string): string {
  const name = text
    .replace(/[^A-Za-z0-9._-]/g, "_")
    .slice(-128)
    .replace(/^[.-]/, "_")
  return name || "artifact"
}
