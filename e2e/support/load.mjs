/** Load on functions, and what became of it. */

/**
 * Keeps `inFlight` calls going until `count` were made or `stopped` says so. `call` gets the number of the call.
 * @param {{ inFlight: number, count?: number, stopped?: () => boolean }} options
 * @param {(n: number) => Promise<void>} call must not reject
 */
export async function closedLoop({ inFlight, count = Number.POSITIVE_INFINITY, stopped = () => false }, call) {
  let made = 0
  const worker = async () => {
    while (made < count && !stopped()) await call(made++)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return made
}

/**
 * Makes `perSecond` calls each second, whether the ones before have ended or not, until it is stopped.
 * @param {number} perSecond
 * @param {(n: number) => Promise<void>} call must not reject
 */
export function openLoop(perSecond, call) {
  /** @type {Set<Promise<void>>} */
  const pending = new Set()
  const startedAt = performance.now()
  let made = 0
  const timer = setInterval(() => {
    // By the clock: a timer that comes late makes up for it.
    for (const due = ((performance.now() - startedAt) * perSecond) / 1000; made < due; ) {
      const calling = call(made++).finally(() => pending.delete(calling))
      pending.add(calling)
    }
  }, 5)
  return {
    /** Calls made so far. */
    get made() {
      return made
    },
    /** Makes no more, and resolves with their number when all have ended. */
    async stop() {
      clearInterval(timer)
      await Promise.all(pending)
      return made
    },
  }
}
