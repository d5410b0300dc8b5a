import { CreditReturn, type EventSink, FnError, type WireEvent } from "@fn/core"

/** What an {@link EventRelay} needs of the process that the events come from. */
export interface RelayOptions {
  /** Events the process may send ahead of credit. */
  readonly window: number
  /** Lets the process send so many more. */
  readonly grant: (count: number) => void
  /** The sink takes no more: the process should stop. */
  readonly failed: (error: FnError) => void
}

/** Brings the events of one call from a function's process to its sink, in order, and gives the process credit as they are taken. */
export class EventRelay {
  readonly #sink: EventSink
  readonly #options: RelayOptions
  readonly #taken: CreditReturn
  readonly #queue: WireEvent[] = []
  #holding = false
  #failure: FnError | undefined
  #onEnd: ((failure: FnError | undefined) => void) | undefined

  constructor(sink: EventSink, options: RelayOptions) {
    this.#sink = sink
    this.#options = options
    this.#taken = new CreditReturn(options.window, options.grant)
  }

  /** Events that came. @throws {FnError} internal when they are more than the process had credit for */
  push(events: readonly WireEvent[]): void {
    if (this.#failure) return
    this.#queue.push(...events)
    if (this.#queue.length > this.#options.window)
      throw new FnError("internal", `the function's process sends more than the ${this.#options.window} events it has credit for`)
    if (!this.#holding) this.#handOver()
  }

  /** Calls `then` when the sink has taken all that came, or with the reason why it does not. */
  end(then: (failure: FnError | undefined) => void): void {
    if (this.#failure || !this.#holding) then(this.#failure)
    else this.#onEnd = then
  }

  #handOver(): void {
    for (let event = this.#queue.shift(); event; event = this.#queue.shift()) {
      let ready: void | Promise<void>
      try {
        ready = this.#sink.write(event)
      } catch (thrown) {
        return this.#fail(FnError.from(thrown))
      }
      if (ready) return this.#hold(ready)
      this.#taken.took()
    }
    this.#onEnd?.(undefined)
  }

  #hold(ready: Promise<void>): void {
    this.#holding = true
    ready.then(
      () => {
        this.#holding = false
        this.#taken.took()
        this.#handOver()
      },
      (thrown) => this.#fail(FnError.from(thrown)),
    )
  }

  #fail(error: FnError): void {
    this.#failure = error
    this.#queue.length = 0
    this.#options.failed(error)
    this.#onEnd?.(error)
  }
}
