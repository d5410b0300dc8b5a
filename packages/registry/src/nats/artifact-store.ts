/**
 * Artifacts in an object store bucket per namespace, named by the hex digits of their SHA-256.
 *
 * An object is written once: a reader of one that is overwritten finds its chunks gone. Every read is hashed.
 */
import { createReadStream } from "node:fs"
import { type FileHandle, open, rename, rm } from "node:fs/promises"
import { checkNamespace, FnError, newId } from "@fn/core"
import { findObject, type NatsConnection, type ReplyInbox, readObject, writeObject } from "@fn/nats"
import type { JetStreamClient } from "@nats-io/jetstream"
import { type ObjectInfo, type ObjectStore, Objm } from "@nats-io/obj"
import { artifactNotFound, describeArtifact, digestHex, digestMismatch } from "../artifact-digest.js"
import type { ArtifactSource, ArtifactStore } from "../registry.js"
import { registryError, withTimeout } from "./errors.js"

/** A chunk that takes longer has failed, written or read. */
const CHUNK_TIMEOUT_MS = 10_000
/** Small enough not to hold up the messages that share the connection. */
const CHUNK_BYTES = 131_072
/** Room for the headers of a chunk where the server takes only small messages. */
const HEADER_BYTES = 512
/** Chunks on their way at once. */
const WINDOW = 16
const READ_BYTES = 1_048_576

/** What a NatsArtifacts works with. */
export interface NatsArtifactsOptions {
  readonly nc: NatsConnection
  readonly js: JetStreamClient
  readonly inbox: ReplyInbox
  readonly jsDomain?: string | undefined
  /** Name of a namespace's bucket. */
  bucket(namespace: string): string
  /** Makes a namespace's bucket; nothing happens if it is there. */
  createBucket(namespace: string): Promise<void>
}

/** See {@link ArtifactStore}. */
export class NatsArtifacts implements ArtifactStore {
  readonly #options: NatsArtifactsOptions
  readonly #objm: Objm
  readonly #made = new Set<string>()

  constructor(options: NatsArtifactsOptions) {
    this.#options = options
    this.#objm = new Objm(options.js)
  }

  async put(
    namespace: string,
    artifact: ArtifactSource,
    options: { readonly onProgress?: (sentBytes: number, sizeBytes: number) => void } = {},
  ): Promise<{ digest: string; sizeBytes: number }> {
    checkNamespace(namespace)
    const { digest, sizeBytes } = await describeArtifact(artifact)
    if (!this.#made.has(namespace)) {
      await this.#options.createBucket(namespace)
      this.#made.add(namespace)
    }
    const store = await this.#open(namespace)
    const stored = await info(store, digest)
    // Read back, not just looked up: deploying again is how a damaged artifact is mended.
    if (stored && !stored.deleted && (await this.#isIntact(namespace, digest))) {
      options.onProgress?.(sizeBytes, sizeBytes)
    } else {
      await this.#write(namespace, digest, artifact, stored, (sentBytes) => options.onProgress?.(sentBytes, sizeBytes))
      const written = await info(store, digest)
      if (written?.deleted || written?.size !== sizeBytes) throw digestMismatch(namespace, digest)
    }
    return { digest, sizeBytes }
  }

  async get(namespace: string, digest: string): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    await this.#read(namespace, digest, (chunk) => void chunks.push(chunk))
    return Buffer.concat(chunks)
  }

  async getToFile(namespace: string, digest: string, path: string): Promise<void> {
    const partial = `${path}.${newId()}.partial`
    let file: FileHandle | undefined
    try {
      file = await open(partial, "wx", 0o600)
      const target = file
      await this.#read(namespace, digest, (chunk) => target.writeFile(chunk))
      await file.close()
      file = undefined
      await rename(partial, path)
    } catch (thrown) {
      await file?.close()
      await rm(partial, { force: true })
      throw thrown
    }
  }

  /** Writes an object over what is stored. Losing to somebody who wrote the same bytes is a success. */
  async #write(
    namespace: string,
    digest: string,
    artifact: ArtifactSource,
    stored: ObjectInfo | undefined,
    onStored: (sentBytes: number) => void,
  ): Promise<void> {
    const { nc, inbox, jsDomain } = this.#options
    const hex = digestHex(digest)
    const chunkBytes = Math.min(CHUNK_BYTES, (nc.info?.max_payload ?? CHUNK_BYTES + HEADER_BYTES) - HEADER_BYTES)
    const sha256 = Buffer.from(hex, "hex").toString("base64url")
    const options = {
      jsDomain,
      chunkBytes,
      timeoutMs: CHUNK_TIMEOUT_MS,
      window: WINDOW,
      replacing: { seq: stored?.revision ?? 0, nuid: stored?.deleted ? undefined : stored?.nuid },
      onStored,
      // Bytes in memory are those whose digest was taken; a file may have changed.
      ...(artifact instanceof Uint8Array ? { sha256 } : { expectedSha256: sha256 }),
    }
    try {
      await writeObject(inbox, { bucket: this.#options.bucket(namespace), name: hex }, bytesOf(artifact), options)
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (error.reason === "STALE_REVISION") return
      if (error.reason === "DIGEST_MISMATCH")
        throw FnError.of("INVALID_ARTIFACT", "the artifact changed while it was deployed", { cause: error })
      if (error.reason !== "JETSTREAM_UNAVAILABLE" && error.reason !== "DEADLINE_EXCEEDED") throw error
      throw FnError.of("REGISTRY_TIMEOUT", `storing artifact ${digest}: ${error.message}`, { cause: error })
    }
  }

  async #isIntact(namespace: string, digest: string): Promise<boolean> {
    try {
      await this.#read(namespace, digest, () => undefined)
      return true
    } catch (thrown) {
      if (FnError.is(thrown) && thrown.reason === "DIGEST_MISMATCH") return false
      throw thrown
    }
  }

  /** Hands the object's bytes to `onChunk`, one chunk at a time, and checks their digest at the end. */
  async #read(namespace: string, digest: string, onChunk: (chunk: Uint8Array) => void | Promise<void>): Promise<void> {
    checkNamespace(namespace)
    const hex = digestHex(digest)
    const { inbox, jsDomain } = this.#options
    const options = { jsDomain, timeoutMs: CHUNK_TIMEOUT_MS }
    const bucket = this.#options.bucket(namespace)
    try {
      // The leader, who knows of what was deployed just now, and of buckets that are not there.
      const object = await findObject(inbox, bucket, hex, { ...options, fromLeader: true }).catch(unlessNoBucket)
      if (!object) throw artifactNotFound(namespace, digest)
      if (object.digest !== wireDigest(hex)) throw digestMismatch(namespace, digest)
      await readObject(inbox, object, onChunk, options)
    } catch (thrown) {
      throw readError(thrown, namespace, digest)
    }
  }

  async #open(namespace: string): Promise<ObjectStore> {
    const bucket = this.#options.bucket(namespace)
    try {
      return await this.#objm.open(bucket, false)
    } catch (thrown) {
      throw registryError(thrown, `opening bucket ${bucket}`)
    }
  }
}

async function info(store: ObjectStore, digest: string): Promise<ObjectInfo | undefined> {
  return (await withTimeout(store.info(digestHex(digest)), CHUNK_TIMEOUT_MS, `looking for artifact ${digest}`)) ?? undefined
}

/** The artifact, to be read as often as need be. */
function bytesOf(artifact: ArtifactSource): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (artifact instanceof Uint8Array) return [artifact]
  const { path } = artifact
  return {
    [Symbol.asyncIterator]: () =>
      createReadStream(path, { highWaterMark: READ_BYTES })[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>,
  }
}

function unlessNoBucket(thrown: unknown): undefined {
  if (FnError.from(thrown).reason !== "NOT_SET_UP") throw thrown
  return undefined
}

/** The digest as an object store writes it. */
function wireDigest(hex: string): string {
  return `SHA-256=${Buffer.from(hex, "hex").toString("base64url")}=`
}

function readError(thrown: unknown, namespace: string, digest: string): unknown {
  if (!FnError.is(thrown)) return thrown
  if (thrown.reason === "DIGEST_MISMATCH") return digestMismatch(namespace, digest, thrown)
  if (thrown.reason !== "JETSTREAM_UNAVAILABLE" && thrown.reason !== "DEADLINE_EXCEEDED") return thrown
  return FnError.of("REGISTRY_TIMEOUT", `reading artifact ${digest} of namespace ${namespace}: ${thrown.message}`, { cause: thrown })
}
