/** A durable invocation as a message of the queue: what its headers say beside the event. docs/protocol.md#durable-invocations */
import { createHash } from "node:crypto"
import { FnError, type FunctionRef, Header, headerLine, isId, MAX_HOPS, newId } from "@fn/core"
import { type PubAck, publishAcked } from "@fn/nats"
import type { QueueAccess } from "./access.js"

/** What the headers of a queued message ask for. */
export interface InvocationSettings {
  readonly invocationId: string
  /** Exact version or alias; the active version at each attempt otherwise. */
  readonly version?: string | undefined
  /** Time one attempt may take, ms; the function's own otherwise. For a spilled call: what was left of its deadline when it was stored. */
  readonly timeoutMs?: number | undefined
  /** Epoch ms before which it must not run. */
  readonly notBefore?: number | undefined
  /** Not run when it has waited longer, ms: dead-lettered EXPIRED. */
  readonly maxAgeMs?: number | undefined
  /** Where the result is delivered too: `https://…`, `event:{type}`, `function:{name}`. */
  readonly callback?: string | undefined
  /** Inbox that gets the result too, while it lives. */
  readonly replyTo?: string | undefined
  /** The invocation has an idempotency key: claimed before it runs. */
  readonly keyed?: boolean | undefined
  /** A sync call that found no free host: one attempt, answered to `replyTo` only. */
  readonly spilled?: boolean | undefined
  readonly hops?: number | undefined
}

/** Header lines of a queued message; the event's own lines follow. */
export function invocationLines(settings: InvocationSettings): string {
  const { version, timeoutMs, notBefore, maxAgeMs, callback, replyTo, keyed, spilled, hops } = settings
  // A sync call may be made twice with one id, and each caller waits: only its own repeats are to be dropped.
  const messageId = spilled ? newId() : settings.invocationId
  let lines = headerLine(Header.invocationId, settings.invocationId) + headerLine("Nats-Msg-Id", messageId)
  if (version !== undefined) lines += headerLine(Header.version, version)
  if (timeoutMs !== undefined) lines += headerLine(Header.timeoutMs, timeoutMs)
  if (notBefore !== undefined) lines += headerLine(Header.notBefore, notBefore)
  if (maxAgeMs !== undefined) lines += headerLine(Header.maxAgeMs, maxAgeMs)
  if (callback !== undefined) lines += headerLine(Header.callback, callback)
  if (replyTo !== undefined) lines += headerLine(Header.replyTo, replyTo)
  if (keyed) lines += headerLine(Header.idempotencyKey, "1")
  if (spilled) lines += headerLine(Header.spilled, 1)
  if (hops) lines += headerLine(Header.hops, hops)
  return lines
}

/** Takes one header line of a queued message; false when it is none of ours (then it may be the event's). */
export function takeInvocationHeader(
  settings: { -readonly [Key in keyof InvocationSettings]?: InvocationSettings[Key] },
  name: string,
  value: string,
): boolean {
  switch (name) {
    case Header.invocationId:
      if (isId(value)) settings.invocationId = value
      return true
    case Header.version:
      settings.version = value
      return true
    case Header.timeoutMs:
      settings.timeoutMs = positive(value)
      return true
    case Header.notBefore:
      settings.notBefore = positive(value)
      return true
    case Header.maxAgeMs:
      settings.maxAgeMs = positive(value)
      return true
    case Header.callback:
      settings.callback = value
      return true
    case Header.replyTo:
      settings.replyTo = value
      return true
    case Header.idempotencyKey:
      settings.keyed = true
      return true
    case Header.spilled:
      settings.spilled = true
      return true
    case Header.hops:
      settings.hops = Math.min(positive(value) ?? 0, MAX_HOPS + 1)
      return true
    default:
      return false
  }
}

/**
 * Id of an invocation that was stored without one: `q` and its sequence, which its publisher knows from the acknowledgement.
 */
export function sequenceId(seq: number): string {
  return `q${seq}`
}

/** The invocation id of an idempotency key: the same for the same namespace, function and key. */
export function keyedInvocationId(ref: FunctionRef, key: string): string {
  return createHash("sha256").update(`${ref.namespace}\0${ref.name}\0${key}`).digest("base64url").slice(0, newId().length)
}

/** An invocation to be stored. */
export interface EnqueueRequest {
  readonly ref: FunctionRef
  /** Where it is queued. Default: the function's own subject. */
  readonly subject?: string
  /** {@link invocationLines} and the event's lines. */
  readonly lines: string
  readonly data?: Uint8Array | undefined
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Stores an invocation; it is accepted once this resolves. Safe to repeat: the message id keeps a second copy out.
 * @throws {FnError} resource_exhausted QUEUE_FULL, PAYLOAD_TOO_LARGE; unavailable JETSTREAM_UNAVAILABLE, DISCONNECTED; deadline_exceeded; cancelled
 */
export async function enqueue(access: QueueAccess, request: EnqueueRequest): Promise<PubAck> {
  const { ref, subject = access.names.subjects.queue(ref), lines, data, timeoutMs, signal } = request
  try {
    return await publishAcked(access.inbox, subject, {
      lines,
      data,
      signal,
      repeat: true,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  } catch (thrown) {
    const error = FnError.from(thrown)
    if (error.reason !== "STORAGE_FULL") throw error
    throw FnError.of("QUEUE_FULL", `the queue takes no more invocations of ${ref.namespace}/${ref.name}: ${error.message}`, {
      cause: error,
    })
  }
}

function positive(text: string): number | undefined {
  const value = Number(text)
  return Number.isFinite(value) && value > 0 ? value : undefined
}
