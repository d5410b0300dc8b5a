import { FnError } from "@fn/core"

/** The limits of a start: its time-out, and the caller's signal. */
export interface StartWatch {
  /** `work`, unless the time or the caller's patience ends first. */
  race<T>(work: Promise<T>): Promise<T>
  leftMs(): number
  stop(): void
}

/** go-plugin's own default. */
export const DEFAULT_START_TIMEOUT_MS = 60_000

/** What tells the time. */
export interface Clock {
  now(): number
  /** The result takes it back. */
  after(ms: number, call: () => void): () => void
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

/** Starts the clock. @throws from `race`: {FnError} PLUGIN_START_TIMEOUT, CANCELLED */
export function startWatch(
  timeoutMs: number = DEFAULT_START_TIMEOUT_MS,
  signal: AbortSignal | undefined = undefined,
  clock: Clock = SYSTEM_CLOCK,
): StartWatch {
  const end = clock.now() + timeoutMs
  let fail: (error: FnError) => void = () => undefined
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  // It may fail between two races, when nobody listens.
  failed.catch(() => undefined)
  const forget = clock.after(timeoutMs, () => fail(FnError.of("PLUGIN_START_TIMEOUT", `the plugin was not ready within ${timeoutMs} ms`)))
  const onAbort = (): void => fail(FnError.from(signal?.reason, "cancelled", "CANCELLED"))
  // It may have been aborted before anybody listened.
  if (signal?.aborted) onAbort()
  signal?.addEventListener("abort", onAbort, { once: true })
  return {
    race: (work) => Promise.race([work, failed]),
    // The health check gets a little more than the rest, so that running out of time is told as such.
    leftMs: () => Math.max(0, end - clock.now()) + 500,
    stop: () => {
      forget()
      signal?.removeEventListener("abort", onAbort)
    },
  }
}
