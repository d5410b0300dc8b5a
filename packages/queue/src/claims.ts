/**
 * Claims of idempotency keys: which queued message an invocation belongs to, for as long as the key is remembered; once it has ended, with its
 * result, which so outlives the stream of results. docs/protocol.md#idempotency
 */
import { FnError, headerLine } from "@fn/core"
import { findMessage, publishAcked, type StoredMessage } from "@fn/nats"
import type { QueueAccess } from "./access.js"
import type { ResultMessage } from "./results.js"

/** What became of a claim. */
export type Claim =
  /** It is this message's, now or since an earlier delivery. */
  | { readonly kind: "ours" }
  /** Another message had it before: this one is a duplicate. `result` once that one has ended, unless it was too large to be kept. */
  | { readonly kind: "other"; readonly result?: ResultMessage }

interface ClaimBody {
  readonly seq: number
  readonly result?: { readonly lines: string; readonly data: string }
}

const EXPECTED = "Nats-Expected-Last-Subject-Sequence"
/** Room for subject and headers of the message that keeps a result. */
const SPARE_BYTES = 1_024

/**
 * Claims an invocation for the queued message `seq`.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function claim(access: QueueAccess, namespace: string, id: string, seq: number): Promise<Claim> {
  const subject = access.names.subjects.claim(namespace, id)
  for (;;) {
    try {
      await publishAcked(access.inbox, subject, { lines: headerLine(EXPECTED, 0), data: JSON.stringify({ seq }), repeat: true })
      return { kind: "ours" }
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (error.reason !== "STALE_REVISION") throw error
    }
    const held = await findClaim(access, subject)
    // Gone between the two when its time was over: then it can be had.
    if (held) return claimOf(held, seq)
  }
}

/**
 * Keeps the result of an invocation with its claim, from now on for the whole time a key is remembered. Nothing happens when the claim is
 * not this message's any more, or the result too large for one message.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function completeClaim(
  access: QueueAccess,
  namespace: string,
  id: string,
  done: { readonly seq: number; readonly result: ResultMessage },
): Promise<void> {
  const { seq, result } = done
  const subject = access.names.subjects.claim(namespace, id)
  const body: ClaimBody = { seq, result: { lines: result.lines, data: Buffer.from(result.data).toString("base64") } }
  const data = JSON.stringify(body)
  if (data.length + SPARE_BYTES > (access.nc.info?.max_payload ?? 0)) return
  const held = await findClaim(access, subject)
  if (!held || claimOf(held, seq).kind !== "ours") return
  try {
    await publishAcked(access.inbox, subject, { lines: headerLine(EXPECTED, held.seq), data, repeat: true })
  } catch (thrown) {
    const error = FnError.from(thrown)
    // Our own write whose answer was lost, or another attempt's of the same result.
    if (error.reason !== "STALE_REVISION") throw error
  }
}

function findClaim({ inbox, names, jsDomain }: QueueAccess, subject: string): Promise<StoredMessage | undefined> {
  return findMessage(inbox, names.claims, { lastOf: subject }, { jsDomain, fromLeader: true })
}

function claimOf(held: StoredMessage, seq: number): Claim {
  const body = JSON.parse(Buffer.from(held.data).toString("utf8")) as ClaimBody
  if (body.seq === seq) return { kind: "ours" }
  if (!body.result) return { kind: "other" }
  return { kind: "other", result: { lines: body.result.lines, data: Buffer.from(body.result.data, "base64") } }
}
