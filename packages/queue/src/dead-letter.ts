/** A dead letter as it is read. docs/protocol.md#dead-letters */
import {
  BinaryEventReader,
  CALLBACK_TOKEN,
  decodeStructured,
  FnError,
  Header,
  headerBlock,
  isId,
  readHeaderBlock,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"
import type { StoredMessage } from "@fn/nats"
import { sequenceId } from "./invocation.js"

/** What a dead letter says without its event. */
export interface DeadLetter {
  /** Names it: its sequence among the dead letters. */
  readonly seq: number
  readonly namespace: string
  readonly name: string
  /** `callback`: not the invocation was given up, but the delivery of its result. */
  readonly kind: "invocation" | "callback"
  readonly invocationId: string
  /** Why it was given up, and the code that belongs to it. */
  readonly reason: string
  readonly code: string
  /** Message of the last error. */
  readonly error: string
  /** Attempts it had. */
  readonly attempts: number
  /** ISO times: when it was first stored in the queue, if that is known, and when it was given up. */
  readonly queuedAt?: string
  readonly diedAt: string
  /** The invocation it was redriven from before. */
  readonly redrivenFrom?: string
}

/** A dead letter with what was queued. */
export interface DeadLetterContent extends DeadLetter {
  /** Headers as they were queued, by name; of several of one name the last. */
  readonly headers: Readonly<Record<string, string>>
  /** The event, if the message was one that can be read. Without its data when that is stored apart, as `Fn-Payload-Ref` in `headers` says. */
  readonly event?: WireEvent
  /** Body of the message. */
  readonly data: Uint8Array
}

/** Reads a letter's headers; undefined for a message that is none. */
export function readDeadLetter({ subject, seq, storedAt, lines }: StoredMessage): DeadLetter | undefined {
  const [, , namespace, name] = subject.split(".")
  const headers = headersOf(lines)
  const reason = headers.get(Header.dlqReason)
  if (namespace === undefined || name === undefined || reason === undefined) return undefined
  const sequence = Number(headers.get(Header.dlqSequence))
  const id = headers.get(Header.invocationId)
  const queuedAt = headers.get(Header.dlqQueuedAt)
  const redrivenFrom = headers.get(Header.redrivenFrom)
  return {
    seq,
    namespace,
    name,
    kind: isCallback(headers) ? "callback" : "invocation",
    invocationId: isId(id) ? id : sequenceId(sequence),
    reason,
    code: headers.get(Header.dlqCode) ?? "unknown",
    error: headers.get(Header.dlqError) ?? "",
    attempts: Number(headers.get(Header.dlqAttempts)) || 0,
    ...(queuedAt === undefined ? {} : { queuedAt }),
    diedAt: new Date(storedAt).toISOString(),
    ...(redrivenFrom === undefined ? {} : { redrivenFrom }),
  }
}

/** As {@link readDeadLetter}, with what was queued. */
export function readDeadLetterContent(message: StoredMessage): DeadLetterContent | undefined {
  const letter = readDeadLetter(message)
  if (!letter) return undefined
  const headers = headersOf(message.lines)
  const { data } = message
  const event = eventOf(headers, data)
  return { ...letter, headers: Object.fromEntries(headers), ...(event ? { event } : {}), data }
}

/** Headers by name, the last of each. */
export function headersOf(lines: string): Map<string, string> {
  const headers = new Map<string, string>()
  readHeaderBlock(headerBlock(lines), (name, value) => headers.set(name, value))
  return headers
}

function isCallback(headers: ReadonlyMap<string, string>): boolean {
  return headers.get(Header.dlqSubject)?.endsWith(`.${CALLBACK_TOKEN}`) === true
}

function eventOf(headers: ReadonlyMap<string, string>, data: Uint8Array): WireEvent | undefined {
  const reader = new BinaryEventReader()
  try {
    for (const [name, value] of headers) reader.take(name, value)
    if (reader.isBinary) return reader.finish(data)
    return reader.contentType?.toLowerCase().startsWith(STRUCTURED_TYPE) ? decodeStructured(data) : undefined
  } catch (thrown) {
    // An event that cannot be read may be why it is here.
    if (FnError.from(thrown).code === "invalid_argument") return undefined
    throw thrown
  }
}
