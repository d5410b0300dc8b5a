/** A reference to event data that was stored apart: what `Fn-Payload-Ref`, `-Size` and `-Type` say. docs/protocol.md#large-events */
export interface PayloadClaim {
  readonly ref: string
  readonly sizeBytes: number
  /** The data is that of the invocation which this one repeats: it has that one's name. */
  readonly isRedriven?: boolean
}

/** Stored data while it is in this host's memory. */
export interface HeldPayload {
  readonly data: Uint8Array
  /** Gives its room back to others; once, when the execution is over. */
  release(): void
}

/** Reads event data that was stored apart, no more of it at once than the host has room for. */
export interface PayloadIntake {
  /**
   * Waits for room, then reads. Only `obj:{payload bucket}/{invocationId}.in`, or `{invocationId}.{part}.in`, is read; for an invocation
   * that was redriven, with any id.
   * @throws {FnError} INVALID_REQUEST, PAYLOAD_TOO_LARGE (nothing is read then), PAYLOAD_NOT_FOUND, DEADLINE_EXCEEDED, JETSTREAM_UNAVAILABLE
   */
  read(claim: PayloadClaim, invocationId: string, deadline: number): Promise<HeldPayload>
  /** Deletes event data whose invocation has ended for good and is no dead letter. Failures are logged: the bucket's age is the net. */
  discard(claim: PayloadClaim, invocationId: string): void
}
