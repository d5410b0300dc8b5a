/** What becomes of a delivery before it runs: by what it says of itself, and by what is stored of its invocation. */
import { FnError } from "@fn/core"
import { claim, findResult, type QueueAccess, storeResult } from "@fn/queue"
import { type Delivery, waitedMs } from "./delivery.js"
import type { ResolvedQueueSettings } from "./settings.js"
import type { Outcome } from "./tail.js"

/** See the head of this file. */
export type Verdict =
  | { readonly kind: "run" }
  /** Given back, to come again. */
  | { readonly kind: "put-off"; readonly delayMs: number }
  /** Kept, and looked at again. */
  | { readonly kind: "hold"; readonly forMs: number }
  | { readonly kind: "ended"; readonly outcome: Outcome }
  /** Another message has the invocation. */
  | { readonly kind: "duplicate" }

const RUN: Verdict = { kind: "run" }
/** Past this, a clock that differs from the one that deferred a message is held out instead of deferring again, ms. */
const HOLD_MS = 5_000

/** What the message itself says. */
export function examine(delivery: Delivery, settings: ResolvedQueueSettings | undefined): Verdict {
  const now = Date.now()
  const { notBefore = 0, spilled, maxAgeMs = settings?.maxAgeMs ?? Number.POSITIVE_INFINITY } = delivery.settings
  if (spilled) return examineSpilled(delivery, now)
  const leftMs = notBefore - now
  // Put off even when its time has come meanwhile: so each later delivery is an attempt, and they can be counted.
  if (delivery.wasDeferred && delivery.info.deliveries === 1) return { kind: "put-off", delayMs: Math.max(0, leftMs) }
  if (leftMs > HOLD_MS) return { kind: "put-off", delayMs: leftMs }
  if (leftMs > 0) return { kind: "hold", forMs: leftMs }
  const waited = waitedMs(delivery, now)
  if (waited > maxAgeMs) return unrun(FnError.of("EXPIRED", `the invocation waited ${waited} ms, longer than its ${maxAgeMs} ms`))
  const attempts = settings?.attempts ?? 1
  return delivery.attempt <= attempts ? RUN : unrun(exhausted())
}

/** A sync call in the queue has one attempt, and a caller who waits. */
function examineSpilled({ settings, info }: Delivery, now: number): Verdict {
  if (info.deliveries > 1)
    return unrun(FnError.of("OUTCOME_UNKNOWN", "the host that took the call is gone; it may have run, and is not run again"))
  if (settings.timeoutMs !== undefined && info.storedAt + settings.timeoutMs <= now)
    return unrun(FnError.of("DEADLINE_EXCEEDED", `the call did not start within the ${settings.timeoutMs} ms it had left`))
  return RUN
}

/** Whether {@link lookUp} could say anything else than that it runs. */
export function hasHistory({ info, settings }: Delivery): boolean {
  return info.deliveries > 1 || settings.keyed === true
}

/**
 * What is stored: an earlier attempt may have ended it, or another message of the same key have claimed it.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function lookUp(access: QueueAccess, delivery: Delivery): Promise<Verdict> {
  const { invocationId, settings, info, ref } = delivery
  if (settings.keyed) {
    const held = await claim(access, ref.namespace, invocationId, delivery.seq)
    if (held.kind === "other") {
      // Whoever asks late for what the stream of results has forgotten gets it again.
      if (held.result) await storeResult(access, ref.namespace, invocationId, held.result)
      return { kind: "duplicate" }
    }
  }
  if (info.deliveries === 1) return RUN
  const result = await findResult(access, ref.namespace, invocationId, { fromLeader: true })
  return result ? { kind: "ended", outcome: { kind: "stored", result } } : RUN
}

/** The failure of an invocation that came more often than it has attempts. */
export function exhausted(): FnError {
  return FnError.of("ATTEMPTS_EXHAUSTED", "all attempts ended without an outcome: the hosts that ran them are gone")
}

/** The failure of an invocation whose caller cancelled it. */
export function cancelledError(): FnError {
  return FnError.of("CANCELLED", "the caller cancelled")
}

function unrun(error: FnError): Verdict {
  return { kind: "ended", outcome: { kind: "error", error, unrun: true } }
}
