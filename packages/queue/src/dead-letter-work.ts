/**
 * Sending dead letters back to the queue, and throwing them away: one, those of a filter, all.
 *
 * Letter by letter, each deleted by its sequence once its invocation is stored (a purge by subject would make consumers of old servers skip
 * messages). Whatever is interrupted can simply be done again: a letter is gone or untouched, or its invocation is stored already and the
 * message id keeps a second copy out.
 */
import { createHash } from "node:crypto"
import { FnError, Header, headerBlock, headerLine, newId, readHeaderBlock } from "@fn/core"
import { deleteMessage, openScan, type StoredMessage } from "@fn/nats"
import type { QueueAccess } from "./access.js"
import { type DeadLetter, headersOf, readDeadLetter } from "./dead-letter.js"
import { type DeadLetterFilter, deadLetterNotFound, findLetter, matching, subjectOf } from "./dead-letter-list.js"
import { enqueue } from "./invocation.js"
import { parsePayloadRef } from "./payload-ref.js"
import { Payloads } from "./payloads.js"

/** Which dead letters to work on: one, those of a filter that says at least one thing, or all. */
export type DeadLetterSelection = { readonly seq: number } | (DeadLetterFilter & { readonly all?: boolean | undefined })

/** How far it has come. */
export interface DeadLetterProgress {
  /** Letters that were dealt with. */
  readonly done: number
  /** Letters that were looked at, of how many. */
  readonly looked: number
  readonly total: number
}

/** Options of {@link purgeDeadLetters}. */
export interface DeadLetterWorkOptions {
  readonly onProgress?: ((progress: DeadLetterProgress) => void) | undefined
  /** Ends it between two letters. */
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link redriveDeadLetters}. */
export interface RedriveOptions extends DeadLetterWorkOptions {
  /** Run the version that was asked for then, not the one that is active now. Default false. */
  readonly keepVersion?: boolean | undefined
}

/** A dead letter that went back to the queue. */
export interface Redriven {
  readonly seq: number
  readonly namespace: string
  readonly name: string
  /** The new invocation; of a callback the one whose result it delivers. */
  readonly invocationId: string
  readonly redrivenFrom: string
}

/** Letters of one question, and letters worked on at once. */
const BATCH = 128
const AT_ONCE = 8

/**
 * Sends dead letters back to the queue as new invocations: with new ids and all their attempts, without delay, caller and idempotency key.
 * Letters that come in meanwhile are left. The first failure ends it; what went back then is not among the letters any more.
 * @throws {FnError} DEAD_LETTER_NOT_FOUND for one that is not there; invalid_argument INVALID_REQUEST for an empty selection;
 *   QUEUE_FULL, JETSTREAM_UNAVAILABLE, NOT_SET_UP, NATS_PERMISSION, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function redriveDeadLetters(
  access: QueueAccess,
  selection: DeadLetterSelection,
  options: RedriveOptions = {},
): Promise<Redriven[]> {
  const redriven: Redriven[] = []
  await forEachLetter(access, selection, options, async (letter) => {
    // The body too, which the selection did not read. Gone is one that somebody else sent back or threw away.
    const message = await findLetter(access, letter.seq)
    if (!message) return false
    redriven.push(await redrive(access, letter, message, options.keepVersion === true))
    return true
  })
  return redriven.sort((a, b) => a.seq - b.seq)
}

/**
 * Throws dead letters away, with the data that is stored apart for them, and resolves with how many.
 * @throws {FnError} as {@link redriveDeadLetters}
 */
export async function purgeDeadLetters(
  access: QueueAccess,
  selection: DeadLetterSelection,
  options: DeadLetterWorkOptions = {},
): Promise<number> {
  const payloads = new Payloads(access)
  let purged = 0
  await forEachLetter(access, selection, options, async (letter, lines) => {
    const name = ownPayload(access, letter, lines)
    if (name !== undefined) await payloads.delete(name)
    await deleteLetter(access, letter.seq)
    purged++
    return true
  })
  return purged
}

async function redrive(access: QueueAccess, letter: DeadLetter, message: StoredMessage, keepVersion: boolean): Promise<Redriven> {
  const { names } = access
  const { seq, namespace, name } = letter
  const ref = { namespace, name }
  const isCallback = letter.kind === "callback"
  const invocationId = isCallback ? letter.invocationId : redrivenId(letter, message)
  const kept = keptLines(message.lines, isCallback ? KEPT_OF_CALLBACKS : keepVersion ? KEPT_WITH_VERSION : KEPT)
  const own = isCallback ? "" : headerLine(Header.invocationId, invocationId) + headerLine(Header.redrivenFrom, letter.invocationId)
  const lines = own + headerLine("Nats-Msg-Id", `dlq:${seq}:${message.storedAt}`) + kept
  const subject = isCallback ? names.subjects.callbackQueue(namespace) : names.subjects.queue(ref)
  await enqueue(access, { ref, subject, lines, data: message.data })
  await deleteLetter(access, seq)
  return { seq, namespace, name, invocationId, redrivenFrom: letter.invocationId }
}

/**
 * The new invocation's id: the same however often a letter is redriven, so that a copy which the message id does not keep out (the server
 * forgets those) shares its result. Nobody can guess it who does not know the old one.
 */
function redrivenId({ seq, invocationId }: DeadLetter, { storedAt }: StoredMessage): string {
  const digest = createHash("sha256").update(`${invocationId}\0${seq}\0${storedAt}`).digest("base64url")
  return digest.slice(0, newId().length)
}

/** Headers that do not go back: what the letter says of itself, and what belonged to the first call alone. */
const DROPPED: ReadonlySet<string> = new Set<string>([
  Header.dlqReason,
  Header.dlqCode,
  Header.dlqError,
  Header.dlqAttempts,
  Header.dlqSequence,
  Header.dlqSubject,
  Header.dlqQueuedAt,
])
const OF_THE_CALL: ReadonlySet<string> = new Set<string>([
  Header.invocationId,
  Header.redrivenFrom,
  Header.idempotencyKey,
  Header.notBefore,
  Header.replyTo,
  Header.spilled,
])

const KEPT_OF_CALLBACKS = (name: string): boolean => !DROPPED.has(name)
const KEPT_WITH_VERSION = (name: string): boolean => !DROPPED.has(name) && !OF_THE_CALL.has(name)
const KEPT = (name: string): boolean => KEPT_WITH_VERSION(name) && name !== Header.version

function keptLines(lines: string, isKept: (name: string) => boolean): string {
  let kept = ""
  readHeaderBlock(headerBlock(lines), (name, value) => {
    if (isKept(name)) kept += headerLine(name, value)
  })
  return kept
}

/** The object with an invocation's data, if it is ours to delete: a callback's is the result's, which others may read. */
function ownPayload({ names }: QueueAccess, { kind }: DeadLetter, lines: string): string | undefined {
  const text = headersOf(lines).get(Header.payloadRef)
  if (kind === "callback" || text === undefined) return undefined
  try {
    const { bucket, name } = parsePayloadRef(text)
    return bucket === names.payloads && name.endsWith(".in") ? name : undefined
  } catch (thrown) {
    if (FnError.from(thrown).reason === "INVALID_REQUEST") return undefined
    throw thrown
  }
}

function deleteLetter({ inbox, names, jsDomain }: QueueAccess, seq: number): Promise<void> {
  return deleteMessage(inbox, names.deadLetters, seq, { jsDomain })
}

/** Hands the selected letters to `work`, the oldest first, several at a time. It says whether it dealt with the letter. */
async function forEachLetter(
  access: QueueAccess,
  selection: DeadLetterSelection,
  options: DeadLetterWorkOptions,
  work: (letter: DeadLetter, lines: string) => Promise<boolean>,
): Promise<void> {
  if ("seq" in selection) {
    const message = await findLetter(access, selection.seq)
    const letter = message && readDeadLetter(message)
    if (!letter || !(await work(letter, message.lines))) throw deadLetterNotFound(selection.seq)
    return options.onProgress?.({ done: 1, looked: 1, total: 1 })
  }
  checkSelection(selection)
  const { nc, inbox, names, jsDomain } = access
  const { signal, onProgress } = options
  const subject = subjectOf(access, selection)
  const scan = await openScan({ nc, inbox, jsDomain, signal, stream: names.deadLetters, subject, headersOnly: true }, 1)
  let done = 0
  let looked = 0
  try {
    // No more than there were: what is redriven and fails at once comes back as a new letter.
    while (looked < scan.pending) {
      const messages = await scan.read(Math.min(BATCH, scan.pending - looked))
      if (messages.length === 0) return
      looked += messages.length
      const letters = messages.flatMap((message) => {
        const letter = matching(selection, message)
        return letter ? [{ letter, lines: message.lines }] : []
      })
      for (let at = 0; at < letters.length; at += AT_ONCE) {
        if (signal?.aborted) throw FnError.from(signal.reason, "cancelled")
        done += await settled(letters.slice(at, at + AT_ONCE).map(({ letter, lines }) => work(letter, lines)))
      }
      onProgress?.({ done, looked, total: scan.pending })
    }
  } finally {
    await scan.close()
  }
}

/** How many of them dealt with their letter; when all are through, the first failure. */
async function settled(works: readonly Promise<boolean>[]): Promise<number> {
  const results = await Promise.allSettled(works)
  for (const result of results) if (result.status === "rejected") throw result.reason
  return results.filter((result) => result.status === "fulfilled" && result.value).length
}

function checkSelection({ namespace, name, reason, before, all }: DeadLetterFilter & { readonly all?: boolean | undefined }): void {
  if (all === true || [namespace, name, reason, before].some((condition) => condition !== undefined)) return
  throw FnError.of("INVALID_REQUEST", "say which dead letters: by seq, namespace, name, reason or before, or all of them")
}
