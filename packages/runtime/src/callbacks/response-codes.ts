/** What becomes of a callback, by how its receiver answered. docs/protocol.md#callbacks */
import { FnError } from "@fn/core"

/** How often and when a delivery is tried. */
export interface CallbackRetry {
  readonly attempts: number
  /** Pause after the first attempt, ms; doubled after each, up to `maxMs`. */
  readonly initialMs: number
  readonly maxMs: number
}

/** Ten attempts in about an hour. */
export const CALLBACK_RETRY: CallbackRetry = { attempts: 10, initialMs: 10_000, maxMs: 900_000 }

/** Answers that may be another one next time, beside all of 5xx. */
const RETRIED_CODES: ReadonlySet<number> = new Set([408, 425, 429])

/** The error a status means; undefined when the delivery is done. `retryable` says whether it is tried again. */
export function errorOfStatus(status: number, retryAfter: string | undefined, now: number = Date.now()): FnError | undefined {
  if (status >= 200 && status < 300) return undefined
  const retryable = status >= 500 || RETRIED_CODES.has(status)
  const retryAfterMs = retryable ? parseRetryAfter(retryAfter, now) : undefined
  const why = status >= 300 && status < 400 ? `${status}, and redirects are not followed` : String(status)
  return FnError.of("CALLBACK_FAILED", `the receiver answered ${why}`, {
    retryable,
    details: { status },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** How long the next attempt waits, ms. `random` is from 0 to 1. */
export function callbackDelayMs(error: FnError, attempt: number, retry: CallbackRetry, random: number = Math.random()): number {
  const backoffMs = Math.min(retry.maxMs, retry.initialMs * 2 ** (attempt - 1))
  // A tenth of it drawn: what failed together does not come back together.
  const delayMs = Math.round(backoffMs * (0.95 + random / 10))
  // A receiver may ask for more time, but not for ever: a consumer that nobody pulls from is deleted.
  return Math.min(retry.maxMs, Math.max(delayMs, error.retryAfterMs ?? 0))
}

/** `Retry-After`, in its form in seconds and as a date; undefined for anything else. RFC 9110 §10.2.3 */
function parseRetryAfter(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1_000
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
