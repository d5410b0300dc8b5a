import { FnError } from "@fn/core"

interface Waiter {
  readonly bytes: number
  resolve(): void
  reject(error: FnError): void
  timer: NodeJS.Timeout | undefined
}

/** Longest time Node's timers take, ms. */
const MAX_TIMER_MS = 2_147_483_647
/** Who waits costs little, but not nothing. */
const MAX_WAITERS = 10_000

/** Room for so many bytes, given out in the order it was asked for. */
export class ByteBudget {
  readonly #totalBytes: number
  readonly #waiters = new Set<Waiter>()
  #takenBytes = 0

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes
  }

  get takenBytes(): number {
    return this.#takenBytes
  }

  /**
   * Resolves when there is room. More than there is in total is given when nobody else has any.
   * @throws {FnError} DEADLINE_EXCEEDED when there is none by `deadline`, epoch ms; QUEUE_FULL when too many wait
   */
  async take(bytes: number, deadline: number): Promise<void> {
    if (this.#waiters.size === 0 && this.#fits(bytes)) {
      this.#takenBytes += bytes
      return
    }
    if (this.#waiters.size >= MAX_WAITERS) throw FnError.of("QUEUE_FULL", "too many large events wait for room on this host")
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { bytes, resolve, reject, timer: undefined }
      if (deadline !== Number.POSITIVE_INFINITY)
        waiter.timer = setTimeout(() => this.#expire(waiter), Math.min(MAX_TIMER_MS, Math.max(0, deadline - Date.now())))
      this.#waiters.add(waiter)
    })
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) return
      this.#leave(waiter)
      this.#takenBytes += waiter.bytes
      waiter.resolve()
    }
  }

  /** Lets nobody wait any longer. */
  close(reason: FnError): void {
    for (const waiter of this.#waiters) {
      this.#leave(waiter)
      waiter.reject(reason)
    }
  }

  #fits(bytes: number): boolean {
    return this.#takenBytes === 0 || this.#takenBytes + bytes <= this.#totalBytes
  }

  #leave(waiter: Waiter): void {
    this.#waiters.delete(waiter)
    clearTimeout(waiter.timer)
  }

  #expire(waiter: Waiter): void {
    this.#leave(waiter)
    waiter.reject(FnError.of("DEADLINE_EXCEEDED", "the host had no room for the event's data in time"))
  }
}
