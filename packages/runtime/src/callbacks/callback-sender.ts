import type { FunctionRef } from "@fn/core"
import type { ResultMessage } from "@fn/queue"

/** A result that is to be delivered to an address too. */
export interface CallbackRequest {
  readonly ref: FunctionRef
  readonly invocationId: string
  /** `https://…`, `http://…`, `event:{type}`, `function:{name}` or `function:{namespace}/{name}`; anything else is refused at delivery. */
  readonly callback: string
  /** Functions the invocation's event had passed. */
  readonly hops: number
  /** The result as it was stored: of this attempt, or of an earlier one whose tail is repeated. */
  readonly result: ResultMessage
}

/** Hands results over to their callbacks. docs/protocol.md#callbacks */
export interface CallbackSender {
  /**
   * Stores the delivery of a result, after the result and before the invocation's acknowledgement; repeated it is stored once. From then
   * on it is retried by whichever host has time, and dead-lettered when it can not be.
   * @throws {FnError} QUEUE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
   */
  send(request: CallbackRequest): Promise<void>
}
