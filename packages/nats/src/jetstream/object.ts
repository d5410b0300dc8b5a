/**
 * Objects of an object store bucket (ADR-20), read and written message by message.
 *
 * The client's own `get` makes a consumer that the server keeps for five minutes after each read, and buffers without regard to who reads;
 * this asks for the chunks one by one, a few ahead, and holds no more than those. What is written here any client of NATS reads.
 */
import { createHash } from "node:crypto"
import { FnError, headerLine, newId } from "@fn/core"
import type { ReplyInbox } from "../inbox/reply-inbox.js"
import { mayBeRepeated, publishAcked } from "./publish.js"
import { requestApi } from "./request.js"
import { findMessage, type MessageQuery, type ReadOptions, type StoredMessage } from "./stored-message.js"

/** What a bucket says of an object. */
export interface StoredObject {
  readonly bucket: string
  readonly name: string
  /** Token of its chunks' subject. */
  readonly nuid: string
  readonly sizeBytes: number
  readonly chunks: number
  /** `SHA-256=` and the digest in base64url. */
  readonly digest: string
}

/** How an object is written. */
export interface WriteOptions {
  readonly jsDomain?: string | undefined
  /** Size of a message, below the server's max_payload. */
  readonly chunkBytes: number
  /** For each message, repeats included, ms. Default 10 000. */
  readonly timeoutMs?: number
  /**
   * Chunks on their way at once, default 1. More of them are several times as fast, and need a source that can be read from its beginning again: a
   * chunk that was lost is not sent behind those that came after it; everything is, one by one.
   */
  readonly window?: number
  /** SHA-256 of all bytes in base64url without padding, where it is known. Default: it is computed on the way. */
  readonly sha256?: string | undefined
  /** What it must turn out to be, in the same form: else nothing is written, DIGEST_MISMATCH. */
  readonly expectedSha256?: string | undefined
  /** What the name stands for now: written only if that is still so, and its chunks are removed then. Default: whatever is there. */
  readonly replacing?: { readonly seq: number; readonly nuid?: string | undefined }
  /** Told after each acknowledged chunk how many bytes are stored. */
  readonly onStored?: (bytes: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Chunks on their way at once: hides the round trip, and bounds what a slow reader makes us hold. */
const WINDOW = 4
const WRITE_TIMEOUT_MS = 10_000
const DIGEST = "SHA-256="

/** The object of a name; undefined when there is none, it was deleted, or it is a link. @throws {FnError} as {@link findMessage} */
export async function findObject(
  inbox: ReplyInbox,
  bucket: string,
  name: string,
  options: ReadOptions = {},
): Promise<StoredObject | undefined> {
  const found = await findAnywhere(inbox, streamOf(bucket), { lastOf: metaSubject(bucket, name) }, options)
  return found && readMeta(found, bucket, name)
}

/**
 * Hands the bytes of an object to `onChunk` in order, waiting for it, and checks them at the end.
 * @throws {FnError} data_loss DIGEST_MISMATCH when bytes are missing or wrong; what `onChunk` throws; as {@link findMessage}
 */
export async function readObject(
  inbox: ReplyInbox,
  object: StoredObject,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
  options: ReadOptions = {},
): Promise<void> {
  const hash = createHash("sha256")
  let sizeBytes = 0
  for await (const chunk of chunksOf(inbox, object, options)) {
    sizeBytes += chunk.length
    if (sizeBytes > object.sizeBytes) break
    hash.update(chunk)
    await onChunk(chunk)
  }
  const digest = hash.digest("base64url")
  if (sizeBytes !== object.sizeBytes || !object.digest.startsWith(DIGEST + digest))
    throw FnError.of("DIGEST_MISMATCH", `object ${object.name} of bucket ${object.bucket} is damaged: its bytes have another digest`)
}

/** The chunks in order. A missing one ends them. */
async function* chunksOf(inbox: ReplyInbox, object: StoredObject, options: ReadOptions): AsyncGenerator<Uint8Array> {
  const stream = streamOf(object.bucket)
  const subject = chunkSubject(object.bucket, object.nuid)
  const asked: Promise<StoredMessage | undefined>[] = []
  let lastAsked = 0
  let last = 0
  const ask = (): void => {
    // Most often they lie side by side. Where others lie between, two questions have one answer, and the next skips ahead.
    lastAsked = Math.max(lastAsked, last) + 1
    const answer = findAnywhere(inbox, stream, { nextOf: subject, from: lastAsked }, options)
    answer.catch(() => undefined) // heard when its turn comes
    asked.push(answer)
  }
  try {
    for (let given = 0; given < object.chunks; ) {
      const ahead = given === 0 ? 1 : Math.min(WINDOW, object.chunks - given)
      while (asked.length < ahead) ask()
      const chunk = await (asked.shift() as Promise<StoredMessage | undefined>)
      if (!chunk) return
      if (chunk.seq <= last) continue
      last = chunk.seq
      given++
      yield chunk.data
    }
  } finally {
    // Whoever stopped early does not want to hear of these.
    await Promise.allSettled(asked)
  }
}

/**
 * Writes an object. A name is written once: a reader of one that is overwritten finds its chunks gone.
 * @throws {FnError} STORAGE_FULL, PAYLOAD_TOO_LARGE, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED, DIGEST_MISMATCH,
 *   STALE_REVISION (the name stands for something else than what is to be replaced); what it had written is removed then, if that may be done, and else goes with the bucket's age
 */
export async function writeObject(
  inbox: ReplyInbox,
  target: { readonly bucket: string; readonly name: string },
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: WriteOptions,
): Promise<StoredObject> {
  const { window = 1, replacing } = options
  const object = await write(inbox, target, source, options, window).catch((thrown: unknown) => {
    if (window === 1 || !mayBeRepeated(FnError.from(thrown))) throw thrown
    return write(inbox, target, source, options, 1)
  })
  // Nobody finds them any more: what cannot be removed costs room and nothing else.
  if (replacing?.nuid) await purge(inbox, target.bucket, chunkSubject(target.bucket, replacing.nuid), options).catch(() => undefined)
  return object
}

async function write(
  inbox: ReplyInbox,
  { bucket, name }: { readonly bucket: string; readonly name: string },
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: WriteOptions,
  window: number,
): Promise<StoredObject> {
  const nuid = newId()
  const { replacing } = options
  try {
    const written = await writeChunks(inbox, chunkSubject(bucket, nuid), source, options, window)
    const { expectedSha256 } = options
    if (expectedSha256 !== undefined && written.digest !== `${DIGEST}${expectedSha256}=`)
      throw FnError.of("DIGEST_MISMATCH", `the bytes of object ${name} are not those that were announced`)
    const expected = replacing ? headerLine("Nats-Expected-Last-Subject-Sequence", replacing.seq) : ""
    const meta = { name, bucket, nuid, ...written, mtime: new Date().toISOString(), options: { max_chunk_size: options.chunkBytes } }
    await publishAcked(inbox, metaSubject(bucket, name), {
      ...published(options),
      lines: headerLine("Nats-Rollup", "sub") + headerLine("Nats-Msg-Id", `${nuid}:meta`) + expected,
      data: JSON.stringify(meta),
    })
    return { bucket, name, nuid, sizeBytes: written.size, chunks: written.chunks, digest: written.digest }
  } catch (thrown) {
    const cleanUp = purge(inbox, bucket, chunkSubject(bucket, nuid), { jsDomain: options.jsDomain, timeoutMs: 2_000 })
    await cleanUp.catch(() => undefined) // why the write failed matters more
    throw thrown
  }
}

async function writeChunks(
  inbox: ReplyInbox,
  subject: string,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: WriteOptions,
  window: number,
): Promise<{ size: number; chunks: number; digest: string }> {
  const hash = options.sha256 === undefined ? createHash("sha256") : undefined
  const sending: Promise<unknown>[] = []
  let size = 0
  let chunks = 0
  let stored = 0
  const send = async (data: Uint8Array, lines: string): Promise<void> => {
    await publishAcked(inbox, subject, { ...published(options), repeat: window === 1, lines, data })
    stored += data.length
    options.onStored?.(stored)
  }
  try {
    for await (const part of source) {
      for (let at = 0; at < part.length; at += options.chunkBytes) {
        const data = part.subarray(at, at + options.chunkBytes)
        size += data.length
        chunks++
        const sent = send(data, headerLine("Nats-Msg-Id", `${subject}:${chunks}`))
        sent.catch(() => undefined) // heard when its turn comes
        sending.push(sent)
        // The server is writing it meanwhile.
        hash?.update(data)
        // Without a window one after the other: a repeated one must not pass the next.
        if (sending.length >= window) await sending.shift()
      }
    }
    await Promise.all(sending)
  } catch (thrown) {
    // None may be stored behind the back of who cleans up.
    await Promise.allSettled(sending)
    throw thrown
  }
  return { size, chunks, digest: `${DIGEST}${hash?.digest("base64url") ?? options.sha256}=` }
}

/** Removes an object and every trace of it; nothing happens if it is gone. @throws {FnError} as {@link requestApi} */
export async function deleteObject(inbox: ReplyInbox, object: StoredObject, options: ReadOptions = {}): Promise<void> {
  // The chunks first: what is interrupted between can be found and deleted again.
  await purge(inbox, object.bucket, chunkSubject(object.bucket, object.nuid), options)
  await purge(inbox, object.bucket, metaSubject(object.bucket, object.name), options)
}

async function purge(inbox: ReplyInbox, bucket: string, subject: string, options: ReadOptions): Promise<void> {
  const { jsDomain, timeoutMs, signal } = options
  const time = timeoutMs === undefined ? {} : { timeoutMs }
  await requestApi(inbox, `STREAM.PURGE.${streamOf(bucket)}`, { body: { filter: subject }, jsDomain, signal, ...time })
}

/** From any replica; what that one has not got from the leader, if we may ask it: a replica can be a moment behind. */
async function findAnywhere(
  inbox: ReplyInbox,
  stream: string,
  query: MessageQuery,
  options: ReadOptions,
): Promise<StoredMessage | undefined> {
  const found = await findMessage(inbox, stream, query, options)
  if (found || options.fromLeader) return found
  return findMessage(inbox, stream, query, { ...options, fromLeader: true }).catch((thrown: unknown) => {
    if (FnError.from(thrown).reason === "NATS_PERMISSION") return undefined
    throw thrown
  })
}

function readMeta({ data }: StoredMessage, bucket: string, name: string): StoredObject | undefined {
  const meta = JSON.parse(Buffer.from(data).toString("utf8")) as Record<string, unknown> & { options?: { link?: unknown } }
  const { nuid, size, chunks, digest, deleted } = meta
  // A link is not followed: it leads to where its reader may have no business.
  if (deleted === true || meta.options?.link !== undefined) return undefined
  if (typeof nuid !== "string" || typeof size !== "number" || typeof chunks !== "number" || typeof digest !== "string")
    throw FnError.of("DIGEST_MISMATCH", `what bucket ${bucket} says of object ${name} is damaged`)
  return { bucket, name, nuid, sizeBytes: size, chunks, digest }
}

function published(options: WriteOptions): { repeat: true; timeoutMs: number; signal?: AbortSignal | undefined } {
  return { repeat: true, timeoutMs: options.timeoutMs ?? WRITE_TIMEOUT_MS, signal: options.signal }
}

function streamOf(bucket: string): string {
  return `OBJ_${bucket}`
}

function chunkSubject(bucket: string, nuid: string): string {
  return `$O.${bucket}.C.${nuid}`
}

function metaSubject(bucket: string, name: string): string {
  const encoded = Buffer.from(name, "utf8").toString("base64url")
  return `$O.${bucket}.M.${encoded.padEnd(Math.ceil(encoded.length / 4) * 4, "=")}`
}
