/**
 * What a registry needs of the place where its records lie: a map from key to bytes in which every write has a revision and is conditional.
 * nats/kv-store.ts keeps them in a KV bucket, memory.ts in a Map; store-registry.ts does everything else.
 */

/** One revision of one key. */
export interface StoredEntry {
  readonly key: string
  readonly revision: number
  /** Absent: this revision deleted the key. */
  readonly value: Uint8Array | undefined
  /** ISO time of the write. */
  readonly at: string
}

/** A running watch. */
export interface StoreWatch {
  /** Resolves when every present entry was delivered; rejects when that failed or the watch was stopped before. */
  readonly ready: Promise<void>
  stop(): void
}

/** Conditional, revisioned storage of small values. */
export interface RecordStore {
  /** The newest revision of `key`, a deletion included; undefined when nothing was ever written. Never stale. */
  get(key: string): Promise<StoredEntry | undefined>
  /** Writes if the newest revision of `key` is still `expected` (0: none was ever written); undefined when it is not. */
  write(key: string, value: Uint8Array, expected: number): Promise<number | undefined>
  /** Deletes if the newest revision of `key` is still `expected`; false when it is not. */
  delete(key: string, expected: number): Promise<boolean>
  /** Keys that `filter` selects and that are not deleted, in no order. */
  keys(filter: string): Promise<string[]>
  /** Revisions of `key` that are still kept, oldest first. */
  history(key: string): Promise<StoredEntry[]>
  /** Delivers what is there, then every change, each key's revisions in order and none twice. `onEntry` must not throw. */
  watch(filter: string, onEntry: (entry: Omit<StoredEntry, "at">) => void): StoreWatch
  close(): Promise<void>
}
