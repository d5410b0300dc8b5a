/**
 * What a registry offers, wherever it keeps its records: NATS (connectRegistry) or memory (createMemoryRegistry).
 *
 * Names, versions and refs are checked on the way in (INVALID_NAME, INVALID_VERSION). Where a method takes a `FunctionRef`, its `version`
 * may be an alias. A version is immutable; the function record says which one is active and is only ever changed by compare-and-set.
 */
import type { FnError, FnErrorData, FunctionRef, RuntimeKind } from "@fn/core"
import type { FunctionDefinition, FunctionEntry, FunctionManifest, FunctionRecord } from "./definition.js"

/** Bytes in memory, or the file that has them. */
export type ArtifactSource = Uint8Array | { readonly path: string }

/** How far a deploy is. */
export type DeployProgress =
  | { readonly step: "upload"; readonly sentBytes: number; readonly sizeBytes: number }
  | { readonly step: "commit"; readonly version: string }
  | { readonly step: "hosts"; readonly found: number; readonly answered: number }

/** Options of {@link Registry.deploy}. */
export interface DeployOptions {
  /** The runnable file. Needed by module and wasm, and by plugin and command unless their `command` names no `{artifact}`. */
  readonly artifact?: ArtifactSource | undefined
  /** What the artifact is called on a host. Default: the artifact's or the entry's own name; a module's bytes are `{name}.mjs`. */
  readonly fileName?: string | undefined
  /** Whether the artifact is an archive of several files (packArchive), which hosts unpack. Needs a `command` that names `{artifact}`. */
  readonly archive?: boolean | undefined
  /** Digest of the source, for people; no part of the version's identity. */
  readonly sourceDigest?: string | undefined
  /** Who deploys. Default: `unknown`. */
  readonly deployedBy?: string | undefined
  /** Whether to wait, up to 5 s, until every live host serves the new version or has said why not. Default true. */
  readonly awaitServed?: boolean | undefined
  /** Called as the deploy goes on. Must not throw. */
  readonly onProgress?: ((progress: DeployProgress) => void) | undefined
}

/** How one host took a deploy. */
export interface HostResult {
  readonly host: string
  readonly served: boolean
  /** Why it does not serve the version, if it said so. */
  readonly error?: FnErrorData
}

/** What a deploy did. */
export interface DeployResult {
  readonly ref: Required<FunctionRef>
  /** KV revision of the function record. */
  readonly revision: number
  /** Digest of the artifact, if there is one. */
  readonly digest?: string
  /** The version was deployed and active already, with the same content: nothing was written. */
  readonly unchanged: boolean
  /** Sentences for the person who deploys. */
  readonly warnings: readonly string[]
  /** The live hosts; empty without `awaitServed`. */
  readonly hosts: readonly HostResult[]
}

/** What {@link Registry.listFunctions} and {@link Registry.pageFunctions} select by; all given must match. */
export interface FunctionFilter {
  readonly namespace?: string | undefined
  readonly language?: string | undefined
  readonly runtime?: RuntimeKind | undefined
  /** Every pair must be in the function's metadata. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** A filter and which part of its result. */
export interface PageOptions extends FunctionFilter {
  /** Most functions to return. Default 100 for a page, without end for a list. */
  readonly limit?: number | undefined
  /** `nextStartAfter` of the page before. Opaque. */
  readonly startAfter?: string | undefined
}

/** One page of functions, ordered by namespace and name. */
export interface FunctionPage {
  readonly functions: readonly FunctionEntry[]
  readonly hasMore: boolean
  /** Where the next page starts, if there is one. */
  readonly nextStartAfter?: string
}

/** Options of a change: which revision the caller believes to change. */
export interface ChangeOptions {
  /** Fail with STALE_REVISION unless the record is still at this revision. Default: whatever is there. */
  readonly revision?: number | undefined
}

/** What became of one function. */
export interface FunctionChange {
  /** Empty when the key names no function (see `problem`). */
  readonly namespace: string
  readonly name: string
  /** KV key, `f.{namespace}.{name}`. */
  readonly key: string
  readonly revision: number
  /** Absent: deleted, or unreadable (see `problem`). */
  readonly record?: FunctionRecord
  /** Why the record cannot be used: RECORD_CORRUPT or SCHEMA_TOO_NEW. What an earlier revision said no longer holds. */
  readonly problem?: FnError
}

/** One revision of a function's record. */
export interface FunctionRevision {
  readonly revision: number
  /** ISO time of the write. */
  readonly at: string
  /** Absent: deleted, or unreadable (see `problem`). */
  readonly record?: FunctionRecord
  readonly problem?: FnError
}

/** Options of {@link Registry.watch}. */
export interface WatchOptions {
  /** Called once per new revision of a function, in revision order per function, never twice for one. */
  readonly onChange: (change: FunctionChange) => void
  /** Ends the watch. */
  readonly signal?: AbortSignal | undefined
}

/** Where artifacts lie: named by their SHA-256, written once, per namespace. Digests are `sha256:` and 64 hex digits. */
export interface ArtifactStore {
  /** Stores `artifact` unless an intact copy is there already. @throws {FnError} STORAGE_FULL, REGISTRY_TIMEOUT */
  put(
    namespace: string,
    artifact: ArtifactSource,
    options?: { readonly onProgress?: (sentBytes: number, sizeBytes: number) => void },
  ): Promise<{ digest: string; sizeBytes: number }>
  /** The verified bytes. @throws {FnError} ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, REGISTRY_TIMEOUT */
  get(namespace: string, digest: string): Promise<Uint8Array>
  /** Writes the verified bytes to `path`, which appears only when it is complete. @throws {FnError} as {@link get} */
  getToFile(namespace: string, digest: string, path: string): Promise<void>
}

/** Functions, their versions and artifacts. Every method may throw REGISTRY_TIMEOUT when the store does not answer. */
export interface Registry {
  readonly artifacts: ArtifactStore

  /**
   * Stores a version and makes it the active one: artifact, then definition, then function record. Repeating a deploy changes nothing.
   * @throws {FnError} INVALID_DEFINITION, INVALID_ARTIFACT; FEATURE_UNSUPPORTED, ISOLATION_UNAVAILABLE for what this release cannot do;
   *   VERSION_EXISTS when the version has other content; LANGUAGE_FIXED; SCHEMA_TOO_NEW
   */
  deploy(manifest: FunctionManifest, options?: DeployOptions): Promise<DeployResult>

  /** @throws {FnError} FUNCTION_NOT_FOUND, RECORD_CORRUPT, SCHEMA_TOO_NEW */
  getFunction(ref: FunctionRef): Promise<FunctionEntry>
  /** @throws {FnError} RECORD_CORRUPT, SCHEMA_TOO_NEW */
  findFunction(ref: FunctionRef): Promise<FunctionEntry | undefined>
  /** The definition of `ref.version` (exact or alias), without one of the active version. @throws {FnError} FUNCTION_NOT_FOUND, VERSION_NOT_FOUND, RECORD_CORRUPT, SCHEMA_TOO_NEW */
  getDefinition(ref: FunctionRef): Promise<FunctionDefinition>
  /** As {@link getDefinition}, undefined for what is not there. */
  findDefinition(ref: FunctionRef): Promise<FunctionDefinition | undefined>

  /** Functions by namespace and name. Unreadable records are left out; {@link watch} reports them. */
  listFunctions(options?: PageOptions): AsyncIterable<FunctionEntry>
  pageFunctions(options?: PageOptions): Promise<FunctionPage>
  /** Definitions of a function, newest version first. Unreadable ones are left out. */
  listVersions(ref: FunctionRef): AsyncIterable<FunctionDefinition>
  /** The last revisions of a function's record (at most 10), newest first; also of a deleted function. */
  history(ref: FunctionRef): Promise<FunctionRevision[]>

  /** Promotes: makes a deployed version (exact or alias) the active one. @throws {FnError} FUNCTION_NOT_FOUND, VERSION_NOT_FOUND, STALE_REVISION */
  setActiveVersion(ref: FunctionRef, version: string, options?: ChangeOptions): Promise<FunctionEntry>
  /** Lets `alias` name a deployed version. @throws {FnError} FUNCTION_NOT_FOUND, VERSION_NOT_FOUND, STALE_REVISION */
  setAlias(ref: FunctionRef, alias: string, version: string, options?: ChangeOptions): Promise<FunctionEntry>
  /** Forgets `alias`; nothing happens if it is not there. @throws {FnError} FUNCTION_NOT_FOUND, STALE_REVISION */
  deleteAlias(ref: FunctionRef, alias: string, options?: ChangeOptions): Promise<FunctionEntry>

  /** Deletes the function and all its versions; artifacts stay. @throws {FnError} FUNCTION_NOT_FOUND, STALE_REVISION */
  deleteFunction(ref: FunctionRef, options?: ChangeOptions): Promise<void>
  /** Deletes one version. @throws {FnError} FUNCTION_NOT_FOUND, VERSION_NOT_FOUND; VERSION_IN_USE when it is active or has an alias */
  deleteVersion(ref: FunctionRef): Promise<void>

  /**
   * Follows all functions. Resolves when every present function was delivered; then goes on until `signal` aborts or the registry closes.
   * Changes missed while the connection was down are delivered after it is back.
   */
  watch(options: WatchOptions): Promise<void>
  /** Follows one function: its present record first (nothing if it does not exist), then every change. Returns how to stop. */
  follow(ref: FunctionRef, onChange: (change: FunctionChange) => void): () => void

  /** Ends all watches. The NATS connection stays open: who opened it closes it. */
  close(): Promise<void>
}
