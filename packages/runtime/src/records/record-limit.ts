/** Keeps a function that fails all the time from writing a record a call: so many a second, the rest is counted and said in one line. */
import type { Logger } from "@fn/core"

const WINDOW_MS = 1_000

interface Window {
  startedAt: number
  taken: number
  dropped: number
}

/** See the head of this file. One for a host; it counts per function. */
export class RecordLimit {
  readonly #perSecond: number
  readonly #logger: Logger
  readonly #windows = new Map<string, Window>()
  #timer: NodeJS.Timeout | undefined

  constructor(perSecond: number, logger: Logger) {
    this.#perSecond = perSecond
    this.#logger = logger
  }

  /** Whether one more of this function may be written. */
  take(functionKey: string): boolean {
    const now = performance.now()
    let window = this.#windows.get(functionKey)
    if (!window) {
      window = { startedAt: now, taken: 0, dropped: 0 }
      this.#windows.set(functionKey, window)
      this.#timer ??= setTimeout(() => this.#sweep(), WINDOW_MS)
    } else if (now - window.startedAt >= WINDOW_MS) this.#restart(functionKey, window, now)
    if (window.taken < this.#perSecond) {
      window.taken++
      return true
    }
    window.dropped++
    return false
  }

  /** Says what was left out so far. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [key, window] of this.#windows) this.#say(key, window)
    this.#windows.clear()
  }

  #restart(key: string, window: Window, now: number): void {
    this.#say(key, window)
    window.startedAt = now
    window.taken = 0
    window.dropped = 0
  }

  #sweep(): void {
    const now = performance.now()
    for (const [key, window] of this.#windows) {
      if (now - window.startedAt < WINDOW_MS) continue
      this.#say(key, window)
      this.#windows.delete(key)
    }
    this.#timer = this.#windows.size > 0 ? setTimeout(() => this.#sweep(), WINDOW_MS) : undefined
  }

  #say(key: string, { taken, dropped }: Window): void {
    if (dropped > 0) this.#logger.warn("failures not recorded", { functionName: key, dropped, recorded: taken })
  }
}
