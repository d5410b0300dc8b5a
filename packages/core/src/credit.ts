import type { FnError } from "./errors.js"

/** Events of a streamed call that a host may send before its caller grants more. docs/protocol.md#streaming */
export const STREAM_WINDOW = 64
/** Events that a function's process may send ahead of its host: what a function can be in front of its caller's window. */
export const INSTANCE_STREAM_WINDOW = 32

/** Counts what a sender may still send, and holds it back where that is nothing. */
export class CreditWindow {
  #left: number
  #closed: FnError | undefined
  #waiting: { resolve(): void; reject(reason: FnError): void } | undefined

  constructor(credit: number) {
    this.#left = credit
  }

  /**
   * Counts something that was sent. A promise means that the next has to wait: it resolves with more credit and rejects with the reason of
   * {@link close}. To be called again only after that. @throws {FnError} that reason
   */
  spend(): Promise<void> | undefined {
    if (this.#closed) throw this.#closed
    this.#left--
    if (this.#left > 0) return undefined
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  /** So many more may be sent. */
  grant(count: number): void {
    this.#left += count
    if (this.#left <= 0) return
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve()
  }

  /** Nothing may be sent any more. The first reason stays. */
  close(reason: FnError): void {
    if (this.#closed) return
    this.#closed = reason
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(reason)
  }
}

/** Gives credit back to a sender as what it sent is taken, in halves of its window: one message for many events, and never a full stop. */
export class CreditReturn {
  readonly #half: number
  readonly #grant: (count: number) => void
  #taken = 0

  constructor(window: number, grant: (count: number) => void) {
    this.#half = Math.max(1, window >> 1)
    this.#grant = grant
  }

  /** One more was taken. */
  took(): void {
    this.#taken++
    if (this.#taken < this.#half) return
    const count = this.#taken
    this.#taken = 0
    this.#grant(count)
  }
}
