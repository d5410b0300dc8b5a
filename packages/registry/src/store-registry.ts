/** The registry over any RecordStore and ArtifactStore. */
import { checkName, checkNamespace, checkVersion, FnError, type FunctionRef, isVersion, messageOf } from "@fn/core"
import { decodeRecord, encodeRecord } from "./codec.js"
import type { FunctionDefinition, FunctionEntry, FunctionManifest, FunctionRecord } from "./definition.js"
import { deploy } from "./deploy.js"
import { functionKey, functionKeys, parseFunctionKey, versionKey } from "./keys.js"
import type { StoredEntry, StoreWatch } from "./record-store.js"
import {
  deployedVersions,
  findFunction,
  findVersion,
  functionNotFound,
  MAX_ATTEMPTS,
  type RegistryParts,
  restoreValue,
  staleRevision,
  versionNotFound,
  withActive,
} from "./records.js"
import type {
  ArtifactStore,
  ChangeOptions,
  DeployOptions,
  DeployResult,
  FunctionChange,
  FunctionFilter,
  FunctionPage,
  FunctionRevision,
  PageOptions,
  Registry,
  WatchOptions,
} from "./registry.js"

const DEFAULT_PAGE = 100
/** Records read at once while listing. */
const READ_AHEAD = 32

/** See {@link Registry}: every rule of it that does not depend on where the bytes lie. */
export class StoreRegistry implements Registry {
  readonly artifacts: ArtifactStore
  readonly #parts: RegistryParts
  readonly #watches = new Set<StoreWatch>()
  #closed: Promise<void> | undefined

  constructor(parts: RegistryParts) {
    this.#parts = parts
    this.artifacts = parts.artifacts
  }

  deploy(manifest: FunctionManifest, options: DeployOptions = {}): Promise<DeployResult> {
    return deploy(this.#parts, manifest, options)
  }

  async getFunction(ref: FunctionRef): Promise<FunctionEntry> {
    const found = await this.findFunction(ref)
    if (!found) throw functionNotFound(ref)
    return found
  }

  async findFunction(ref: FunctionRef): Promise<FunctionEntry | undefined> {
    return findFunction(this.#parts.records, ref)
  }

  async getDefinition(ref: FunctionRef): Promise<FunctionDefinition> {
    const found = await this.findDefinition(ref)
    if (found) return found
    const { record } = await this.getFunction(ref)
    throw versionNotFound(ref, ref.version ?? record.activeVersion)
  }

  async findDefinition(ref: FunctionRef): Promise<FunctionDefinition | undefined> {
    const version = ref.version !== undefined && isVersion(ref.version) ? ref.version : await this.#resolve(ref)
    return version === undefined ? undefined : findVersion(this.#parts.records, ref, version)
  }

  /** The version that a ref without an exact one means. */
  async #resolve(ref: FunctionRef): Promise<string | undefined> {
    if (ref.version !== undefined) checkName(ref.version, "version or alias")
    const found = await this.findFunction(ref)
    return found && resolveVersion(found.record, ref.version)
  }

  async *listFunctions(options: PageOptions = {}): AsyncGenerator<FunctionEntry> {
    const limit = checkLimit(options.limit ?? Number.POSITIVE_INFINITY)
    let listed = 0
    if (limit > 0) {
      for await (const entry of this.#scan(options)) {
        yield entry
        if (++listed === limit) return
      }
    }
  }

  async pageFunctions(options: PageOptions = {}): Promise<FunctionPage> {
    const limit = checkLimit(options.limit ?? DEFAULT_PAGE)
    const functions: FunctionEntry[] = []
    for await (const entry of this.#scan(options)) {
      if (functions.length < limit) functions.push(entry)
      else return { functions, hasMore: true, nextStartAfter: cursorOf(functions.at(-1)) }
    }
    return { functions, hasMore: false }
  }

  /** Functions that match, ordered by namespace and name, after the cursor. */
  async *#scan(options: PageOptions): AsyncGenerator<FunctionEntry> {
    const after = options.startAfter === undefined ? undefined : parseCursor(options.startAfter)
    const keys = await this.#parts.records.keys(functionKeys(options.namespace))
    const refs = keys.flatMap((key) => parseFunctionKey(key) ?? []).sort(byNamespaceAndName)
    const wanted = after === undefined ? refs : refs.filter((ref) => byNamespaceAndName(ref, after) > 0)
    for (let i = 0; i < wanted.length; i += READ_AHEAD) {
      const entries = await Promise.all(wanted.slice(i, i + READ_AHEAD).map((ref) => readableOrNothing(() => this.findFunction(ref))))
      for (const entry of entries) if (entry && matches(entry.record, options)) yield entry
    }
  }

  async *listVersions(ref: FunctionRef): AsyncGenerator<FunctionDefinition> {
    const versions = await deployedVersions(this.#parts.records, ref)
    for (const version of versions) {
      const definition = await readableOrNothing(() => findVersion(this.#parts.records, ref, version))
      if (definition) yield definition
    }
  }

  async history(ref: FunctionRef): Promise<FunctionRevision[]> {
    const entries = await this.#parts.records.history(functionKey(ref.namespace, ref.name))
    return entries.reverse().map((entry) => ({ revision: entry.revision, at: entry.at, ...recordOrProblem(entry) }))
  }

  async setActiveVersion(ref: FunctionRef, version: string, options: ChangeOptions = {}): Promise<FunctionEntry> {
    return this.#change(ref, options, async (record) => {
      const definition = await this.#deployed(ref, record, version)
      return record.activeVersion === definition.version ? undefined : withActive(record, definition)
    })
  }

  async setAlias(ref: FunctionRef, alias: string, version: string, options: ChangeOptions = {}): Promise<FunctionEntry> {
    checkName(alias, "alias")
    return this.#change(ref, options, async (record) => {
      const { version: exact } = await this.#deployed(ref, record, version)
      if (Object.hasOwn(record.aliases, alias) && record.aliases[alias] === exact) return undefined
      return { ...record, aliases: { ...record.aliases, [alias]: exact } }
    })
  }

  async deleteAlias(ref: FunctionRef, alias: string, options: ChangeOptions = {}): Promise<FunctionEntry> {
    checkName(alias, "alias")
    return this.#change(ref, options, async (record) => {
      if (!Object.hasOwn(record.aliases, alias)) return undefined
      const { [alias]: _, ...aliases } = record.aliases
      return { ...record, aliases }
    })
  }

  /** The definition of `version` (exact or alias), which must be there. */
  async #deployed(ref: FunctionRef, record: FunctionRecord, version: string): Promise<FunctionDefinition> {
    const exact = isVersion(version) ? version : resolveVersion(record, checkName(version, "version or alias"))
    const definition = exact === undefined ? undefined : await findVersion(this.#parts.records, ref, exact)
    if (!definition) throw versionNotFound(ref, version)
    return definition
  }

  /** Changes a record by compare-and-set. `change` returns undefined when nothing is to do; it is asked again after a conflict. */
  async #change(
    ref: FunctionRef,
    options: ChangeOptions,
    change: (record: FunctionRecord) => Promise<FunctionRecord | undefined>,
  ): Promise<FunctionEntry> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const entry = await this.getFunction(ref)
      checkRevision(ref, entry.revision, options)
      const changed = await change(entry.record)
      if (!changed) return entry
      const record = { ...changed, generation: entry.record.generation + 1 }
      const revision = await this.#parts.records.write(functionKey(ref.namespace, ref.name), encodeRecord(record), entry.revision)
      if (revision !== undefined) return { record, revision }
    }
    throw staleRevision(ref, `others changed it ${MAX_ATTEMPTS} times in a row`)
  }

  async deleteFunction(ref: FunctionRef, options: ChangeOptions = {}): Promise<void> {
    const { records } = this.#parts
    const key = functionKey(ref.namespace, ref.name)
    // Listed before the record goes, so that a version deployed meanwhile is not taken for one of these.
    const versions = await deployedVersions(records, ref)
    const definitions = await Promise.all(versions.map((version) => records.get(versionKey(ref.namespace, ref.name, version))))
    await this.#deleteRecord(ref, key, options)
    const deleted: { key: string; value: Uint8Array }[] = []
    for (const definition of definitions) {
      if (definition?.value === undefined) continue
      if (await records.delete(definition.key, definition.revision)) deleted.push({ key: definition.key, value: definition.value })
    }
    // Somebody who deployed one of these versions again while we deleted found its definition still there: give it back.
    const again = await readableOrNothing(() => findFunction(records, ref))
    if (!again) return
    const inUse = new Set(
      [again.record.activeVersion, ...Object.values(again.record.aliases)].map((v) => versionKey(ref.namespace, ref.name, v)),
    )
    for (const { key, value } of deleted) if (inUse.has(key)) await restoreValue(records, key, value)
  }

  async #deleteRecord(ref: FunctionRef, key: string, options: ChangeOptions): Promise<void> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const entry = await this.#parts.records.get(key)
      if (entry?.value === undefined) throw functionNotFound(ref)
      checkRevision(ref, entry.revision, options)
      const { problem } = recordOrProblem(entry)
      if (problem?.reason === "SCHEMA_TOO_NEW") throw problem
      if (await this.#parts.records.delete(key, entry.revision)) return
    }
    throw staleRevision(ref, `others changed it ${MAX_ATTEMPTS} times in a row`)
  }

  async deleteVersion(ref: FunctionRef): Promise<void> {
    const { records } = this.#parts
    const version = checkVersion(ref.version ?? "")
    const key = versionKey(ref.namespace, ref.name, version)
    refuseInUse((await this.getFunction(ref)).record, version)
    const definition = await records.get(key)
    if (definition?.value === undefined || !(await records.delete(key, definition.revision))) throw versionNotFound(ref, version)
    // The definition goes first and the record is rewritten after it: whoever promoted this version in between has changed the record, which
    // shows here; whoever would still promote it loses the compare-and-set, looks again and finds it gone.
    try {
      await this.#change(ref, {}, async (record) => {
        refuseInUse(record, version)
        return record
      })
    } catch (thrown) {
      const reason = FnError.is(thrown) ? thrown.reason : undefined
      if (reason === "FUNCTION_NOT_FOUND") return
      await restoreValue(records, key, definition.value)
      throw thrown
    }
  }

  async watch(options: WatchOptions): Promise<void> {
    const { signal } = options
    if (signal?.aborted) throw FnError.of("CANCELLED", "the watch was cancelled before it began")
    const watch = this.#watch(functionKeys(), options.onChange)
    signal?.addEventListener("abort", () => this.#stop(watch), { once: true })
    try {
      await watch.ready
    } catch (thrown) {
      this.#stop(watch)
      throw thrown
    }
  }

  follow(ref: FunctionRef, onChange: (change: FunctionChange) => void): () => void {
    const watch = this.#watch(functionKey(ref.namespace, ref.name), onChange)
    watch.ready.catch((thrown: unknown) => {
      if (FnError.is(thrown) && thrown.reason === "CANCELLED") return
      this.#parts.logger.warn("registry entry not read yet", { namespace: ref.namespace, name: ref.name, error: messageOf(thrown) })
    })
    return () => this.#stop(watch)
  }

  #watch(filter: string, onChange: (change: FunctionChange) => void): StoreWatch {
    if (this.#closed) throw FnError.of("CANCELLED", "the registry is closed")
    const watch = this.#parts.records.watch(filter, (entry) => {
      const { namespace = "", name = "" } = parseFunctionKey(entry.key) ?? {}
      try {
        onChange({ namespace, name, key: entry.key, revision: entry.revision, ...recordOrProblem(entry) })
      } catch (thrown) {
        this.#parts.logger.error("a registry watcher threw", { key: entry.key, error: messageOf(thrown) })
      }
    })
    this.#watches.add(watch)
    return watch
  }

  #stop(watch: StoreWatch): void {
    this.#watches.delete(watch)
    watch.stop()
  }

  close(): Promise<void> {
    if (!this.#closed) {
      for (const watch of [...this.#watches]) this.#stop(watch)
      this.#closed = this.#parts.records.close().finally(() => this.#parts.onClosed?.())
    }
    return this.#closed
  }
}

/** What an entry says: a record, why it cannot be read, or nothing when it is a deletion. */
function recordOrProblem(entry: Pick<StoredEntry, "key" | "value">): { record?: FunctionRecord; problem?: FnError } {
  if (entry.value === undefined) return {}
  try {
    return { record: decodeRecord(entry.key, entry.value) }
  } catch (thrown) {
    return { problem: FnError.from(thrown, "data_loss", "RECORD_CORRUPT") }
  }
}

/** What `read` resolves with; undefined for an entry that cannot be decoded. Other failures stay failures. */
async function readableOrNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (thrown) {
    if (FnError.is(thrown) && (thrown.reason === "RECORD_CORRUPT" || thrown.reason === "SCHEMA_TOO_NEW")) return undefined
    throw thrown
  }
}

function resolveVersion(record: FunctionRecord, alias: string | undefined): string | undefined {
  if (alias === undefined) return record.activeVersion
  return Object.hasOwn(record.aliases, alias) ? record.aliases[alias] : undefined
}

function refuseInUse(record: FunctionRecord, version: string): void {
  const aliases = Object.keys(record.aliases).filter((alias) => record.aliases[alias] === version)
  if (record.activeVersion !== version && aliases.length === 0) return
  const why = record.activeVersion === version ? "it is the active version" : `alias ${aliases.join(", ")} names it`
  throw FnError.of("VERSION_IN_USE", `${record.namespace}/${record.name}@${version} cannot be deleted: ${why}`, { details: { aliases } })
}

function checkRevision(ref: FunctionRef, revision: number, options: ChangeOptions): void {
  if (options.revision === undefined || options.revision === revision) return
  throw staleRevision(ref, `it is at revision ${revision}, not ${options.revision}`)
}

function matches(record: FunctionRecord, filter: FunctionFilter): boolean {
  if (filter.language !== undefined && record.language !== filter.language) return false
  if (filter.runtime !== undefined && record.runtime !== filter.runtime) return false
  for (const [key, value] of Object.entries(filter.metadata ?? {})) {
    if (!Object.hasOwn(record.metadata, key) || record.metadata[key] !== value) return false
  }
  return true
}

function checkLimit(limit: number): number {
  if (limit === Number.POSITIVE_INFINITY || (Number.isInteger(limit) && limit > 0)) return limit
  throw FnError.of("INVALID_REQUEST", `limit must be a positive whole number, not ${limit}`)
}

type Position = { readonly namespace: string; readonly name: string }

// By code unit, not by locale: pages must not depend on where they are made.
function byNamespaceAndName(a: Position, b: Position): number {
  return byText(a.namespace, b.namespace) || byText(a.name, b.name)
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function cursorOf(entry: FunctionEntry | undefined): string {
  return Buffer.from(`${entry?.record.namespace}/${entry?.record.name}`).toString("base64url")
}

function parseCursor(cursor: string): Position {
  const [namespace = "", name = ""] = Buffer.from(cursor, "base64url").toString("utf8").split("/")
  try {
    return { namespace: checkNamespace(namespace), name: checkName(name) }
  } catch {
    throw FnError.of("INVALID_REQUEST", `${JSON.stringify(cursor)} is no startAfter of an earlier page`)
  }
}
