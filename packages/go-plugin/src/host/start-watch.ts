import { FnError } from "@fn/core"

/** The limits of a start: its time-out, and the caller's signal. */
export interface StartWatch {
  /** `work`, unless the time or the caller's patience ends first. */
  race<T>(work: Promise<T>): Promise<T>
  leftMs(): number
  stop(): void
}

/** Starts the clock. @throws from `race`: {FnError} PLUGIN_START_TIMEOUT, CANCELLED */
export function startWatch(timeoutMs: number, signal: AbortSignal | undefined): StartWatch {
  const end = performance.now() + timeoutMs
  let fail: (error: FnError) => void = () => undefined
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  // It may fail between two races, when nobody listens.
  failed.catch(() => undefined)
  const timer = setTimeout(() => fail(FnError.of("PLUGIN_START_TIMEOUT", `the plugin was not ready within ${timeoutMs} ms`)), timeoutMs)
  const onAbort = (): void => fail(FnError.from(signal?.reason, "cancelled", "CANCELLED"))
  // It may have been aborted before anybody listened.
  if (signal?.aborted) onAbort()
  signal?.addEventListener("abort", onAbort, { once: true })
  return {
    race: (work) => Promise.race([work, failed]),
    // The health check gets a little more than the rest, so that running out of time is told as such.
    leftMs: () => Math.max(0, end - performance.now()) + 500,
    stop: () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", onAbort)
    },
  }
}
