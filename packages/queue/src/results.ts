/** Results of invocations: the first that is written is the result. */
import { FnError, headerLine } from "@fn/core"
import { findMessage, publishAcked, type StoredMessage } from "@fn/nats"
import type { QueueAccess } from "./access.js"

/** A result as a message: header lines and body of the reply that a sync caller would have got. */
export interface ResultMessage {
  readonly lines: string
  readonly data: Uint8Array
}

const FIRST = headerLine("Nats-Expected-Last-Subject-Sequence", 0)

/**
 * Stores the result of an invocation. False when there is one already: ours is dropped. Whoever listens on its subject hears it either way.
 * Repeats while nobody answers, up to `timeoutMs`.
 * @throws {FnError} STORAGE_FULL, PAYLOAD_TOO_LARGE, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function storeResult(
  access: QueueAccess,
  namespace: string,
  id: string,
  result: ResultMessage & { readonly timeoutMs?: number; readonly signal?: AbortSignal },
): Promise<boolean> {
  const { lines, data, timeoutMs, signal } = result
  try {
    await publishAcked(access.inbox, access.names.subjects.result(namespace, id), {
      lines: lines + FIRST,
      data,
      repeat: true,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(signal === undefined ? {} : { signal }),
    })
    return true
  } catch (thrown) {
    const error = FnError.from(thrown)
    // Also when our own first try was stored and only its answer was lost: the result is there either way.
    if (error.reason === "STALE_REVISION") return false
    throw error
  }
}

/** The stored result of an invocation; undefined while there is none, and after its time. @throws {FnError} JETSTREAM_UNAVAILABLE, DISCONNECTED … */
export function findResult(
  access: QueueAccess,
  namespace: string,
  id: string,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal; readonly fromLeader?: boolean } = {},
): Promise<StoredMessage | undefined> {
  const { names, inbox, jsDomain } = access
  return findMessage(inbox, names.results, { lastOf: names.subjects.result(namespace, id) }, { ...options, jsDomain })
}
