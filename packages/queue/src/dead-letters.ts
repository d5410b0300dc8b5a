/** Dead letters: invocations that were given up, with the event they had. docs/protocol.md#dead-letters */
import { type FnError, type FunctionRef, Header, headerLine, headerText } from "@fn/core"
import { type PubAck, publishAcked } from "@fn/nats"
import type { QueueAccess } from "./access.js"

/** A message of the queue that is given up. */
export interface GivenUp {
  readonly ref: FunctionRef
  /** Its sequence in the queue: with the stream's name the id that keeps a second copy out. */
  readonly seq: number
  /** Header lines and payload as they were queued, the server's own headers excepted. */
  readonly lines: string
  readonly data: Uint8Array
  readonly error: FnError
  /** Attempts it had. */
  readonly attempts: number
  /** Subject it was queued on, and goes back to. Default: the function's own. */
  readonly subject?: string
  /** When it was stored in the queue, epoch ms. */
  readonly queuedAt?: number
}

/**
 * Stores a dead letter; repeated for the same message it is stored once.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export function addDeadLetter(access: QueueAccess, letter: GivenUp): Promise<PubAck> {
  const { names, inbox } = access
  const { ref, seq, error } = letter
  const queuedAt = letter.queuedAt === undefined ? "" : headerLine(Header.dlqQueuedAt, new Date(letter.queuedAt).toISOString())
  // Behind what its publisher wrote: the last of a name is read.
  const lines =
    letter.lines +
    queuedAt +
    headerLine("Nats-Msg-Id", `${names.queue}:${seq}`) +
    headerLine(Header.dlqReason, headerText(error.reason, 64)) +
    headerLine(Header.dlqCode, error.code) +
    headerLine(Header.dlqError, headerText(error.message) || error.code) +
    headerLine(Header.dlqAttempts, letter.attempts) +
    headerLine(Header.dlqSequence, seq) +
    headerLine(Header.dlqSubject, letter.subject ?? names.subjects.queue(ref))
  return publishAcked(inbox, names.subjects.deadLetter(ref), { lines, data: letter.data, repeat: true })
}
