/** A registry in this process's memory, for tests: same interface, same checks, nothing stored. */
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { checkNamespace, FnError, type Logger, newId, noopLogger } from "@fn/core"
import { artifactNotFound, describeArtifact, digestHex, digestMismatch, digestOf } from "./artifact-digest.js"
import { matchesKey } from "./keys.js"
import type { RecordStore, StoredEntry, StoreWatch } from "./record-store.js"
import type { ArtifactSource, ArtifactStore, Registry } from "./registry.js"
import { StoreRegistry } from "./store-registry.js"

const HISTORY = 10

/** An empty registry in memory. There are no hosts to ask, so a deploy is done when its record is written. */
export function createMemoryRegistry(options: { readonly logger?: Logger } = {}): Registry {
  return new StoreRegistry({ records: new MemoryStore(), artifacts: new MemoryArtifacts(), logger: options.logger ?? noopLogger })
}

type Listener = (entry: StoredEntry) => void

/** See RecordStore. Every method yields once, as a real store would, so that races show in tests. */
export class MemoryStore implements RecordStore {
  readonly #revisions = new Map<string, StoredEntry[]>()
  readonly #listeners = new Set<Listener>()
  #sequence = 0

  async get(key: string): Promise<StoredEntry | undefined> {
    await nextTurn()
    return this.#last(key)
  }

  async write(key: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    await nextTurn()
    return this.#append(key, value.slice(), expected)?.revision
  }

  async delete(key: string, expected: number): Promise<boolean> {
    await nextTurn()
    return this.#append(key, undefined, expected) !== undefined
  }

  async keys(filter: string): Promise<string[]> {
    await nextTurn()
    return [...this.#revisions.keys()].filter((key) => matchesKey(filter, key) && this.#last(key)?.value !== undefined)
  }

  async history(key: string): Promise<StoredEntry[]> {
    await nextTurn()
    return [...(this.#revisions.get(key) ?? [])]
  }

  watch(filter: string, onEntry: Listener): StoreWatch {
    const stopped = new AbortController()
    const listener: Listener = (entry) => {
      if (matchesKey(filter, entry.key)) onEntry(entry)
    }
    const start = async (): Promise<void> => {
      await nextTurn()
      if (stopped.signal.aborted) throw FnError.of("CANCELLED", "the watch was stopped")
      for (const key of [...this.#revisions.keys()]) {
        const last = this.#last(key)
        if (last?.value !== undefined) listener(last)
      }
      this.#listeners.add(listener)
    }
    return {
      ready: start(),
      stop: () => {
        stopped.abort()
        this.#listeners.delete(listener)
      },
    }
  }

  async close(): Promise<void> {
    this.#listeners.clear()
  }

  #last(key: string): StoredEntry | undefined {
    return this.#revisions.get(key)?.at(-1)
  }

  #append(key: string, value: Uint8Array | undefined, expected: number): StoredEntry | undefined {
    if ((this.#last(key)?.revision ?? 0) !== expected) return undefined
    const entry: StoredEntry = { key, revision: ++this.#sequence, value, at: new Date().toISOString() }
    const revisions = this.#revisions.get(key) ?? []
    this.#revisions.set(key, [...revisions, entry].slice(-HISTORY))
    for (const listener of [...this.#listeners]) listener(entry)
    return entry
  }
}

/** See ArtifactStore. */
export class MemoryArtifacts implements ArtifactStore {
  readonly #bytes = new Map<string, Uint8Array>()

  async put(
    namespace: string,
    artifact: ArtifactSource,
    options: { readonly onProgress?: (sentBytes: number, sizeBytes: number) => void } = {},
  ): Promise<{ digest: string; sizeBytes: number }> {
    checkNamespace(namespace)
    const { digest, sizeBytes } = await describeArtifact(artifact)
    const bytes = artifact instanceof Uint8Array ? artifact.slice() : new Uint8Array(await readFile(artifact.path))
    this.#bytes.set(`${namespace}/${digestHex(digest)}`, bytes)
    options.onProgress?.(sizeBytes, sizeBytes)
    return { digest, sizeBytes }
  }

  async get(namespace: string, digest: string): Promise<Uint8Array> {
    const bytes = this.#bytes.get(`${checkNamespace(namespace)}/${digestHex(digest)}`)
    await nextTurn()
    if (!bytes) throw artifactNotFound(namespace, digest)
    if (digestOf(bytes) !== digest) throw digestMismatch(namespace, digest)
    return bytes.slice()
  }

  async getToFile(namespace: string, digest: string, path: string): Promise<void> {
    const bytes = await this.get(namespace, digest)
    const partial = `${path}.${newId()}.partial`
    try {
      await writeFile(partial, bytes)
      await rename(partial, path)
    } catch (thrown) {
      await rm(partial, { force: true })
      throw thrown
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
