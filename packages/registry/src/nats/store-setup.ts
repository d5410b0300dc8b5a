/** One bucket or stream as it should be: made, compared with what is there, and brought up to date. */
import { FnError, messageOf } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { type JetStreamManager, jetstream, type StreamConfig } from "@nats-io/jetstream"
import { Kvm } from "@nats-io/kv"
import { Objm } from "@nats-io/obj"
import { isNotAnswered, isOverlap, isStreamNotFound, isUnchangeable, registryError } from "./errors.js"

/** A JetStream to work on. */
export interface JetStreamAccess {
  readonly nc: NatsConnection
  readonly jsm: JetStreamManager
  readonly jsDomain: string | undefined
  /** For each request, ms. */
  readonly timeoutMs: number
}

/** What became of one bucket or stream. */
export interface StoreReport {
  readonly name: string
  readonly kind: StoreKind
  readonly action: "created" | "changed" | "unchanged"
  /** The settings that were changed, as `setting: old → new`. */
  readonly changes: readonly string[]
}

export type StoreKind = "kv" | "object" | "stream"

/** Settings of the stream behind a store, in JetStream's words. */
export type Settings = Partial<StreamConfig>

/** One bucket or stream as it should be. */
export interface Store {
  readonly name: string
  readonly kind: StoreKind
  /** The stream behind it. */
  readonly stream: string
  readonly description: string
  /** What a new one gets. */
  readonly initial: Settings & Required<Pick<StreamConfig, "num_replicas" | "max_bytes">>
  /** What one that is there must have too. */
  readonly required: Settings
}

/** Makes a store or brings it up to date; with `print`, only says what would be done. Also the settings it has then. */
export async function ensureStore(
  access: JetStreamAccess,
  store: Store,
  options: { readonly print?: boolean | undefined } = {},
): Promise<{ report: StoreReport; settings: Settings }> {
  const { name, kind } = store
  const found = await findConfig(access, store.stream)
  const changes = found ? differences(found, store.required) : []
  const action = found === undefined ? "created" : changes.length > 0 ? "changed" : "unchanged"
  const report = { name, kind, action, changes } as const
  if (options.print || action === "unchanged") return { report, settings: { ...(found ?? store.initial), ...store.required } }
  try {
    if (found === undefined) await create(access, store)
    else await access.jsm.streams.update(store.stream, store.required)
  } catch (thrown) {
    throw setupError(access, store, changes, thrown)
  }
  return { report, settings: await verify(access, store) }
}

/** Settings of a stream, if it is there. @throws {FnError} JETSTREAM_OFF, REGISTRY_TIMEOUT */
export async function findConfig({ jsm, jsDomain }: JetStreamAccess, stream: string): Promise<StreamConfig | undefined> {
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

/** What differs from what is required, as `setting: old → new`. */
export function differences(config: Settings, required: Settings): string[] {
  return (Object.keys(required) as (keyof Settings)[]).flatMap((setting) => {
    const is = show(setting, config[setting])
    const wanted = show(setting, required[setting])
    return is === wanted ? [] : [`${setting}: ${is} → ${wanted}`]
  })
}

/** What the JetStream client wants to know of a domain. */
export function domain(jsDomain: string | undefined): { domain?: string } {
  return jsDomain === undefined ? {} : { domain: jsDomain }
}

async function create({ nc, jsm, jsDomain, timeoutMs }: JetStreamAccess, { kind, name, description, initial }: Store): Promise<void> {
  const js = jetstream(nc, { ...domain(jsDomain), timeout: timeoutMs })
  const size = { replicas: initial.num_replicas, max_bytes: initial.max_bytes, storage: "file" as const, description }
  if (kind === "stream") {
    await jsm.streams.add({ ...initial, name, description })
  } else if (kind === "object") {
    // Nanoseconds here, milliseconds in a KV bucket.
    await new Objm(js).create(name, { ...size, ttl: initial.max_age ?? 0 })
  } else {
    const { max_msgs_per_subject: history = 1, republish } = initial
    await new Kvm(js).create(name, { ...size, history, ...(republish ? { republish } : {}) })
  }
}

function setupError({ nc }: JetStreamAccess, store: Store, changes: readonly string[], thrown: unknown): FnError {
  const { kind, name } = store
  const what = kind === "stream" ? `stream ${name}` : `bucket ${name}`
  if (isOverlap(thrown)) {
    const subjects = store.initial.subjects?.join(", ") ?? ""
    const message = `another stream of this account takes subjects of ${what} (${subjects}): remove it, or choose another prefix`
    return FnError.of("INVALID_CONFIG", message, { cause: thrown })
  }
  if (!isUnchangeable(thrown)) return registryError(thrown, `setting up ${what}`)
  // Servers before 2.10 fix it when a stream is made.
  if (changes.every((change) => change.startsWith("republish")))
    return FnError.of("SERVER_TOO_OLD", `nats-server ${nc.info?.version} cannot change this on ${what}: ${changes.join("; ")}`, {
      cause: thrown,
    })
  const message = `the server does not change this on ${what}: ${changes.join("; ")} (${messageOf(thrown)})`
  return FnError.of("INVALID_CONFIG", message, { cause: thrown })
}

/** An older server ignores what it does not know, so what was asked for is compared with what it has. */
async function verify(access: JetStreamAccess, store: Store): Promise<Settings> {
  const config = await findConfig(access, store.stream)
  const wrong = config ? differences(config, store.required) : ["it is not there"]
  if (!config || wrong.length > 0)
    throw FnError.of("SERVER_TOO_OLD", `the server did not take the settings of ${store.name}: ${wrong.join("; ")}`)
  return config
}

function show(setting: keyof Settings, value: unknown): string {
  // What a server leaves out is off.
  if (value === undefined || value === false) return "none"
  if (setting === "max_age" || setting === "duplicate_window") return `${Number(value) / 1e9} s`
  if (Array.isArray(value)) return value.join(" ")
  if (typeof value !== "object" || value === null) return String(value)
  const { src, dest, headers_only } = value as { src?: string; dest?: string; headers_only?: boolean }
  return `${src} → ${dest}${headers_only ? " (headers only)" : ""}`
}
