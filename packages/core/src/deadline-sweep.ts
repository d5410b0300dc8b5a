/**
 * Deadlines of many short waits on one timer.
 *
 * A timer per call costs half a microsecond to make and clear, and an AbortSignal six; calls nearly always end long before their
 * deadline. So deadlines are rounded up to slots of `granularityMs`, and one timer, set to the slots' ends, looks at those that have
 * passed. It runs only while something is watched, and keeps the process alive so long.
 */
export class DeadlineSweep<T> {
  readonly #slots = new Map<number, Set<T>>()
  readonly #granularityMs: number
  readonly #expire: (item: T) => void
  #timer: NodeJS.Timeout | undefined
  /** The last slot that was looked at: what is added belongs behind it. */
  #swept = 0

  /**
   * `expire` is called once for every item whose deadline passed: never early, at most `granularityMs` (default 10) and the timer's own
   * delay late. It must not throw.
   */
  constructor(expire: (item: T) => void, granularityMs: number = 10) {
    this.#expire = expire
    this.#granularityMs = granularityMs
  }

  /** Watch `item` until `deadline` (performance.now() ms; Infinity is never); the result is what {@link delete} needs. */
  add(item: T, deadline: number): number {
    if (deadline === Number.POSITIVE_INFINITY) return deadline
    if (!this.#timer) {
      this.#swept = this.#slotOf(performance.now())
      this.#schedule()
    }
    const slot = Math.max(Math.ceil(deadline / this.#granularityMs), this.#swept + 1)
    const items = this.#slots.get(slot)
    if (items) items.add(item)
    else this.#slots.set(slot, new Set([item]))
    return slot
  }

  /** Stop watching `item`. */
  delete(item: T, slot: number): void {
    const items = this.#slots.get(slot)
    if (!items) return
    items.delete(item)
    if (items.size === 0) this.#slots.delete(slot)
  }

  /** Forget everything and stop the timer. */
  close(): void {
    this.#slots.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  readonly #sweep = (): void => {
    const now = this.#slotOf(performance.now())
    while (this.#swept < now) {
      const slot = ++this.#swept
      const items = this.#slots.get(slot)
      if (!items) continue
      // The slot stays until all have expired: one item's expiry may delete another.
      for (const item of items) this.#expire(item)
      this.#slots.delete(slot)
    }
    clearTimeout(this.#timer) // one that a close and an add during the sweep left
    this.#timer = undefined
    if (this.#slots.size > 0) this.#schedule()
  }

  #schedule(): void {
    const granularityMs = this.#granularityMs
    this.#timer = setTimeout(this.#sweep, Math.ceil(granularityMs - (performance.now() % granularityMs)))
  }

  #slotOf(ms: number): number {
    return Math.floor(ms / this.#granularityMs)
  }
}
