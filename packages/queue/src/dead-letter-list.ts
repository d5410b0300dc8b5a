/** Looking at dead letters. */
import { FnError } from "@fn/core"
import { findMessage, newestFirst, type StoredMessage } from "@fn/nats"
import type { QueueAccess } from "./access.js"
import { type DeadLetter, type DeadLetterContent, readDeadLetter, readDeadLetterContent } from "./dead-letter.js"
import { type PageOptions, pageOf, sequenceOf } from "./page.js"

/** Which dead letters. What is not given is not asked. */
export interface DeadLetterFilter {
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly reason?: string | undefined
  /** Given up before this moment, epoch ms. */
  readonly before?: number | undefined
}

/** Which page of which dead letters. */
export interface DeadLetterListOptions extends DeadLetterFilter, PageOptions {}

/** A page of dead letters, the newest first. It may be short although there is more, if very many others had to be passed over. */
export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetter[]
  readonly hasMore: boolean
  /** Where the next page starts; absent when there is none. */
  readonly startAfter?: string
}

/**
 * Dead letters without their events, the newest first.
 * @throws {FnError} invalid_argument INVALID_REQUEST; NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function listDeadLetters(access: QueueAccess, options: DeadLetterListOptions = {}): Promise<DeadLetterPage> {
  const { nc, inbox, names, jsDomain } = access
  const subject = subjectOf(access, options)
  const before = sequenceOf(options.startAfter)
  const { items, hasMore, startAfter } = await pageOf(
    options,
    (pageSize) =>
      newestFirst({
        nc,
        inbox,
        jsDomain,
        signal: options.signal,
        stream: names.deadLetters,
        subject,
        headersOnly: true,
        pageSize,
        before,
      }),
    (message) => matching(options, message),
  )
  return { deadLetters: items, hasMore, ...(startAfter === undefined ? {} : { startAfter }) }
}

/**
 * A dead letter with what was queued.
 * @throws {FnError} not_found DEAD_LETTER_NOT_FOUND; JETSTREAM_UNAVAILABLE, NOT_SET_UP, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function getDeadLetter(access: QueueAccess, seq: number): Promise<DeadLetterContent> {
  const message = await findLetter(access, seq)
  const letter = message && readDeadLetterContent(message)
  if (!letter) throw deadLetterNotFound(seq)
  return letter
}

/** The message of a dead letter, from the leader: one that was stored just now is there. */
export function findLetter({ inbox, names, jsDomain }: QueueAccess, seq: number): Promise<StoredMessage | undefined> {
  if (!Number.isSafeInteger(seq) || seq < 1) throw deadLetterNotFound(seq)
  return findMessage(inbox, names.deadLetters, { seq }, { jsDomain, fromLeader: true })
}

/** An error for a dead letter that is not there. */
export function deadLetterNotFound(seq: number): FnError {
  return FnError.of("DEAD_LETTER_NOT_FOUND", `there is no dead letter ${seq}`, { details: { seq } })
}

/** The letter in a message if the filter lets it through. */
export function matching(filter: DeadLetterFilter, message: StoredMessage): DeadLetter | undefined {
  const { reason, before } = filter
  if (before !== undefined && message.storedAt >= before) return undefined
  const letter = readDeadLetter(message)
  return letter && (reason === undefined || letter.reason === reason) ? letter : undefined
}

/** The subjects a filter speaks of. @throws {FnError} INVALID_NAME */
export function subjectOf({ names }: QueueAccess, { namespace, name }: DeadLetterFilter): string {
  return names.subjects.deadLetters({ ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) })
}
