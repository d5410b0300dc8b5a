/**
 * Artifacts in an object store bucket per namespace, named by the hex digits of their SHA-256.
 *
 * An object is written once: a reader of one that is overwritten finds its chunks gone. Every read is hashed.
 */
import { createReadStream } from "node:fs"
import { type FileHandle, open, rename, rm } from "node:fs/promises"
import { checkNamespace, FnError, newId } from "@fn/core"
import { findObject, type ReplyInbox, readObject } from "@fn/nats"
import type { JetStreamClient } from "@nats-io/jetstream"
import { type ObjectInfo, type ObjectStore, Objm } from "@nats-io/obj"
import { artifactNotFound, describeArtifact, digestHex, digestMismatch } from "../artifact-digest.js"
import type { ArtifactSource, ArtifactStore } from "../registry.js"
import { isConflict, registryError, withTimeout } from "./errors.js"

/** A chunk that takes longer has failed, written or read. */
const CHUNK_TIMEOUT_MS = 10_000
/** Small enough not to hold up the messages that share the connection. */
const CHUNK_BYTES = 131_072

/** What a NatsArtifacts works with. */
export interface NatsArtifactsOptions {
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
      await write(store, digest, artifact, stored?.revision ?? 0, (sentBytes) => options.onProgress?.(sentBytes, sizeBytes))
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

/** Writes an object over `revision`. Losing to somebody who wrote the same bytes is a success. */
async function write(
  store: ObjectStore,
  digest: string,
  artifact: ArtifactSource,
  revision: number,
  onSent: (sentBytes: number) => void,
): Promise<void> {
  const meta = { name: digestHex(digest), options: { max_chunk_size: CHUNK_BYTES } }
  try {
    await store.put(meta, byteStream(artifact, onSent), { timeout: CHUNK_TIMEOUT_MS, previousRevision: revision })
  } catch (thrown) {
    if (!isConflict(thrown)) throw registryError(thrown, `storing artifact ${digest}`)
  }
}

/** The artifact in chunks; `onSent` is told as each is asked for, which is when the one before was acknowledged. */
function byteStream(artifact: ArtifactSource, onSent: (sentBytes: number) => void): ReadableStream<Uint8Array> {
  const chunks = artifact instanceof Uint8Array ? slices(artifact) : createReadStream(artifact.path, { highWaterMark: CHUNK_BYTES })
  const iterator = chunks[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  let sentBytes = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        onSent(sentBytes)
        if (done) controller.close()
        else {
          sentBytes += value.byteLength
          controller.enqueue(value)
        }
      },
      async cancel() {
        await iterator.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES)
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
