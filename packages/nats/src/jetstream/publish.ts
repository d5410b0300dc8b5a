/**
 * Publishing into a stream, acknowledged.
 *
 * Costs a fifth of the client's own `js.publish`, which makes an Error a call. A publish that was not answered is repeated only on
 * request: it needs a message id, or an expected sequence, to be stored once.
 */
import { FnError, messageOf } from "@fn/core"
import type { ReplyInbox } from "../inbox/reply-inbox.js"
import { type ApiError, errorFromApi, isPassing } from "./api.js"

/** What a stream answers to a publish. */
export interface PubAck {
  readonly stream: string
  readonly seq: number
  /** The stream had a message of this id within its duplicate window: nothing was stored. */
  readonly duplicate: boolean
}

/** One acknowledged publish. */
export interface PublishAckedOptions {
  /** Header lines made by core's `headerLine`. */
  readonly lines?: string
  readonly data?: Uint8Array | string | undefined
  /** Time for everything, repeats included, ms. Default 5000, with `repeat` 10 000: a stream that lost its leader has none for up to six seconds. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** Repeat when nobody answered (no leader, lost connection, time-out). Only with a message id or an expected sequence in `lines`. Default false. */
  readonly repeat?: boolean
}

const DEFAULT_TIMEOUT_MS = 5_000
const DEFAULT_REPEAT_MS = 10_000
/** One try of a publish that may be repeated. */
const TRY_MS = 2_000
const PAUSE_MS = 100

/**
 * Stores a message and resolves with where it is.
 * @throws {FnError} aborted STALE_REVISION (an expected sequence was another), resource_exhausted STORAGE_FULL or PAYLOAD_TOO_LARGE,
 *   unavailable JETSTREAM_UNAVAILABLE (no stream on the subject, or no leader now) or DISCONNECTED, deadline_exceeded, cancelled
 */
export async function publishAcked(inbox: ReplyInbox, subject: string, options: PublishAckedOptions = {}): Promise<PubAck> {
  if (!options.repeat) return publishOnce(inbox, subject, options, options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
  const until = performance.now() + (options.timeoutMs ?? DEFAULT_REPEAT_MS)
  for (;;) {
    const leftMs = until - performance.now()
    try {
      return await publishOnce(inbox, subject, options, Math.max(1, Math.min(TRY_MS, leftMs)))
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (!mayBeRepeated(error) || options.signal?.aborted || until - performance.now() <= PAUSE_MS) throw error
      await pause(PAUSE_MS)
    }
  }
}

/** Whether a publish that failed so may succeed when it is repeated. */
export function mayBeRepeated(error: FnError): boolean {
  return isPassing(error) || error.reason === "DISCONNECTED" || error.reason === "DEADLINE_EXCEEDED"
}

async function publishOnce(inbox: ReplyInbox, subject: string, options: PublishAckedOptions, timeoutMs: number): Promise<PubAck> {
  const { lines, data, signal } = options
  try {
    const reply = await inbox.request(subject, { lines, data, timeoutMs, signal })
    return readPubAck(reply.data, subject)
  } catch (thrown) {
    const error = FnError.from(thrown)
    // Nobody listens: no stream takes this subject, or it has no leader at this moment.
    if (error.reason === "NO_HOST") throw FnError.of("JETSTREAM_UNAVAILABLE", `no stream answers on ${subject}`, { cause: error })
    throw error
  }
}

/** The answer to a publish. @throws {FnError} as {@link publishAcked} */
function readPubAck(payload: Uint8Array, subject: string): PubAck {
  let ack: { stream?: unknown; seq?: unknown; duplicate?: unknown; error?: ApiError }
  try {
    ack = (JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8")) as typeof ack | null) ?? {}
  } catch (thrown) {
    throw FnError.of("JETSTREAM_UNAVAILABLE", `what answers on ${subject} is no stream: ${messageOf(thrown)}`)
  }
  if (ack.error) throw errorFromApi(ack.error, `publishing to ${subject}`)
  if (typeof ack.stream !== "string" || typeof ack.seq !== "number")
    throw FnError.of("JETSTREAM_UNAVAILABLE", `what answers on ${subject} is no stream`)
  return { stream: ack.stream, seq: ack.seq, duplicate: ack.duplicate === true }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
