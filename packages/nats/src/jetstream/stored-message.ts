/** Reading single messages of a stream by its direct-get API: no consumer, one round trip, from any replica. */
import { FnError, headerLine, readHeaderBlock } from "@fn/core"
import { rawHeaders } from "../inbox/raw.js"
import type { ReplyInbox } from "../inbox/reply-inbox.js"
import { apiSubject, JsCode } from "./api.js"
import { requestApi } from "./request.js"

/** A message as a stream keeps it. */
export interface StoredMessage {
  readonly subject: string
  readonly seq: number
  /** When it was stored, epoch ms by the server's clock. */
  readonly storedAt: number
  /** Its header lines without the server's own, as core's `headerLine` writes them. */
  readonly lines: string
  readonly data: Uint8Array
}

/** Which message: the last of a subject, that of a sequence, or the first of a subject (wildcards allowed) from a sequence on. */
export type MessageQuery = { readonly lastOf: string } | { readonly seq: number } | { readonly nextOf: string; readonly from?: number }

/** Where to read, and how long. */
export interface ReadOptions {
  readonly jsDomain?: string | undefined
  /** Default 5000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** Ask the stream's leader: a replica may be a moment behind. Default false. */
  readonly fromLeader?: boolean
}

const DEFAULT_TIMEOUT_MS = 5_000
const NOTHING = new Uint8Array(0)

/**
 * A stored message; undefined when there is none.
 * @throws {FnError} JETSTREAM_UNAVAILABLE, NOT_SET_UP, DISCONNECTED, DEADLINE_EXCEEDED (servers before 2.10 are silent about streams that are
 *   not there), CANCELLED
 */
export async function findMessage(
  inbox: ReplyInbox,
  stream: string,
  query: MessageQuery,
  options: ReadOptions = {},
): Promise<StoredMessage | undefined> {
  try {
    return options.fromLeader ? await readFromLeader(inbox, stream, query, options) : await readDirect(inbox, stream, query, options)
  } catch (thrown) {
    const error = FnError.from(thrown)
    if (error.reason === "NO_HOST") throw FnError.of("JETSTREAM_UNAVAILABLE", `stream ${stream} does not answer`, { cause: error })
    throw error
  }
}

/**
 * Deletes a message of a stream; nothing happens if it is gone. Its bytes stay on disk until the server tidies up.
 * @throws {FnError} JETSTREAM_UNAVAILABLE, NOT_SET_UP, NATS_PERMISSION, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function deleteMessage(
  inbox: ReplyInbox,
  stream: string,
  seq: number,
  options: Omit<ReadOptions, "fromLeader"> = {},
): Promise<void> {
  const { jsDomain, timeoutMs, signal } = options
  const request = { body: { seq, no_erase: true }, jsDomain, signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  try {
    await requestApi(inbox, `STREAM.MSG.DELETE.${stream}`, request)
  } catch (thrown) {
    const { errCode } = FnError.from(thrown).details ?? {}
    if (errCode === JsCode.sequenceNotFound || errCode === JsCode.noMessage) return
    // For a file that holds no more messages the server only says that it failed.
    if (errCode === JsCode.deleteFailed && !(await findMessage(inbox, stream, { seq }, { ...options, fromLeader: true }))) return
    throw thrown
  }
}

async function readDirect(
  inbox: ReplyInbox,
  stream: string,
  query: MessageQuery,
  options: ReadOptions,
): Promise<StoredMessage | undefined> {
  // The last of a subject has that subject in the question's own, so that a NATS user can be granted just those it may read.
  const call = "lastOf" in query ? `DIRECT.GET.${stream}.${query.lastOf}` : `DIRECT.GET.${stream}`
  const reply = await inbox.request(apiSubject(call, options.jsDomain), {
    data: "lastOf" in query ? undefined : JSON.stringify(requestOf(query)),
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    signal: options.signal,
  })
  const head = { subject: "", seq: 0, storedAt: 0, status: 0 }
  let lines = ""
  const block = rawHeaders(reply)
  if (block) {
    head.status = statusOf(block)
    readHeaderBlock(block, (name, value) => {
      if (name === "Nats-Subject") head.subject = value
      else if (name === "Nats-Sequence") head.seq = Number(value)
      else if (name === "Nats-Time-Stamp") head.storedAt = Date.parse(value)
      else if (!isServerHeader(name)) lines += headerLine(name, value)
    })
  }
  if (head.status === 404) return undefined
  if (head.status >= 400) throw FnError.of("JETSTREAM_UNAVAILABLE", `reading stream ${stream}: status ${head.status}`)
  return { subject: head.subject, seq: head.seq, storedAt: head.storedAt, lines, data: reply.data }
}

interface LeaderAnswer {
  readonly message: { subject: string; seq: number; time: string; hdrs?: string; data?: string }
}

async function readFromLeader(
  inbox: ReplyInbox,
  stream: string,
  query: MessageQuery,
  options: ReadOptions,
): Promise<StoredMessage | undefined> {
  const { jsDomain, timeoutMs, signal } = options
  const request = { body: requestOf(query), jsDomain, signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  const answer = await requestApi<LeaderAnswer>(inbox, `STREAM.MSG.GET.${stream}`, request).catch(unlessMissing)
  if (!answer) return undefined
  const { subject, seq, time, hdrs, data } = answer.message
  let lines = ""
  if (hdrs) {
    readHeaderBlock(Buffer.from(hdrs, "base64"), (name, value) => {
      if (!isServerHeader(name)) lines += headerLine(name, value)
    })
  }
  return { subject, seq, storedAt: Date.parse(time), lines, data: data ? Buffer.from(data, "base64") : NOTHING }
}

function unlessMissing(thrown: unknown): undefined {
  const error = FnError.from(thrown)
  if (error.details?.errCode !== JsCode.noMessage) throw error
  return undefined
}

/** Headers that a server put on or acted on: never copied when a message is published again. */
export function isServerHeader(name: string): boolean {
  return name.startsWith("Nats-") && !name.startsWith("Nats-Service-")
}

function requestOf(query: MessageQuery): Record<string, unknown> {
  if ("lastOf" in query) return { last_by_subj: query.lastOf }
  return "seq" in query ? { seq: query.seq } : { seq: query.from ?? 1, next_by_subj: query.nextOf }
}

/** The status in the first line of a header block (`NATS/1.0 404 …`); 0 where there is none. */
export function statusOf(block: Uint8Array): number {
  if (block.length < 13 || block[8] !== 32) return 0
  const digit = (at: number): number => (block[at] as number) - 48
  return digit(9) * 100 + digit(10) * 10 + digit(11)
}
