import { setTimeout as delay, setImmediate as turn } from "node:timers/promises"
import { createLatencies } from "./latencies.mjs"
import { guardStalls } from "./stall-guard.mjs"

/** Timers come about a millisecond late: the rest of a wait is spent looking at the clock. */
const TIMER_ERROR_MS = 1.2
const LONGEST_SLEEP_MS = 50
/** After so many calls in one go the event loop gets a turn, however late we are. */
const BURST = 64

/**
 * Begins `perSecond` calls each second, whether the ones before have ended or not, for `durationMs` or until `stopped` says so: what callers
 * who know nothing of each other see. A latency counts from the moment at which the call was due. So what stalls one call is in the latency of
 * each call that was due meanwhile, even where it kept us from making them. The first call that fails fails the run.
 */
export async function openLoop(call, { perSecond, durationMs = Number.POSITIVE_INFINITY, stopped = () => false }) {
  const latencies = createLatencies()
  const intervalMs = 1000 / perSecond
  const startedAt = performance.now()
  const pending = new Set()
  let begun = 0
  let failure
  const begin = (dueAt) => {
    const calling = call(begun++)
      .then(
        () => latencies.recordMs(performance.now() - dueAt),
        (error) => {
          failure ??= { error }
        },
      )
      .finally(() => pending.delete(calling))
    pending.add(calling)
  }
  while (!failure && !stopped()) {
    const dueAt = startedAt + begun * intervalMs
    if (dueAt >= startedAt + durationMs) break
    const waitMs = dueAt - performance.now()
    if (waitMs - TIMER_ERROR_MS >= 1) await delay(Math.min(waitMs - TIMER_ERROR_MS, LONGEST_SLEEP_MS))
    else if (waitMs > 0) await turn()
    else {
      begin(dueAt)
      if (begun % BURST === 0) await turn()
    }
  }
  await guardStalls(Promise.all(pending), () => pending.size)
  if (failure) throw failure.error
  return { calls: begun, perSecond: (begun / (performance.now() - startedAt)) * 1000, ...latencies.summary() }
}
