/** When messages that were put off come again: one timer for all of a lane. */

/** Longest time Node's timers take, ms. */
const MAX_TIMER_MS = 2_147_483_647
/** The server is asked this much after the time that was set: asking before it would find nothing, and again nothing for a while. */
const LATE_MS = 5

/** See the head of this file. */
export class DueTimes {
  readonly #due = new Map<number, number>()
  readonly #onDue: (count: number) => void
  #next = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** `onDue` hears how many are due. */
  constructor(onDue: (count: number) => void) {
    this.#onDue = onDue
  }

  get size(): number {
    return this.#due.size
  }

  /** The message `seq` comes again at `at`, epoch ms. */
  add(seq: number, at: number): void {
    this.#due.set(seq, at)
    if (at < this.#next) this.#schedule(at)
  }

  /** It has come, or is gone. */
  delete(seq: number): void {
    this.#due.delete(seq)
  }

  /** Sequences of those that have not come. */
  seqs(): IterableIterator<number> {
    return this.#due.keys()
  }

  clear(): void {
    this.#due.clear()
    clearTimeout(this.#timer)
    this.#next = Number.POSITIVE_INFINITY
  }

  #schedule(at: number): void {
    this.#next = at
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#fire(), Math.min(MAX_TIMER_MS, Math.max(0, at - Date.now()) + LATE_MS))
  }

  #fire(): void {
    const now = Date.now()
    let next = Number.POSITIVE_INFINITY
    let due = 0
    for (const [seq, at] of this.#due) {
      if (at > now) next = Math.min(next, at)
      else {
        // From here on the server has it: it may go to another host.
        this.#due.delete(seq)
        due++
      }
    }
    this.#next = Number.POSITIVE_INFINITY
    if (next !== Number.POSITIVE_INFINITY) this.#schedule(next)
    if (due > 0) this.#onDue(due)
  }
}
