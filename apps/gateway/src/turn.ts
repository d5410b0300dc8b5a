/**
 * One turn of the event loop.
 *
 * Each connection's request comes in a callback of its own, and a call made there leaves in a write of its own: nats-server then reads and answers call by call,
 * at three times the cost. Calls made at the end of the turn leave together.
 */
export class Turn {
  #end: Promise<void> | undefined

  /** Resolves when everything that came in with this turn has been read; for all who wait for it, one after the other. */
  over(): Promise<void> {
    this.#end ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#end = undefined
        resolve()
      })
    })
    return this.#end
  }
}
