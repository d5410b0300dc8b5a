import { createLatencies } from "./latencies.mjs"
import { guardStalls } from "./stall-guard.mjs"

/**
 * Keeps `inFlight` calls going, each caller making its next one when the one before has ended: how much there is at most. For `durationMs`,
 * or until `count` calls were begun. `call` gets the number of the call. The first that fails fails the run.
 */
export async function closedLoop(call, { inFlight, durationMs = Number.POSITIVE_INFINITY, count = Number.POSITIVE_INFINITY }) {
  const latencies = createLatencies()
  const startedAt = performance.now()
  const end = startedAt + durationMs
  let begun = 0
  let ended = 0
  let failed = false
  const caller = async () => {
    for (let at = performance.now(); at < end && begun < count && !failed; ) {
      await call(begun++)
      const now = performance.now()
      latencies.recordMs(now - at)
      ended++
      at = now
    }
  }
  const callers = Array.from({ length: inFlight }, () =>
    caller().catch((error) => {
      failed = true // the others stop: what they would measure is worth nothing
      throw error
    }),
  )
  await guardStalls(settled(callers), () => ended)
  return { calls: ended, perSecond: (ended / (performance.now() - startedAt)) * 1000, ...latencies.summary() }
}

/** Resolves when all have ended; rejects with the first failure, but not before: nothing may go on behind the caller's back. */
async function settled(promises) {
  const outcomes = await Promise.allSettled(promises)
  const failure = outcomes.find(({ status }) => status === "rejected")
  if (failure) throw failure.reason
}
