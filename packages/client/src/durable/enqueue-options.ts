/** What a caller asks of a stored invocation, checked. */
import { FnError, headerText, parseRef } from "@fn/core"
import type { InvocationSettings } from "@fn/queue"
import type { AsyncCallOptions } from "./durable-client.js"

const DAY_MS = 24 * 3_600_000
/** Longest delay, and longest wait in the queue. */
const MAX_DELAY_MS = 30 * DAY_MS
const MAX_TIMEOUT_MS = 7 * DAY_MS
const MAX_KEY_LENGTH = 1_024
const MAX_CALLBACK_LENGTH = 2_048

/** @throws {FnError} invalid_argument INVALID_REQUEST, INVALID_NAME */
export function queueSettings(options: AsyncCallOptions): Omit<InvocationSettings, "invocationId" | "version" | "keyed"> {
  const { timeoutMs, maxAgeMs, callback } = options
  if (timeoutMs !== undefined) checkSpan("timeoutMs", timeoutMs, MAX_TIMEOUT_MS)
  if (maxAgeMs !== undefined) checkSpan("maxAgeMs", maxAgeMs, MAX_DELAY_MS)
  if (callback !== undefined) checkCallback(callback)
  const notBefore = notBeforeOf(options)
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs: Math.ceil(timeoutMs) }),
    ...(maxAgeMs === undefined ? {} : { maxAgeMs: Math.ceil(maxAgeMs) }),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(callback === undefined ? {} : { callback }),
  }
}

/** @throws {FnError} invalid_argument INVALID_REQUEST */
export function checkKey(key: string): string {
  if (typeof key === "string" && key.length > 0 && key.length <= MAX_KEY_LENGTH) return key
  throw FnError.of("INVALID_REQUEST", `an idempotencyKey has 1 to ${MAX_KEY_LENGTH} characters`)
}

/** @throws {FnError} invalid_argument INVALID_REQUEST */
export function checkSpan(name: string, ms: number, maxMs: number = MAX_TIMEOUT_MS): number {
  if (ms > 0 && ms <= maxMs) return ms
  throw FnError.of("INVALID_REQUEST", `${name} must be more than 0 and at most ${maxMs}, not ${ms}`)
}

function notBeforeOf({ delayMs, at }: AsyncCallOptions): number | undefined {
  if (delayMs !== undefined && at !== undefined) throw FnError.of("INVALID_REQUEST", "give delayMs or at, not both")
  if (delayMs === 0) return undefined
  if (delayMs !== undefined) return Date.now() + Math.ceil(checkSpan("delayMs", delayMs, MAX_DELAY_MS))
  if (at === undefined) return undefined
  const time = typeof at === "string" ? Date.parse(at) : at.getTime()
  if (!Number.isFinite(time)) throw FnError.of("INVALID_REQUEST", `at must be a Date or an ISO time, not ${JSON.stringify(at)}`)
  if (time - Date.now() > MAX_DELAY_MS) throw FnError.of("INVALID_REQUEST", `at may be ${MAX_DELAY_MS / DAY_MS} days ahead at most`)
  return time > Date.now() ? time : undefined
}

/** Hosts decide what they deliver to; here only that it can be read. */
function checkCallback(callback: string): void {
  if (callback.length > MAX_CALLBACK_LENGTH || headerText(callback, MAX_CALLBACK_LENGTH) !== callback || callback.trim() !== callback)
    throw FnError.of("INVALID_REQUEST", `a callback is printable ASCII of at most ${MAX_CALLBACK_LENGTH} characters`)
  if (callback.startsWith("function:")) parseRef(callback.slice("function:".length))
  else if (callback.startsWith("event:") ? callback === "event:" : !/^https?:\/\/./.test(callback))
    throw FnError.of("INVALID_REQUEST", `a callback is https://…, event:{type} or function:{ref}, not ${JSON.stringify(callback)}`)
}
