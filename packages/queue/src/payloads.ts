/** The claim check: data too large for a message, stored apart and named in the message. docs/protocol.md#large-events */
import { FnError } from "@fn/core"
import { deleteObject, findObject, readObject, requestApi, writeObject } from "@fn/nats"
import type { QueueAccess } from "./access.js"

/** Data from this size on travels apart, bytes. */
export const CLAIM_CHECK_BYTES = 262_144
/** Largest data of an event that way, bytes. */
export const MAX_PAYLOAD_BYTES = 67_108_864
/** Small enough not to hold up the messages that share the connection. */
const CHUNK_BYTES = 131_072
/** Chunks on their way at once. */
const WINDOW = 8
/** Room for the headers of a chunk where the server takes only small messages. */
const HEADER_BYTES = 512

/** How a payload is read. */
export interface ReadPayloadOptions {
  /** More is not read. Default and largest: {@link MAX_PAYLOAD_BYTES}. */
  readonly maxBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** The objects of one platform's large events and results, named `{invocationId}.in` and `.out`. Written once, deleted by whoever finishes. */
export class Payloads {
  readonly #access: QueueAccess
  #isThere: Promise<unknown> | undefined

  constructor(access: QueueAccess) {
    this.#access = access
  }

  /** Stores `data` under `name`. @throws {FnError} PAYLOAD_TOO_LARGE, STORAGE_FULL, NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED */
  async put(name: string, data: Uint8Array): Promise<void> {
    checkSize(data.length)
    await this.#untilThere()
    const { nc, inbox, names, jsDomain } = this.#access
    const chunkBytes = Math.min(CHUNK_BYTES, (nc.info?.max_payload ?? CHUNK_BYTES + HEADER_BYTES) - HEADER_BYTES)
    await writeObject(inbox, { bucket: names.payloads, name }, [data], { chunkBytes, jsDomain, window: WINDOW })
  }

  /**
   * The data under `name`, its digest verified.
   * @throws {FnError} PAYLOAD_NOT_FOUND, PAYLOAD_TOO_LARGE, DIGEST_MISMATCH, NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED, CANCELLED
   */
  async get(name: string, options: ReadPayloadOptions = {}): Promise<Uint8Array> {
    await this.#untilThere()
    const { inbox, names, jsDomain } = this.#access
    const how = { jsDomain, signal: options.signal }
    const object = await findObject(inbox, names.payloads, name, how)
    if (!object) throw FnError.of("PAYLOAD_NOT_FOUND", `the stored data ${name} is not there: deleted, or past its time`)
    // Whoever wrote it may not have asked.
    checkSize(object.sizeBytes, Math.min(options.maxBytes ?? MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES))
    const data = new Uint8Array(object.sizeBytes)
    let at = 0
    const take = (chunk: Uint8Array): void => {
      data.set(chunk, at)
      at += chunk.length
    }
    await readObject(inbox, object, take, how)
    return data
  }

  /** Removes what is under `name`, if anything. @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED, NATS_PERMISSION */
  async delete(name: string): Promise<void> {
    const { inbox, names, jsDomain } = this.#access
    const object = await findObject(inbox, names.payloads, name, { jsDomain })
    if (object) await deleteObject(inbox, object, { jsDomain })
  }

  /** Asked once: a question to a bucket that is not there says no more than that nobody answers. */
  #untilThere(): Promise<unknown> {
    const { inbox, names, jsDomain } = this.#access
    this.#isThere ??= requestApi(inbox, `STREAM.INFO.OBJ_${names.payloads}`, { jsDomain }).catch((thrown: unknown) => {
      this.#isThere = undefined
      // One that chooses another leader at this moment is silent, and there.
      if (FnError.from(thrown).reason !== "DEADLINE_EXCEEDED") throw thrown
    })
    return this.#isThere
  }
}

function checkSize(sizeBytes: number, limitBytes: number = MAX_PAYLOAD_BYTES): void {
  if (sizeBytes <= limitBytes) return
  throw FnError.of("PAYLOAD_TOO_LARGE", `the data has ${sizeBytes} bytes; the limit is ${limitBytes}`, { retryable: false })
}
