/** The claim check: data too large for a message, stored apart and named in the message. docs/protocol.md#large-events */
import { FnError, messageOf } from "@fn/core"
import { errorFromApi } from "@fn/nats"
import { JetStreamApiError, jetstream } from "@nats-io/jetstream"
import { type ObjectStore, Objm, setSha256Backend } from "@nats-io/obj"
import type { QueueAccess } from "./access.js"

/** Data from this size on travels apart, bytes. */
export const CLAIM_CHECK_BYTES = 262_144
/** Largest data of an event that way, bytes. */
export const MAX_PAYLOAD_BYTES = 67_108_864
const CHUNK_BYTES = 131_072
const TIMEOUT_MS = 60_000

/** The objects of one platform's large events and results, named `{invocationId}.in` and `.out`. Written once, deleted by whoever finishes. */
export class Payloads {
  readonly #access: QueueAccess
  #store: Promise<ObjectStore> | undefined

  constructor(access: QueueAccess) {
    this.#access = access
  }

  /** Stores `data` under `name`. @throws {FnError} PAYLOAD_TOO_LARGE, STORAGE_FULL, NOT_SET_UP, JETSTREAM_UNAVAILABLE */
  async put(name: string, data: Uint8Array): Promise<void> {
    if (data.length > MAX_PAYLOAD_BYTES)
      throw FnError.of("PAYLOAD_TOO_LARGE", `the data has ${data.length} bytes; the limit is ${MAX_PAYLOAD_BYTES}`, { retryable: false })
    await this.#work(`storing ${name}`, async (store) => {
      await store.put({ name, options: { max_chunk_size: CHUNK_BYTES } }, streamOf(data), { timeout: TIMEOUT_MS })
    })
  }

  /** The data under `name`, its digest verified. @throws {FnError} PAYLOAD_NOT_FOUND, NOT_SET_UP, JETSTREAM_UNAVAILABLE */
  async get(name: string): Promise<Uint8Array> {
    const bytes = await this.#work(`reading ${name}`, (store) => store.getBlob(name))
    if (!bytes) throw FnError.of("PAYLOAD_NOT_FOUND", `the stored data ${name} is not there: deleted, or past its time`)
    return bytes
  }

  /** Removes what is under `name`, if anything. @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE */
  async delete(name: string): Promise<void> {
    await this.#work(`deleting ${name}`, async (store) => {
      if (await store.info(name)) await store.delete(name)
    })
  }

  async #work<T>(attempted: string, work: (store: ObjectStore) => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    // A read whose consumer dies never ends by itself.
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(FnError.of("JETSTREAM_UNAVAILABLE", `${attempted}: no answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS)
    })
    try {
      return await Promise.race([this.#open().then(work), timeout])
    } catch (thrown) {
      throw payloadError(thrown, attempted)
    } finally {
      clearTimeout(timer)
    }
  }

  #open(): Promise<ObjectStore> {
    this.#store ??= this.#connect().catch((thrown: unknown) => {
      this.#store = undefined
      throw thrown
    })
    return this.#store
  }

  #connect(): Promise<ObjectStore> {
    // The client's own default is a SHA-256 in JavaScript, four times slower.
    setSha256Backend("native")
    const { nc, jsDomain, names } = this.#access
    return new Objm(jetstream(nc, jsDomain === undefined ? {} : { domain: jsDomain })).open(names.payloads)
  }
}

/** What the client throws when the bucket's stream is not there. */
const NO_BUCKET = "object store not found"

function payloadError(thrown: unknown, attempted: string): FnError {
  if (FnError.is(thrown)) return thrown
  if (thrown instanceof JetStreamApiError)
    return errorFromApi({ code: thrown.status, err_code: thrown.code, description: thrown.message }, attempted)
  const reason = messageOf(thrown) === NO_BUCKET ? "NOT_SET_UP" : "JETSTREAM_UNAVAILABLE"
  return FnError.of(reason, `${attempted}: ${messageOf(thrown)}`, { cause: thrown })
}

function streamOf(data: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= data.length) return controller.close()
      controller.enqueue(data.subarray(at, at + CHUNK_BYTES))
      at += CHUNK_BYTES
    },
  })
}
