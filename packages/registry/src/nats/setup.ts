/** What a platform keeps in NATS: made, checked and upgraded by whoever may; everybody else only finds that it is there. */
import { compareVersions, DEFAULT_NAMESPACE, FnError, isVersion, Subjects } from "@fn/core"
import { MIN_SERVER_VERSION, type NatsConnection } from "@fn/nats"
import { payloadBucket, type QueueStream, type QueueStreamOptions, queueNames, queueStreams, requiredSettings } from "@fn/queue"
import { jetstreamManager } from "@nats-io/jetstream"
import { type RegistryNames, registryNames } from "./names.js"
import {
  differences,
  domain,
  ensureStore,
  findConfig,
  type JetStreamAccess,
  type Settings,
  type Store,
  type StoreReport,
} from "./store-setup.js"

/** Before it, two concurrent updates of one revision could both succeed on a replicated bucket (nats-server #4319). */
const MIN_CLUSTER_VERSION = "2.9.21"
const HISTORY = 10
const MAX_FUNCTIONS_BYTES = 268_435_456
const DEFAULT_ARTIFACT_BYTES = 1_073_741_824
const NS_PER_MS = 1_000_000
const REQUEST_TIMEOUT_MS = 5_000
/** A cluster takes its time to make a stream of several copies. */
const SETUP_TIMEOUT_MS = 30_000

/** Options of {@link setupPlatform}. What is not given is the default of a new store, and unchanged in one that is there. */
export interface SetupOptions extends QueueStreamOptions {
  /** Copies of every bucket and stream. Default 1. */
  readonly replicas?: number | undefined
  /**
   * Largest size of each bucket and stream in bytes, reserved on the server. Default: 1 GiB of artifacts per namespace, 256 MiB of
   * function records, and what `DEFAULT_STREAM_BYTES` of `@fn/queue` says of the others.
   */
  readonly maxBytes?: number | undefined
  /** As `maxBytes`, of what is made anew alone. */
  readonly initialMaxBytes?: number | undefined
  /** Only say what would be done. */
  readonly print?: boolean | undefined
  /** First token of the platform's subjects, buckets and streams. Default `function`. */
  readonly prefix?: string | undefined
  /** JetStream domain, from a leaf node. */
  readonly jsDomain?: string | undefined
}

/** What {@link setupPlatform} found and did; with `print`, what it would do. */
export interface SetupReport {
  readonly serverVersion: string
  readonly clustered: boolean
  readonly stores: readonly StoreReport[]
}

/**
 * Creates the platform's buckets and streams, or brings them up to date. Changes nothing that is right already.
 * @throws {FnError} JETSTREAM_OFF, SERVER_TOO_OLD, STORAGE_FULL when the server cannot reserve the room, NATS_PERMISSION, INVALID_CONFIG
 *   when something that is not ours is in the way
 */
export async function setupPlatform(nc: NatsConnection, options: SetupOptions = {}): Promise<SetupReport> {
  const names = checkedNames(options.prefix)
  const { version, clustered } = checkServer(nc)
  const access = await openJetStream(nc, options.jsDomain, SETUP_TIMEOUT_MS)
  const stores: StoreReport[] = []
  const ensure = async (store: Store): Promise<Settings> => {
    const { report, settings } = await ensureStore(access, store, { print: options.print })
    stores.push(report)
    return settings
  }
  await ensure(functionsBucket(names, options))
  await ensure(artifactsBucket(names, DEFAULT_NAMESPACE, options))
  const ageMs = new Map<string, number>()
  for (const stream of queueStreams(options)) {
    const { max_age = 0 } = await ensure(queueStore(stream, options))
    ageMs.set(stream.name, max_age / NS_PER_MS)
  }
  await ensure(await payloadStore(access, ageMs, options))
  return { serverVersion: version, clustered, stores }
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
export async function openJetStream(
  nc: NatsConnection,
  jsDomain: string | undefined,
  timeoutMs: number = REQUEST_TIMEOUT_MS,
): Promise<JetStreamAccess> {
  return { nc, jsm: await jetstreamManager(nc, { ...domain(jsDomain), timeout: timeoutMs, checkAPI: false }), jsDomain, timeoutMs }
}

/** Makes the bucket of a namespace's artifacts, as large and as replicated as the default namespace's; nothing happens if it is there. */
export async function createArtifactsBucket(access: JetStreamAccess, names: RegistryNames, namespace: string): Promise<void> {
  const wanted = artifactsBucket(names, namespace, {})
  if (await findConfig(access, wanted.stream)) return
  const model = await findConfig(access, artifactsBucket(names, DEFAULT_NAMESPACE, {}).stream)
  const initial = model ? { num_replicas: model.num_replicas, max_bytes: model.max_bytes } : wanted.initial
  await ensureStore(access, { ...wanted, initial })
}

function functionsBucket(names: RegistryNames, options: SetupOptions): Store {
  const fixed = {
    max_msgs_per_subject: HISTORY,
    republish: { src: `$KV.${names.bucket}.>`, dest: `${names.feed}>` },
  }
  const bound = (bytes: number | undefined): number | undefined => (bytes === undefined ? undefined : Math.min(bytes, MAX_FUNCTIONS_BYTES))
  const maxBytes = bound(options.maxBytes)
  return {
    name: names.bucket,
    kind: "kv",
    stream: names.stream,
    description: "fn: function records and definitions",
    initial: {
      ...fixed,
      num_replicas: options.replicas ?? 1,
      max_bytes: maxBytes ?? bound(options.initialMaxBytes) ?? MAX_FUNCTIONS_BYTES,
    },
    required: { ...fixed, ...asked(options.replicas, maxBytes) },
  }
}

function artifactsBucket(names: RegistryNames, namespace: string, options: SetupOptions): Store {
  const name = names.artifacts(namespace)
  return {
    name,
    kind: "object",
    stream: `OBJ_${name}`,
    description: "fn: artifacts of a namespace, named by their SHA-256",
    initial: { num_replicas: options.replicas ?? 1, max_bytes: options.maxBytes ?? options.initialMaxBytes ?? DEFAULT_ARTIFACT_BYTES },
    required: asked(options.replicas, options.maxBytes),
  }
}

function queueStore(stream: QueueStream, options: SetupOptions): Store {
  const { name, description = "" } = stream
  const { initialMaxBytes } = options
  const initial = initialMaxBytes === undefined || options.maxBytes !== undefined ? stream : { ...stream, max_bytes: initialMaxBytes }
  return { name, kind: "stream", stream: name, description, initial, required: requiredSettings(stream, options) }
}

/** Its objects stay for as long as the streams may name them, whoever chose their ages; one that keeps them longer is left so. */
async function payloadStore(access: JetStreamAccess, ageMs: ReadonlyMap<string, number>, options: SetupOptions): Promise<Store> {
  const names = queueNames(options.prefix)
  const { name, description, ttlMs, maxBytes, replicas } = payloadBucket({
    ...options,
    maxBytes: options.maxBytes ?? options.initialMaxBytes,
    resultAgeMs: ageMs.get(names.results),
    deadLetterAgeMs: ageMs.get(names.deadLetters),
    claimAgeMs: ageMs.get(names.claims),
  })
  const stream = `OBJ_${name}`
  const max_age = ttlMs * NS_PER_MS
  const found = await findConfig(access, stream)
  const isShort = found !== undefined && found.max_age !== 0 && found.max_age < max_age
  return {
    name,
    kind: "object",
    stream,
    description,
    initial: { num_replicas: replicas, max_bytes: maxBytes, max_age },
    required: { ...asked(options.replicas, options.maxBytes), ...(isShort ? { max_age } : {}) },
  }
}

function asked(replicas: number | undefined, maxBytes: number | undefined): Settings {
  return { ...(replicas === undefined ? {} : { num_replicas: replicas }), ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }) }
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
