/** Buckets of a platform: made, checked and upgraded by whoever may; everybody else only finds that they are there. */
import { compareVersions, DEFAULT_NAMESPACE, FnError, isVersion, Subjects } from "@fn/core"
import { MIN_SERVER_VERSION, type NatsConnection } from "@fn/nats"
import { type JetStreamManager, jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream"
import { Kvm } from "@nats-io/kv"
import { Objm } from "@nats-io/obj"
import { isNotAnswered, isStreamNotFound, isUnchangeable, registryError } from "./errors.js"
import { type RegistryNames, registryNames } from "./names.js"

/** Before it, two concurrent updates of one revision could both succeed on a replicated bucket (nats-server #4319). */
const MIN_CLUSTER_VERSION = "2.9.21"
const HISTORY = 10
const MAX_FUNCTIONS_BYTES = 268_435_456
const DEFAULT_ARTIFACT_BYTES = 1_073_741_824

/** Options of {@link setupPlatform}. */
export interface SetupOptions {
  /** Copies of every bucket. Default: 1 for a new bucket, unchanged for one that is there. */
  readonly replicas?: number | undefined
  /** Largest size of each bucket in bytes, reserved on the server. Default for a new bucket: 1 GiB of artifacts per namespace, 256 MiB of records. */
  readonly maxBytes?: number | undefined
  /** Only say what would be done. */
  readonly print?: boolean | undefined
  /** First token of the platform's subjects and buckets. Default `function`. */
  readonly prefix?: string | undefined
  /** JetStream domain, from a leaf node. */
  readonly jsDomain?: string | undefined
}

/** What became of one bucket. */
export interface BucketReport {
  readonly name: string
  readonly kind: "kv" | "object"
  readonly action: "created" | "changed" | "unchanged"
  /** The settings that were changed, as `setting: old → new`. */
  readonly changes: readonly string[]
}

/** What {@link setupPlatform} found and did; with `print`, what it would do. */
export interface SetupReport {
  readonly serverVersion: string
  readonly clustered: boolean
  readonly buckets: readonly BucketReport[]
}

type Settings = Pick<StreamConfig, "num_replicas" | "max_bytes" | "max_msgs_per_subject" | "republish">

/** A JetStream to work on. */
export interface JetStreamAccess {
  readonly nc: NatsConnection
  readonly jsm: JetStreamManager
  readonly jsDomain: string | undefined
}

/** One bucket as it should be. */
interface Bucket {
  readonly name: string
  readonly kind: "kv" | "object"
  readonly stream: string
  /** What a new bucket gets. */
  readonly initial: Partial<Settings>
  /** What one that is there must have too. */
  readonly required: Partial<Settings>
}

/**
 * Creates the platform's buckets, or brings them up to date. Changes nothing that is right already.
 * @throws {FnError} JETSTREAM_OFF, SERVER_TOO_OLD, STORAGE_FULL when the server cannot reserve the room, NATS_PERMISSION
 */
export async function setupPlatform(nc: NatsConnection, options: SetupOptions = {}): Promise<SetupReport> {
  const names = checkedNames(options.prefix)
  const { version, clustered } = checkServer(nc)
  const access = await openJetStream(nc, options.jsDomain)
  const buckets: BucketReport[] = []
  for (const bucket of [functionsBucket(names, options), artifactsBucket(names, DEFAULT_NAMESPACE, options)]) {
    buckets.push(await ensureBucket(access, bucket, options.print))
  }
  return { serverVersion: version, clustered, buckets }
}

/** The names for `prefix`. @throws {FnError} INVALID_NAME when it is no NATS token */
export function checkedNames(prefix: string | undefined): RegistryNames {
  return registryNames(new Subjects(prefix === undefined ? {} : { functions: prefix }).functions)
}

/** Refuses servers whose compare-and-set cannot be trusted. @throws {FnError} SERVER_TOO_OLD, DISCONNECTED */
export function checkServer(nc: NatsConnection): { version: string; clustered: boolean } {
  if (!nc.info) throw FnError.of("DISCONNECTED", "the connection to NATS is closed")
  const { version, cluster } = nc.info
  checkServerVersion(version, cluster !== undefined)
  return { version, clustered: cluster !== undefined }
}

/** @throws {FnError} SERVER_TOO_OLD */
export function checkServerVersion(version: string, clustered: boolean): void {
  const min = clustered ? MIN_CLUSTER_VERSION : MIN_SERVER_VERSION
  if (!isVersion(version) || compareVersions(version, min) >= 0) return
  const why = clustered
    ? "before it, compare-and-set on replicated buckets lets two deployers overwrite each other"
    : "the registry needs features that came with it"
  throw FnError.of(
    "SERVER_TOO_OLD",
    `nats-server ${version} is too old${clustered ? " for a cluster" : ""}: ${min} is needed, because ${why}`,
  )
}

/** JetStream through `nc`. Asks nothing yet: the API that would tell whether it is on needs a permission that hosts may lack. */
export async function openJetStream(nc: NatsConnection, jsDomain: string | undefined): Promise<JetStreamAccess> {
  return { nc, jsm: await jetstreamManager(nc, { ...domain(jsDomain), checkAPI: false }), jsDomain }
}

/** Makes the bucket of a namespace's artifacts, as large and as replicated as the default namespace's; nothing happens if it is there. */
export async function createArtifactsBucket(access: JetStreamAccess, names: RegistryNames, namespace: string): Promise<void> {
  const wanted = artifactsBucket(names, namespace, {})
  if (await findConfig(access, wanted.stream)) return
  const model = await findConfig(access, artifactsBucket(names, DEFAULT_NAMESPACE, {}).stream)
  const initial = model ? { num_replicas: model.num_replicas, max_bytes: model.max_bytes } : wanted.initial
  await ensureBucket(access, { ...wanted, initial }, false)
}

function functionsBucket(names: RegistryNames, options: SetupOptions): Bucket {
  const fixed = {
    max_msgs_per_subject: HISTORY,
    republish: { src: `$KV.${names.bucket}.>`, dest: `${names.feed}>` },
  }
  const maxBytes = options.maxBytes === undefined ? undefined : Math.min(options.maxBytes, MAX_FUNCTIONS_BYTES)
  return {
    name: names.bucket,
    kind: "kv",
    stream: names.stream,
    initial: { ...fixed, num_replicas: options.replicas ?? 1, max_bytes: maxBytes ?? MAX_FUNCTIONS_BYTES },
    required: { ...fixed, ...asked(options.replicas, maxBytes) },
  }
}

function artifactsBucket(names: RegistryNames, namespace: string, options: SetupOptions): Bucket {
  const name = names.artifacts(namespace)
  return {
    name,
    kind: "object",
    stream: `OBJ_${name}`,
    initial: { num_replicas: options.replicas ?? 1, max_bytes: options.maxBytes ?? DEFAULT_ARTIFACT_BYTES },
    required: asked(options.replicas, options.maxBytes),
  }
}

function asked(replicas: number | undefined, maxBytes: number | undefined): Partial<Settings> {
  return { ...(replicas === undefined ? {} : { num_replicas: replicas }), ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }) }
}

async function ensureBucket(access: JetStreamAccess, bucket: Bucket, print: boolean | undefined): Promise<BucketReport> {
  const { name, kind } = bucket
  const found = await findConfig(access, bucket.stream)
  const changes = found ? differences(found, bucket.required) : []
  const action = found === undefined ? "created" : changes.length > 0 ? "changed" : "unchanged"
  if (print || action === "unchanged") return { name, kind, action, changes }
  try {
    if (found === undefined) await createBucket(access, bucket)
    else await access.jsm.streams.update(bucket.stream, bucket.required)
  } catch (thrown) {
    if (isUnchangeable(thrown)) throw unchangeable(access, name, changes, thrown)
    throw registryError(thrown, `setting up bucket ${name}`)
  }
  await verify(access, bucket)
  return { name, kind, action, changes }
}

function unchangeable({ nc }: JetStreamAccess, name: string, changes: readonly string[], cause: unknown): FnError {
  const message = `nats-server ${nc.info?.version} cannot change this on bucket ${name}: ${changes.join("; ")}`
  return FnError.of("SERVER_TOO_OLD", message, { cause })
}

async function createBucket({ nc, jsDomain }: JetStreamAccess, { kind, name, initial }: Bucket): Promise<void> {
  const js = jetstream(nc, domain(jsDomain))
  const size = { replicas: initial.num_replicas ?? 1, max_bytes: initial.max_bytes ?? DEFAULT_ARTIFACT_BYTES }
  if (kind === "object") {
    await new Objm(js).create(name, { ...size, storage: "file", description: "fn: artifacts of a namespace, named by their SHA-256" })
  } else {
    await new Kvm(js).create(name, {
      ...size,
      storage: "file",
      description: "fn: function records and definitions",
      history: HISTORY,
      ...(initial.republish ? { republish: initial.republish } : {}),
    })
  }
}

/** An older server ignores what it does not know, so what was asked for is compared with what it has. */
async function verify(access: JetStreamAccess, bucket: Bucket): Promise<void> {
  const config = await findConfig(access, bucket.stream)
  const wrong = config ? differences(config, bucket.required) : ["it is not there"]
  if (wrong.length > 0) throw FnError.of("SERVER_TOO_OLD", `the server did not take the settings of ${bucket.name}: ${wrong.join("; ")}`)
}

/** Whether the functions bucket is there and as it must be. @throws {FnError} NOT_SET_UP, JETSTREAM_OFF */
export async function checkFunctionsBucket(access: JetStreamAccess, names: RegistryNames): Promise<void> {
  const bucket = functionsBucket(names, {})
  const config = await findConfig(access, bucket.stream)
  if (!config) throw FnError.of("NOT_SET_UP", `there is no bucket ${bucket.name} in this NATS account`)
  const wrong = differences(config, bucket.required)
  if (wrong.length > 0)
    throw FnError.of("NOT_SET_UP", `bucket ${bucket.name} has other settings than the registry needs: ${wrong.join("; ")}`)
}

/** Settings of a stream, if it is there. @throws {FnError} JETSTREAM_OFF, REGISTRY_TIMEOUT */
async function findConfig({ jsm, jsDomain }: JetStreamAccess, stream: string): Promise<StreamConfig | undefined> {
  try {
    return (await jsm.streams.info(stream)).config
  } catch (thrown) {
    if (isStreamNotFound(thrown)) return undefined
    // Nobody listens on JetStream's API at all: a stream that only has no leader would be silent instead.
    if (!isNotAnswered(thrown)) throw registryError(thrown, `looking for stream ${stream}`)
    const where = jsDomain === undefined ? "on this server, or not for this account" : `in JetStream domain ${jsDomain}`
    throw FnError.of("JETSTREAM_OFF", `JetStream is not enabled ${where}`, { cause: thrown })
  }
}

function differences(config: StreamConfig, required: Partial<Settings>): string[] {
  return (Object.keys(required) as (keyof Settings)[]).flatMap((setting) => {
    const is = show(config[setting])
    const wanted = show(required[setting])
    return is === wanted ? [] : [`${setting}: ${is} → ${wanted}`]
  })
}

function show(value: Settings[keyof Settings]): string {
  if (typeof value !== "object") return String(value ?? "none")
  return `${value.src} → ${value.dest}`
}

function domain(jsDomain: string | undefined): { domain?: string } {
  return jsDomain === undefined ? {} : { domain: jsDomain }
}
