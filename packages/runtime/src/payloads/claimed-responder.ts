import type { EventSink, FnError, WireEvent } from "@fn/core"
import type { Call, Responder } from "../dispatch/call.js"
import type { HeldPayload, PayloadClaim, PayloadIntake } from "./payload-intake.js"

/** Stored data of one sync call. */
export interface ClaimedData {
  readonly held: HeldPayload
  readonly claim: PayloadClaim
  readonly intake: PayloadIntake
}

/**
 * Answers a call whose event data was stored apart: when it has ended its room is free again and the stored data gone. Such a call stays on
 * the host that has read its data.
 */
export class ClaimedResponder implements Responder {
  readonly destination: undefined
  readonly #responder: Responder
  readonly #data: ClaimedData

  constructor(responder: Responder, data: ClaimedData) {
    this.#responder = responder
    this.#data = data
  }

  get streamed(): number {
    return this.#responder.streamed ?? 0
  }

  succeed(call: Call, events: WireEvent[]): void | Promise<void> {
    const left = this.#responder.succeed(call, events)
    if (!left) return this.#end(call, true)
    // What is large in memory now is the answer.
    return left.then(() => this.#end(call, true))
  }

  fail(call: Call, error: FnError): void {
    this.#responder.fail(call, error)
    // Who was refused before it ran may send the same reference to another host.
    this.#end(call, call.startedAt > 0 || !error.retryable)
  }

  started(call: Call): void {
    this.#responder.started?.(call)
  }

  sinkOf(call: Call): EventSink | undefined {
    return this.#responder.sinkOf?.(call)
  }

  #end({ invocationId }: Call, isOver: boolean): void {
    const { held, claim, intake } = this.#data
    held.release()
    if (isOver) intake.discard(claim, invocationId)
  }
}
