/** Reading and restoring typed entries of a RecordStore: what deploy.ts and store-registry.ts share. */
import { compareVersions, FnError, type FunctionRef, formatRef, type Logger } from "@fn/core"
import { decodeDefinition, decodeRecord, encodeDefinition } from "./codec.js"
import type { FunctionDefinition, FunctionEntry, FunctionRecord, HostRequest } from "./definition.js"
import { functionKey, parseVersionKey, versionKey, versionKeys } from "./keys.js"
import type { RecordStore } from "./record-store.js"
import type { ArtifactStore, DeployProgress, HostResult } from "./registry.js"

/** What a registry is made of. */
export interface RegistryParts {
  readonly records: RecordStore
  readonly artifacts: ArtifactStore
  readonly logger: Logger
  /** Waits until the live hosts have taken a deploy. Absent: there are none to ask. */
  readonly awaitServed?: AwaitServed
  /** Ends what the parts share, when the registry is closed. */
  onClosed?(): void
}

/**
 * Looks for the live hosts, which takes its time: meanwhile the caller has other things to do. What it gives waits until each of them serves
 * `revision` of a function, or said why not, or the time is up; it never rejects.
 */
export type AwaitServed = () => (
  ref: FunctionRef,
  revision: number,
  onProgress: (progress: DeployProgress) => void,
) => Promise<{ hosts: HostResult[]; warnings: string[] }>

/** Attempts at one compare-and-set change. Every conflict is somebody else's success, so this many in a row are a fault. */
export const MAX_ATTEMPTS = 100

/** The record of a function, if it has one. @throws {FnError} RECORD_CORRUPT, SCHEMA_TOO_NEW */
export async function findFunction(records: RecordStore, ref: FunctionRef): Promise<FunctionEntry | undefined> {
  const key = functionKey(ref.namespace, ref.name)
  const entry = await records.get(key)
  return entry?.value === undefined ? undefined : { record: decodeRecord(key, entry.value), revision: entry.revision }
}

/** The definition of an exact version, if it is there. @throws {FnError} RECORD_CORRUPT, SCHEMA_TOO_NEW */
export async function findVersion(records: RecordStore, ref: FunctionRef, version: string): Promise<FunctionDefinition | undefined> {
  const key = versionKey(ref.namespace, ref.name, version)
  const entry = await records.get(key)
  return entry?.value === undefined ? undefined : decodeDefinition(key, entry.value)
}

/** Versions of a function that are deployed, newest first. */
export async function deployedVersions(records: RecordStore, ref: FunctionRef): Promise<string[]> {
  const keys = await records.keys(versionKeys(ref.namespace, ref.name))
  const versions = keys.flatMap((key) => parseVersionKey(key) ?? [])
  return versions.sort((a, b) => compareVersions(b, a))
}

/** Writes a definition if its key is free; false when it is taken. */
export async function createDefinition(records: RecordStore, definition: FunctionDefinition): Promise<boolean> {
  return restoreValue(records, versionKey(definition.namespace, definition.name, definition.version), encodeDefinition(definition))
}

/** Writes `value` under `key` if the key is free; false when it is taken. */
export async function restoreValue(records: RecordStore, key: string, value: Uint8Array): Promise<boolean> {
  const entry = await records.get(key)
  if (entry?.value !== undefined) return false
  return (await records.write(key, value, entry?.revision ?? 0)) !== undefined
}

/** `record` with what it says of its active version taken from that version's definition. */
export function withActive<T extends Partial<FunctionRecord>>(
  record: T,
  definition: FunctionDefinition,
): Omit<T, "maxPending" | "asks"> & Pick<FunctionRecord, "activeVersion" | "runtime" | "metadata" | "maxPending" | "asks"> {
  const { maxPending: _maxPending, asks: _asks, ...kept } = record
  const { version, runtime, metadata, queue } = definition
  const maxPending = queue?.maxPending === undefined ? {} : { maxPending: queue.maxPending }
  const asks = hostRequest(definition)
  return { ...kept, activeVersion: version, runtime, metadata, ...maxPending, ...(asks ? { asks } : {}) }
}

/** A record has 2 KB for everything. */
const MAX_REQUEST_BYTES = 1024

function hostRequest({ version, isolation, memoryMb, cpu, cpuTimeMs, pids }: FunctionDefinition): HostRequest | undefined {
  const asked = Object.entries({ isolation, memoryMb, cpu, cpuTimeMs, pids }).filter(([, value]) => value !== undefined)
  const request = { version, ...Object.fromEntries(asked) }
  return asked.length > 0 && JSON.stringify(request).length <= MAX_REQUEST_BYTES ? request : undefined
}

/** An error for a function that is not there. */
export function functionNotFound(ref: FunctionRef): FnError {
  return FnError.of("FUNCTION_NOT_FOUND", `there is no function ${ref.namespace}/${ref.name}`, {
    details: { namespace: ref.namespace, name: ref.name },
  })
}

/** An error for a version or alias that is not there. */
export function versionNotFound(ref: FunctionRef, version: string): FnError {
  return FnError.of("VERSION_NOT_FOUND", `${ref.namespace}/${ref.name} has no version or alias ${version}`, {
    details: { namespace: ref.namespace, name: ref.name, version },
  })
}

/** An error for a change that lost to others too often, or to one when the caller named the revision. */
export function staleRevision(ref: FunctionRef, why: string): FnError {
  return FnError.of("STALE_REVISION", `the record of ${formatRef({ namespace: ref.namespace, name: ref.name })} was not changed: ${why}`)
}
