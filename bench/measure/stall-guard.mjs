/** So long without a single reply, while calls are under way, is a failure: nobody waits for a reply that was lost. */
const STALL_MS = 60_000

/**
 * Resolves with what `work` gives; rejects when `count` has not changed for `stallMs`. A timer for all calls instead of one for each, which would be a
 * part of what is measured.
 */
export async function guardStalls(work, count, stallMs = STALL_MS) {
  let timer
  const stalled = new Promise((_resolve, reject) => {
    let last = count()
    timer = setInterval(() => {
      if (count() === last) reject(new Error(`no call ended within ${stallMs} ms: a reply was lost`))
      last = count()
    }, stallMs)
  })
  try {
    return await Promise.race([work, stalled])
  } finally {
    clearInterval(timer)
  }
}
