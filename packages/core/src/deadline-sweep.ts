/**
 * Deadlines of many short waits on one timer.
 *
 * A timer per call costs half a microsecond to make and clear, and an AbortSignal six; calls nearly always end long before their
 * deadline. So deadlines are rounded up to slots of `granularityMs`, and one timer, set to the slots' ends, looks at those that have
 * passed. It runs only while something is watched, and keeps the process alive so long.
 */
export class DeadlineSweep<T> {
  /** First item of each slot that has any; the others follow it in a ring. A Set per slot would cost more than all the rest: see slab.ts. */
  readonly #first = new Map<number, number>()
  readonly #items: (T | undefined)[] = []
  readonly #next: number[] = []
  readonly #previous: number[] = []
  readonly #slots: number[] = []
  readonly #free: number[] = []
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

  /** Watch `item` until `deadline` (performance.now() ms; Infinity is never); the result, 0 or more, is what {@link delete} needs. */
  add(item: T, deadline: number): number {
    if (deadline === Number.POSITIVE_INFINITY) return deadline
    if (!this.#timer) {
      this.#swept = this.#slotOf(performance.now())
      this.#schedule()
    }
    const slot = Math.max(Math.ceil(deadline / this.#granularityMs), this.#swept + 1)
    const at = this.#free.pop() ?? this.#items.length
    this.#items[at] = item
    this.#slots[at] = slot
    this.#join(at, slot)
    return at
  }

  /** Stop watching `item`, which {@link add} gave `at` for. Nothing happens when it has expired or was deleted. */
  delete(item: T, at: number): void {
    if (at === Number.POSITIVE_INFINITY || this.#items[at] !== item) return
    this.#leave(at, this.#slots[at] as number)
    this.#items[at] = undefined
    this.#free.push(at)
  }

  /** Forget everything and stop the timer. */
  close(): void {
    this.#first.clear()
    this.#items.length = 0
    this.#free.length = 0
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  readonly #sweep = (): void => {
    const now = this.#slotOf(performance.now())
    while (this.#swept < now) {
      const slot = ++this.#swept
      // One item's expiry may delete another, or close the sweep: nothing is remembered over it.
      for (let at = this.#first.get(slot); at !== undefined; at = this.#first.get(slot)) {
        const item = this.#items[at] as T
        this.delete(item, at)
        this.#expire(item)
      }
    }
    clearTimeout(this.#timer) // one that a close and an add during the sweep left
    this.#timer = undefined
    if (this.#first.size > 0) this.#schedule()
  }

  #join(at: number, slot: number): void {
    const first = this.#first.get(slot)
    if (first === undefined) {
      this.#first.set(slot, at)
      this.#next[at] = this.#previous[at] = at
      return
    }
    const last = this.#previous[first] as number
    this.#next[at] = first
    this.#previous[at] = last
    this.#next[last] = this.#previous[first] = at
  }

  #leave(at: number, slot: number): void {
    const next = this.#next[at] as number
    if (next === at) return void this.#first.delete(slot)
    const previous = this.#previous[at] as number
    this.#next[previous] = next
    this.#previous[next] = previous
    if (this.#first.get(slot) === at) this.#first.set(slot, next)
  }

  #schedule(): void {
    const granularityMs = this.#granularityMs
    this.#timer = setTimeout(this.#sweep, Math.ceil(granularityMs - (performance.now() % granularityMs)))
  }

  #slotOf(ms: number): number {
    return Math.floor(ms / this.#granularityMs)
  }
}
