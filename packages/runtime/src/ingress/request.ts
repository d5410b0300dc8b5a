import {
  BATCH_TYPE,
  BinaryEventReader,
  bareEvent,
  decodeStructured,
  FnError,
  Header,
  isId,
  MAX_HOPS,
  readHeaderBlock,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"
import type { PayloadClaim } from "../payloads/payload-intake.js"

/** How an event travels in a message, and so how its answer does. */
export type EventMode = "binary" | "structured"

/** What a message asks for. Read lazily from its header block: only what routing and dispatch need. */
export class Request {
  invocationId: string | undefined
  version: string | undefined
  timeoutMs: number | undefined
  /** Revision of the function's record the caller acts on. */
  revision: number | undefined
  hops = 0
  wantsStarted = false
  /** The caller takes the events one by one. */
  wantsStream = false
  /** The caller can read a reply whose body is stored apart. */
  acceptsPayloadRef = false
  /** It is a dead letter that was sent back to the queue. */
  isRedriven = false
  #payloadRef: string | undefined
  #payloadSize: number | undefined
  #payloadType: string | undefined
  /** Mode the caller wants the answer in, if it said so. */
  #acceptMode: EventMode | undefined
  readonly #event = new BinaryEventReader()
  readonly #other: ((name: string, value: string) => void) | undefined

  /** `other` hears of the headers that are none of these, the event's among them. */
  constructor(headers: Uint8Array | undefined, other?: (name: string, value: string) => void) {
    this.#other = other
    if (headers) readHeaderBlock(headers, this.#visit)
    if (this.#payloadType !== undefined) this.#event.contentType ??= this.#payloadType
  }

  /** Mode of the answer: what was asked for, else the mode of the question. */
  get replyMode(): EventMode {
    return this.#acceptMode ?? (this.#isStructured ? "structured" : "binary")
  }

  /** Where the message's body is, if it is stored apart: then {@link event} wants that body. */
  get payload(): PayloadClaim | undefined {
    if (this.#payloadRef === undefined) return undefined
    return { ref: this.#payloadRef, sizeBytes: this.#payloadSize ?? Number.NaN }
  }

  /** The event in the message, `payload` being its body. @throws {FnError} invalid_argument INVALID_EVENT, INVALID_REQUEST; TOO_MANY_HOPS */
  event(payload: Uint8Array, subject: string): WireEvent {
    if (this.hops > MAX_HOPS)
      throw FnError.of("TOO_MANY_HOPS", `the event has passed ${this.hops} functions already; the limit is ${MAX_HOPS}`)
    if (this.#payloadRef !== undefined && payload.length === 0)
      throw FnError.of("INVALID_REQUEST", "the message has no body, and one that is stored apart is not read here")
    if (this.#event.isBinary) return this.#event.finish(payload)
    if (this.#isStructured) return decodeStructured(payload)
    const contentType = this.#event.contentType
    if (contentType?.toLowerCase().startsWith(BATCH_TYPE))
      throw FnError.of("INVALID_EVENT", "a function takes one event: send the events of a batch one by one")
    if (contentType?.toLowerCase().startsWith("application/cloudevents")) {
      throw FnError.of("INVALID_EVENT", `the event format ${contentType} is not supported; send ${STRUCTURED_TYPE}`)
    }
    return bareEvent(payload, contentType, { source: `nats:${subject}`, type: "fn.request" })
  }

  get #isStructured(): boolean {
    const { contentType } = this.#event
    return contentType !== undefined && (contentType === STRUCTURED_TYPE || contentType.toLowerCase().startsWith(`${STRUCTURED_TYPE};`))
  }

  readonly #visit = (name: string, value: string): void => {
    switch (name) {
      case Header.invocationId:
        this.invocationId = isId(value) ? value : undefined
        return
      case Header.timeoutMs:
        this.timeoutMs = positive(value)
        return
      case Header.revision:
        this.revision = positive(value)
        return
      case Header.version:
        this.version = value
        return
      case Header.hops:
        this.hops = positive(value) ?? 0
        return
      case Header.accept:
        return this.#accept(value)
      case Header.redrivenFrom:
        this.isRedriven = true
        return
      case Header.payloadRef:
        this.#payloadRef = value
        return
      case Header.payloadSize:
        this.#payloadSize = positive(value)
        return
      case Header.payloadType:
        this.#payloadType = value
        return
      default:
        this.#event.take(name, value)
        this.#other?.(name, value)
    }
  }

  #accept(value: string): void {
    for (const word of value.split(/[\s,]+/)) {
      if (word === "started") this.wantsStarted = true
      else if (word === "stream") this.wantsStream = true
      else if (word === "payload-ref") this.acceptsPayloadRef = true
      else if (word === "binary" || word === "structured") this.#acceptMode = word
    }
  }
}

function positive(text: string): number | undefined {
  const value = Number(text)
  return Number.isFinite(value) && value > 0 ? value : undefined
}
