/**
 * Changes of the keys that one filter selects, each once and in order.
 *
 * The bucket republishes every write as a core message, which arrives at once and survives the loss of a node, where a KV watch goes blind
 * for a minute. Core messages can be lost, so the bucket itself is read at the start, after a reconnect, when a message shows that one
 * before it was missed, and every minute. Both ways end in deliver(), which lets no revision through twice.
 *
 * Neighbours: kv-store.ts reads and subscribes; store-registry.ts makes records of the entries.
 */
import { setTimeout as delay } from "node:timers/promises"
import { FnError, type Logger, messageOf } from "@fn/core"
import type { StoredEntry } from "../record-store.js"

/** A key's newest revision without its value. */
export interface KeyRevision {
  readonly key: string
  readonly revision: number
  readonly deleted: boolean
}

/** An entry as the feed has it. */
export type FeedEntry = Omit<StoredEntry, "at">

/** Which bucket it is and how far it got. */
export interface BucketState {
  /** Differs when the bucket was deleted and made anew: its revisions start again. */
  readonly created: string
  readonly lastSequence: number
}

/** Where a feed reads. */
export interface FeedSource {
  get(key: string): Promise<FeedEntry | undefined>
  scan(filter: string): Promise<KeyRevision[]>
  state(): Promise<BucketState>
  /** `previous` is the revision before on the same key. */
  subscribe(filter: string, onEntry: (entry: FeedEntry, previous: number) => void): () => void
}

/** Values read at once. */
const READ_AHEAD = 32
const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5_000

export class ChangeFeed {
  /** Resolves when everything present was delivered; rejects when the first reading failed (the feed goes on) or the feed was stopped. */
  readonly ready: Promise<void>
  readonly #source: FeedSource
  readonly #filter: string
  readonly #onEntry: (entry: FeedEntry) => void
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  readonly #unsubscribe: () => void
  /** Newest revision known of each key, deleted ones included. */
  readonly #known = new Map<string, KeyRevision>()
  #bucket: BucketState | undefined
  #isReading = true
  #readAgain = false

  constructor(source: FeedSource, filter: string, onEntry: (entry: FeedEntry) => void, logger: Logger) {
    this.#source = source
    this.#filter = filter
    this.#onEntry = onEntry
    this.#logger = logger
    // Before the first reading, so that nothing falls between the two.
    this.#unsubscribe = source.subscribe(filter, (entry, previous) => this.#republished(entry, previous))
    this.ready = this.#readFirst()
  }

  /** Looks for changes that were missed; tries until it succeeds. `state` spares the first try its own question. */
  reread(state?: Promise<BucketState>): void {
    if (this.#isReading) {
      this.#readAgain = true
      return
    }
    this.#isReading = true
    void this.#readUntilDone(state)
  }

  stop(): void {
    this.#stopped.abort()
    this.#unsubscribe()
  }

  async #readFirst(): Promise<void> {
    try {
      await this.#read(this.#source.state())
    } catch (thrown) {
      this.#readAgain = true
      throw thrown
    } finally {
      this.#isReading = false
      if (this.#readAgain) this.reread()
    }
  }

  /** Never rejects. */
  async #readUntilDone(state: Promise<BucketState> | undefined): Promise<void> {
    const { signal } = this.#stopped
    let waitMs = RETRY_MIN_MS
    let question = state
    while (!signal.aborted) {
      try {
        this.#readAgain = false
        await this.#read(question ?? this.#source.state())
        if (!this.#readAgain) break
      } catch (thrown) {
        if (signal.aborted) break
        this.#logger.warn("registry not readable, trying again", { keys: this.#filter, error: messageOf(thrown), waitMs })
        await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
        waitMs = Math.min(waitMs * 2, RETRY_MAX_MS)
      }
      question = undefined
    }
    this.#isReading = false
  }

  async #read(question: Promise<BucketState>): Promise<void> {
    const state = await question
    const isSame = this.#bucket?.created === state.created
    if (isSame && this.#bucket?.lastSequence === state.lastSequence) return
    const entries = await this.#source.scan(this.#filter)
    const before = [...this.#known.values()]
    if (!isSame) this.#known.clear()
    await this.#readChanged(entries)
    const present = new Set(entries.map((entry) => entry.key))
    for (const { key, revision, deleted } of before) {
      if (deleted || present.has(key)) continue
      // Gone without a deletion marker: somebody purged the stream, or made the bucket anew.
      const known = this.#known.get(key)?.revision
      if (known !== (isSame ? revision : undefined)) continue
      this.#deliver({ key, revision: isSame ? Math.max(revision, state.lastSequence) : state.lastSequence, value: undefined }, true)
    }
    if (this.#stopped.signal.aborted) throw FnError.of("CANCELLED", "the watch was stopped")
    this.#bucket = state
  }

  async #readChanged(entries: readonly KeyRevision[]): Promise<void> {
    const changed = entries.filter((entry) => entry.revision > (this.#known.get(entry.key)?.revision ?? 0))
    for (let i = 0; i < changed.length; i += READ_AHEAD) {
      await Promise.all(changed.slice(i, i + READ_AHEAD).map((entry) => this.#readOne(entry)))
    }
  }

  async #readOne({ key, revision, deleted }: KeyRevision): Promise<void> {
    if (deleted) this.#deliver({ key, revision, value: undefined })
    else {
      const entry = await this.#source.get(key)
      if (entry) this.#deliver(entry)
    }
  }

  #republished(entry: FeedEntry, previous: number): void {
    const known = this.#known.get(entry.key)?.revision ?? 0
    this.#deliver(entry)
    // Before the first reading nothing is known, and that reading is under way.
    if (this.#bucket && previous > known) this.reread()
  }

  #deliver(entry: FeedEntry, always: boolean = false): void {
    if (this.#stopped.signal.aborted) return
    const known = this.#known.get(entry.key)
    if (known && entry.revision <= known.revision && !always) return
    const deleted = entry.value === undefined
    this.#known.set(entry.key, { key: entry.key, revision: entry.revision, deleted })
    // A key that was deleted before we ever saw it is no news.
    if (deleted && (known === undefined || known.deleted) && !always) return
    this.#onEntry(entry)
  }
}
