import { FnError, Header, type Logger, messageOf } from "@fn/core"
import { MAX_PAYLOAD_BYTES, type PayloadRef, type Payloads, parsePayloadRef } from "@fn/queue"
import { ByteBudget } from "./byte-budget.js"
import type { HeldPayload, PayloadClaim, PayloadIntake } from "./payload-intake.js"

/** What stored data is read through. */
export interface StoredIntakeOptions {
  readonly payloads: Pick<Payloads, "get" | "delete">
  /** Name of the payload bucket. */
  readonly bucket: string
  /** Data of calls that are not over, bytes. */
  readonly maxBytes: number
  readonly logger: Logger
}

/** Reads event data from the payload bucket. */
export class StoredIntake implements PayloadIntake {
  readonly #options: StoredIntakeOptions
  readonly #budget: ByteBudget

  constructor(options: StoredIntakeOptions) {
    this.#options = options
    this.#budget = new ByteBudget(options.maxBytes)
  }

  /** Bytes that calls hold, or that are being read for them. */
  get heldBytes(): number {
    return this.#budget.takenBytes
  }

  async read(claim: PayloadClaim, invocationId: string, deadline: number): Promise<HeldPayload> {
    const { payloads } = this.#options
    const { name } = this.#refOf(claim, invocationId)
    const sizeBytes = sizeOf(claim)
    await this.#budget.take(sizeBytes, deadline)
    let isHeld = true
    const release = (): void => {
      if (isHeld) this.#budget.give(sizeBytes)
      isHeld = false
    }
    const late = new AbortController()
    const timer = Number.isFinite(deadline) ? setTimeout(() => late.abort(), Math.max(0, deadline - Date.now())) : undefined
    try {
      const data = await payloads.get(name, { maxBytes: sizeBytes, signal: late.signal })
      if (data.length === sizeBytes) return { data, release }
      throw FnError.of("INVALID_REQUEST", `${Header.payloadSize} says ${sizeBytes} bytes, and ${name} has ${data.length}`)
    } catch (thrown) {
      release()
      if (late.signal.aborted) throw FnError.of("DEADLINE_EXCEEDED", "the event's data could not be read in time", { cause: thrown })
      throw thrown
    } finally {
      clearTimeout(timer)
    }
  }

  discard(claim: PayloadClaim, invocationId: string): void {
    const { payloads, logger } = this.#options
    let name: string
    try {
      name = this.#refOf(claim, invocationId).name
    } catch (thrown) {
      return logger.debug("event data not deleted", { invocationId, error: messageOf(thrown) })
    }
    payloads.delete(name).catch((thrown: unknown) => logger.debug("event data not deleted", { invocationId, error: messageOf(thrown) }))
  }

  close(): void {
    this.#budget.close(FnError.of("HOST_DRAINING", "this host is shutting down"))
  }

  /** A caller's word makes this host read, and delete: never anything but the data of its own invocation. */
  #refOf({ ref, isRedriven }: PayloadClaim, invocationId: string): PayloadRef {
    const parsed = parsePayloadRef(ref)
    const [head, ...rest] = parsed.name.split(".")
    const isInput = parsed.bucket === this.#options.bucket && rest.length <= 2 && rest.at(-1) === "in"
    if (isInput && (head === invocationId || isRedriven)) return parsed
    throw FnError.of(
      "INVALID_REQUEST",
      `${Header.payloadRef} must name ${invocationId}.in of ${this.#options.bucket}, not ${parsed.bucket}/${parsed.name}`,
    )
  }
}

function sizeOf({ sizeBytes }: PayloadClaim): number {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)
    throw FnError.of("INVALID_REQUEST", `${Header.payloadSize} must say how many bytes are stored apart`)
  if (sizeBytes <= MAX_PAYLOAD_BYTES) return sizeBytes
  throw FnError.of("PAYLOAD_TOO_LARGE", `the event has ${sizeBytes} bytes; the limit is ${MAX_PAYLOAD_BYTES}`, { retryable: false })
}
