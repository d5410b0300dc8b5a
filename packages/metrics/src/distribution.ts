/** Upper bounds of the histogram buckets, in seconds: from a builtin's call to a function's default time-out. */
export const BUCKETS_SECONDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/** Durations counted by bucket: what a histogram has before anybody asks for it. */
export class Distribution {
  /** How many fell into each bucket, the last one being those past every bound. */
  readonly counts: Float64Array = new Float64Array(BUCKETS_SECONDS.length + 1)
  sumSeconds = 0

  observe(durationMs: number): void {
    const seconds = durationMs / 1000
    let bucket = 0
    // Most calls are short and stop early.
    while (bucket < BUCKETS_SECONDS.length && seconds > (BUCKETS_SECONDS[bucket] as number)) bucket++
    this.counts[bucket] = (this.counts[bucket] as number) + 1
    this.sumSeconds += seconds
  }
}
