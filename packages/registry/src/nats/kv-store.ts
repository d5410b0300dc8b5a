/** Records in a KV bucket. Reads go to the leader: a stale read would make every compare-and-set a gamble. */

import { FnError, type Logger, newId } from "@fn/core"
import { type NatsConnection, watchConnection } from "@fn/nats"
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream"
import { type KV, Kvm } from "@nats-io/kv"
import { nanos } from "@nats-io/transport-node"
import type { RecordStore, StoredEntry, StoreWatch } from "../record-store.js"
import { type BucketState, ChangeFeed, type FeedEntry, type FeedSource, type KeyRevision } from "./change-feed.js"
import { isConflict, registryError, withTimeout } from "./errors.js"
import type { RegistryNames } from "./names.js"

/** A request to JetStream that takes longer has failed. */
const REQUEST_TIMEOUT_MS = 5_000
/** A whole read of many keys that takes longer has failed: its consumer may have died with a node. */
const SCAN_TIMEOUT_MS = 15_000
const SCAN_BATCH = 500

/** What a KvStore works with. */
export interface KvStoreOptions {
  readonly nc: NatsConnection
  readonly names: RegistryNames
  readonly jsDomain?: string | undefined
  /** Time between two looks for changes that the feed missed. */
  readonly rereadMs: number
  readonly logger: Logger
}

/** See {@link RecordStore}. */
export class KvStore implements RecordStore, FeedSource {
  readonly #nc: NatsConnection
  readonly #names: RegistryNames
  readonly #js: JetStreamClient
  readonly #jsm: JetStreamManager
  readonly #kv: KV
  readonly #logger: Logger
  readonly #feeds = new Set<ChangeFeed>()
  readonly #timer: NodeJS.Timeout
  readonly #forgetReconnect: () => void

  private constructor(options: KvStoreOptions, js: JetStreamClient, jsm: JetStreamManager, kv: KV) {
    this.#nc = options.nc
    this.#names = options.names
    this.#logger = options.logger
    this.#js = js
    this.#jsm = jsm
    this.#kv = kv
    // What was republished while the connection was down is lost, and a leader that dies between commit and republish loses one change.
    this.#forgetReconnect = watchConnection(options.nc).onReconnect(() => this.#reread())
    this.#timer = setInterval(() => this.#reread(), options.rereadMs).unref()
  }

  /** A store on a bucket that exists. */
  static async open(options: KvStoreOptions): Promise<KvStore> {
    const settings = { timeout: REQUEST_TIMEOUT_MS, ...(options.jsDomain === undefined ? {} : { domain: options.jsDomain }) }
    const js = jetstream(options.nc, settings)
    const jsm = await jetstreamManager(options.nc, { ...settings, checkAPI: false })
    const kv = await new Kvm(js).open(options.names.bucket)
    return new KvStore(options, js, jsm, kv)
  }

  async get(key: string): Promise<StoredEntry | undefined> {
    const entry = await withTimeout(this.#kv.get(key), REQUEST_TIMEOUT_MS, `reading ${key}`)
    return entry ? storedEntry(entry) : undefined
  }

  async write(key: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    try {
      return await this.#kv.put(key, value, { previousSeq: expected, timeout: REQUEST_TIMEOUT_MS })
    } catch (thrown) {
      if (isConflict(thrown)) return undefined
      throw registryError(thrown, `writing ${key}`)
    }
  }

  async delete(key: string, expected: number): Promise<boolean> {
    try {
      await this.#kv.delete(key, { previousSeq: expected })
      return true
    } catch (thrown) {
      if (isConflict(thrown)) return false
      throw registryError(thrown, `deleting ${key}`)
    }
  }

  async keys(filter: string): Promise<string[]> {
    const entries = await this.scan(filter)
    return entries.flatMap((entry) => (entry.deleted ? [] : entry.key))
  }

  async history(key: string): Promise<StoredEntry[]> {
    const read = async (): Promise<StoredEntry[]> => {
      const entries: StoredEntry[] = []
      for await (const entry of await this.#kv.history({ key })) entries.push(storedEntry(entry))
      return entries
    }
    return withTimeout(read(), REQUEST_TIMEOUT_MS, `reading the history of ${key}`)
  }

  watch(filter: string, onEntry: (entry: FeedEntry) => void): StoreWatch {
    const feed = new ChangeFeed(this, filter, onEntry, this.#logger)
    this.#feeds.add(feed)
    return {
      ready: feed.ready,
      stop: () => {
        this.#feeds.delete(feed)
        feed.stop()
      },
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#forgetReconnect()
    for (const feed of this.#feeds) feed.stop()
    this.#feeds.clear()
  }

  /** Newest revision of every key that `filter` selects, deletions included, without the values. */
  async scan(filter: string): Promise<KeyRevision[]> {
    if (!filter.endsWith("*") && !filter.endsWith(">")) {
      const entry = await this.get(filter)
      return entry ? [{ key: filter, revision: entry.revision, deleted: entry.value === undefined }] : []
    }
    return withTimeout(this.#scanAll(filter), SCAN_TIMEOUT_MS, `reading the keys ${filter}`)
  }

  async #scanAll(filter: string): Promise<KeyRevision[]> {
    const { stream } = this.#names
    const prefix = `$KV.${this.#names.bucket}.`
    const info = await this.#jsm.consumers.add(stream, {
      name: `fn-scan-${newId()}`,
      filter_subject: prefix + filter,
      deliver_policy: "last_per_subject",
      ack_policy: "none",
      headers_only: true,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(SCAN_TIMEOUT_MS),
    })
    try {
      const entries: KeyRevision[] = []
      const consumer = this.#js.consumers.getConsumerFromInfo(info)
      let pending = info.num_pending
      while (pending > 0) {
        const before = entries.length
        for await (const msg of await consumer.fetch({ max_messages: Math.min(pending, SCAN_BATCH), expires: REQUEST_TIMEOUT_MS })) {
          entries.push({ key: msg.subject.slice(prefix.length), revision: msg.seq, deleted: isDeletion(msg.headers?.get("KV-Operation")) })
          pending = msg.info.pending
        }
        if (entries.length === before) throw FnError.of("REGISTRY_TIMEOUT", `reading the keys ${filter}: the consumer fell silent`)
      }
      return entries
    } finally {
      // A consumer that cannot be deleted now goes by its inactive_threshold.
      await this.#jsm.consumers.delete(stream, info.name).catch(() => false)
    }
  }

  async state(): Promise<BucketState> {
    const { created, state } = await withTimeout(
      this.#jsm.streams.info(this.#names.stream),
      REQUEST_TIMEOUT_MS,
      "reading the bucket's state",
    )
    return { created: String(created), lastSequence: state.last_seq }
  }

  subscribe(filter: string, onEntry: (entry: FeedEntry, previous: number) => void): () => void {
    const { feed } = this.#names
    const subscription = this.#nc.subscribe(feed + filter, {
      callback: (error, msg) => {
        if (error) {
          this.#logger.error("the registry's change feed was refused", { subject: feed + filter, error: error.message })
          return
        }
        const revision = Number(msg.headers?.get("Nats-Sequence"))
        // Anybody may publish here; only what JetStream republished has a sequence.
        if (!Number.isSafeInteger(revision) || revision <= 0) return
        const deleted = isDeletion(msg.headers?.get("KV-Operation"))
        const entry = { key: msg.subject.slice(feed.length), revision, value: deleted ? undefined : msg.data }
        onEntry(entry, Number(msg.headers?.get("Nats-Last-Sequence")))
      },
    })
    return () => subscription.unsubscribe()
  }

  #reread(): void {
    if (this.#feeds.size === 0) return
    const state = this.state()
    state.catch(() => undefined) // each feed sees it and tries again
    for (const feed of this.#feeds) feed.reread(state)
  }
}

function storedEntry(entry: { key: string; revision: number; operation: string; value: Uint8Array; created: Date }): StoredEntry {
  return {
    key: entry.key,
    revision: entry.revision,
    value: isDeletion(entry.operation) ? undefined : entry.value,
    at: entry.created.toISOString(),
  }
}

function isDeletion(operation: string | undefined): boolean {
  return operation === "DEL" || operation === "PURGE"
}
