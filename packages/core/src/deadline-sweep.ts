/**
 * Deadlines of many short waits on one timer.
 *
 * A timer per call costs half a microsecond to make and clear, and an AbortSignal six; calls nearly always end long before their
 * deadline. So deadlines fall into slots of `granularityMs`, and one interval looks at the slots that have passed.
 */
export class DeadlineSweep<T> {
  readonly #slots = new Map<number, Set<T>>()
  readonly #granularityMs: number
  readonly #expire: (item: T) => void
  #timer: NodeJS.Timeout | undefined
  #swept: number

  /** `expire` is called once for every item whose deadline passed, at most `granularityMs` late. It must not throw. */
  constructor(expire: (item: T) => void, granularityMs: number = 10) {
    this.#expire = expire
    this.#granularityMs = granularityMs
    this.#swept = this.#slotOf(performance.now())
  }

  /** Watch `item` until `deadline` (performance.now() ms); the result is what {@link delete} needs. */
  add(item: T, deadline: number): number {
    const slot = Math.max(this.#slotOf(deadline) + 1, this.#swept + 1)
    const items = this.#slots.get(slot)
    if (items) items.add(item)
    else this.#slots.set(slot, new Set([item]))
    this.#timer ??= setInterval(() => this.#sweep(), this.#granularityMs)
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
    this.#stop()
  }

  #sweep(): void {
    const now = this.#slotOf(performance.now())
    if (this.#slots.size === 0) {
      this.#swept = now
      this.#stop()
      return
    }
    for (const [slot, items] of this.#slots) {
      if (slot > now) continue
      this.#slots.delete(slot)
      for (const item of items) this.#expire(item)
    }
    this.#swept = now
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #slotOf(ms: number): number {
    return Math.floor(ms / this.#granularityMs)
  }
}
