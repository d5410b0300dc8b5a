/** Work for a processor: `rounds` steps of a generator of pseudo-random numbers; the result shows that they were made. */
export function burn(rounds) {
  let state = 88_172_645
  for (let round = 0; round < rounds; round++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
  }
  return state
}

/** How many rounds of {@link burn} take `ms` here and now. */
export function calibrateBurn(ms) {
  let best = Number.POSITIVE_INFINITY
  const rounds = 1_000_000
  // The best of many: the compiler has done its part by then, and the others on the machine disturb some.
  for (let n = 0; n < 50; n++) {
    const startedAt = performance.now()
    burn(rounds)
    best = Math.min(best, performance.now() - startedAt)
  }
  return Math.round((rounds / best) * ms)
}
