/** Events and results too large for a message: their data is stored apart and named in the message. docs/protocol.md#large-events */
import { FnError, type WireEvent } from "@fn/core"
import { CLAIM_CHECK_BYTES, MAX_PAYLOAD_BYTES, Payloads, parsePayloadRef, payloadLines, type QueueAccess } from "@fn/queue"
import { type Reply, readReply } from "./reply.js"

/** Preamble and end of a header block. */
const HEADER_FRAME_BYTES = 12
const NOTHING = new Uint8Array(0)

/** How a message carries its data. */
export interface CarriedData {
  /** The data, or nothing. */
  readonly body: Uint8Array
  /** Says where the data is, or nothing. */
  readonly bodyLines: string
  /** Object that has the data; undefined when the message itself does. */
  readonly payload: string | undefined
}

/** A client's way to stored payloads. */
export class ClaimCheck {
  readonly #access: QueueAccess
  readonly #payloads: Payloads

  constructor(access: QueueAccess) {
    this.#access = access
    this.#payloads = new Payloads(access)
  }

  /** Whether a message with `lines` should not carry `data` itself. */
  isLarge(lines: string, data: Uint8Array): boolean {
    return data.length >= CLAIM_CHECK_BYTES || this.#isOverLimit(lines, data)
  }

  /**
   * Stores the data of an event as object `name`. Where that cannot be done, and the data fits a message with `lines`, the message
   * carries it: what the server takes needs no object store.
   * @throws {FnError} PAYLOAD_TOO_LARGE; STORAGE_FULL, JETSTREAM_UNAVAILABLE
   */
  async store(name: string, wire: WireEvent, lines: string): Promise<CarriedData> {
    const data = wire.data ?? NOTHING
    const { datacontenttype } = wire.attributes
    try {
      await this.#payloads.put(name, data)
    } catch (thrown) {
      const error = FnError.from(thrown, "unavailable")
      if (data.length <= MAX_PAYLOAD_BYTES && !this.#isOverLimit(lines, data)) return { body: data, bodyLines: "", payload: undefined }
      throw this.#hasNoStore(error) ? tooLarge(sizeOf(lines, data), this.#limitBytes, error) : error
    }
    const ref = { bucket: this.#access.names.payloads, name }
    return { body: NOTHING, bodyLines: payloadLines(ref, data.length, datacontenttype), payload: name }
  }

  /**
   * The reply in a message, with the data that is stored apart. Data of a reply is deleted when `once`; that of a result stays, since
   * others may read it.
   */
  async read(block: Uint8Array | undefined, payload: Uint8Array, options: { once: boolean }): Promise<Reply> {
    const reply = readReply(block, payload)
    if (reply.kind !== "apart") return reply
    try {
      const { bucket, name } = parsePayloadRef(reply.ref)
      if (bucket !== this.#access.names.payloads)
        throw FnError.of("BAD_OUTPUT", `the reply's data is in a bucket that is not ours: ${bucket}`)
      const data = await this.#payloads.get(name)
      if (options.once) this.discard(name)
      return readReply(block, data)
    } catch (thrown) {
      const error = FnError.from(thrown, "unavailable")
      return {
        kind: "error",
        error: error.reason === "INVALID_REQUEST" ? FnError.of("BAD_OUTPUT", error.message, { cause: error }) : error,
      }
    }
  }

  /** Deletes an object that nobody needs any more, without waiting for it. */
  discard(name: string): void {
    // Its time to live removes what this cannot: a lost connection, a user without leave to delete.
    this.#payloads.delete(name).catch(() => undefined)
  }

  #isOverLimit(lines: string, data: Uint8Array): boolean {
    return sizeOf(lines, data) > this.#limitBytes
  }

  get #limitBytes(): number {
    return this.#access.nc.info?.max_payload ?? Number.POSITIVE_INFINITY
  }

  /** A platform without JetStream, or without the bucket: then the server's limit is the limit. */
  #hasNoStore(error: FnError): boolean {
    if (error.reason === "NOT_SET_UP" || error.reason === "JETSTREAM_OFF") return true
    return error.reason === "JETSTREAM_UNAVAILABLE" && this.#access.nc.info?.jetstream !== true
  }
}

function sizeOf(lines: string, data: Uint8Array): number {
  return HEADER_FRAME_BYTES + lines.length + data.length
}

function tooLarge(sizeBytes: number, limitBytes: number, cause: FnError): FnError {
  const message = `the event is ${sizeBytes} bytes with its headers; the NATS server takes at most ${limitBytes} (max_payload), and it cannot be stored apart: ${cause.message}`
  return FnError.of("PAYLOAD_TOO_LARGE", message, { details: { sizeBytes, limitBytes }, retryable: false, cause })
}
