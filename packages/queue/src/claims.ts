/** Claims of idempotency keys: which queued message an invocation belongs to, for as long as the key is remembered. */
import { FnError, headerLine } from "@fn/core"
import { findMessage, publishAcked } from "@fn/nats"
import type { QueueAccess } from "./access.js"

const FIRST = headerLine("Nats-Expected-Last-Subject-Sequence", 0)

/**
 * Claims an invocation for the queued message `seq`. True when it is that message's, now or since an earlier delivery; false when another
 * message had it before: this one is a duplicate.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function claim(access: QueueAccess, namespace: string, id: string, seq: number): Promise<boolean> {
  const { inbox, names, jsDomain } = access
  const subject = names.subjects.claim(namespace, id)
  try {
    await publishAcked(inbox, subject, { lines: FIRST, data: JSON.stringify({ seq }), repeat: true })
    return true
  } catch (thrown) {
    const error = FnError.from(thrown)
    if (error.reason !== "STALE_REVISION") throw error
  }
  const held = await findMessage(inbox, names.claims, { lastOf: subject }, { jsDomain, fromLeader: true })
  // Gone between the two: its time was over.
  if (!held) return true
  return (JSON.parse(Buffer.from(held.data).toString("utf8")) as { seq?: unknown }).seq === seq
}
