/**
 * Reading a stretch of a stream: an ephemeral consumer for as long as it takes.
 *
 * It lives in memory, needs no acknowledgements, is deleted at the end, and goes by itself should its reader die. Not for work queues,
 * which have no consumers beside their workers'.
 */
import { FnError, headerLine, newId, readHeaderBlock } from "@fn/core"
import type { NatsConnection } from "@nats-io/transport-node"
import { fromNatsError } from "../connection/errors.js"
import { watchConnection } from "../connection/watch.js"
import { publishRaw, type RawMsg, rawHeaders } from "../inbox/raw.js"
import { inboxPrefixOf, type ReplyInbox } from "../inbox/reply-inbox.js"
import { apiSubject, JsCode } from "./api.js"
import { readDelivery } from "./delivery.js"
import { requestApi } from "./request.js"
import { isServerHeader, type StoredMessage, statusOf } from "./stored-message.js"

/** What is read, and through what. */
export interface ScanOptions {
  readonly nc: NatsConnection
  readonly inbox: ReplyInbox
  readonly stream: string
  /** Only messages of this subject, wildcards allowed. */
  readonly subject: string
  /** Leave out the bodies. Default false. */
  readonly headersOnly?: boolean | undefined
  readonly jsDomain?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A stretch of a stream while it is read. Close it. */
export interface Scan {
  /** Messages from where it began to the end of the stream, when it was opened. */
  readonly pending: number
  /**
   * The next messages in their order, at most `max`; fewer, or none, at the end of the stream.
   * @throws {FnError} JETSTREAM_UNAVAILABLE when the server falls silent, DISCONNECTED, CANCELLED
   */
  read(max: number): Promise<StoredMessage[]>
  close(): Promise<void>
}

/** A consumer that nobody asks anything for so long is deleted by the server. */
const INACTIVE_NS = 30e9
const SILENCE_MS = 5_000
const NOTHING = new Uint8Array(0)

/**
 * Opens a scan at sequence `from`.
 * @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE, NATS_PERMISSION, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function openScan(options: ScanOptions, from: number): Promise<Scan> {
  const { inbox, stream, subject, headersOnly = false, jsDomain, signal } = options
  const name = newId()
  const { num_pending: pending } = await requestApi<{ num_pending: number }>(inbox, `CONSUMER.CREATE.${stream}.${name}.${subject}`, {
    jsDomain,
    signal,
    body: {
      stream_name: stream,
      config: {
        name,
        filter_subject: subject,
        ack_policy: "none",
        deliver_policy: "by_start_sequence",
        opt_start_seq: Math.max(1, from),
        replay_policy: "instant",
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: INACTIVE_NS,
        ...(headersOnly ? { headers_only: true } : {}),
      },
    },
  })
  const next = apiSubject(`CONSUMER.MSG.NEXT.${stream}.${name}`, jsDomain)
  return {
    pending,
    read: (max) => pull(options, next, max),
    async close() {
      if (!inbox.connected) return
      await requestApi(inbox, `CONSUMER.DELETE.${stream}.${name}`, { jsDomain }).catch(unlessGone)
    },
  }
}

/** A consumer that cannot be deleted now goes by itself. */
function unlessGone(thrown: unknown): void {
  const error = FnError.from(thrown)
  const isGone = error.details?.errCode === JsCode.consumerNotFound
  if (!isGone && error.code !== "unavailable" && error.code !== "deadline_exceeded") throw error
}

/** One pull. What it delivers keeps the subject it was stored under, so that a shared inbox would not know it: it has a subscription. */
function pull({ nc, inbox, signal }: ScanOptions, next: string, batch: number): Promise<StoredMessage[]> {
  return new Promise((resolve, reject) => {
    const messages: StoredMessage[] = []
    const reply = `${inboxPrefixOf(nc)}.${newId()}`
    let isOver = false
    const end = (error?: FnError): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      signal?.removeEventListener("abort", onAbort)
      unwatch()
      subscription.unsubscribe()
      if (error) reject(error)
      else resolve(messages)
    }
    const onAbort = (): void => end(FnError.from(signal?.reason, "cancelled"))
    const subscription = nc.subscribe(reply, {
      callback: (refused, msg) => {
        if (refused) return end(fromNatsError(refused, "subscribing to an inbox"))
        timer.refresh()
        const status = msg.subject === reply ? statusOf(rawHeaders(msg) ?? NOTHING) : 0
        // 404 and 408: nothing more. 100 is a sign of life.
        if (status === 404 || status === 408) return end()
        if (status >= 400) return end(FnError.of("JETSTREAM_UNAVAILABLE", `reading a stream: status ${status}`))
        if (status === 0) messages.push(delivered(msg))
        if (messages.length === batch) end()
      },
    })
    const timer = setTimeout(() => end(FnError.of("JETSTREAM_UNAVAILABLE", "reading a stream: the server fell silent")), SILENCE_MS)
    const unwatch = watchConnection(nc).onDisconnect(end)
    if (signal?.aborted) return onAbort()
    if (!inbox.connected) return end(FnError.of("DISCONNECTED", "reading a stream: not connected to NATS"))
    signal?.addEventListener("abort", onAbort, { once: true })
    try {
      publishRaw(nc, next, JSON.stringify({ batch, no_wait: true }), { reply })
    } catch (thrown) {
      end(FnError.from(thrown))
    }
  })
}

function delivered(msg: RawMsg): StoredMessage {
  const { seq = 0, storedAt = 0 } = readDelivery(msg.reply ?? "") ?? {}
  let lines = ""
  const block = rawHeaders(msg)
  if (block) {
    readHeaderBlock(block, (name, value) => {
      if (!isServerHeader(name)) lines += headerLine(name, value)
    })
  }
  return { subject: msg.subject, seq, storedAt, lines, data: msg.data }
}
