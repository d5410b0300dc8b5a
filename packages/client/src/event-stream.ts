/**
 * The events of one call, one by one. docs/protocol.md#streaming
 *
 * StreamCall is the call as the client keeps it: it reads the messages and checks their numbers. CallStream is what the consumer iterates:
 * it holds at most a window of events, and grants credit as they are taken, so a slow consumer slows the function down.
 */
import { type CloudEvent, CreditReturn, FnError, Header, headerLine, readHeaderBlock, STREAM_WINDOW, type WireEvent } from "@fn/core"
import { type RawMsg, rawHeaders } from "@fn/nats"
import { Call, type CallHooks } from "./call.js"
import type { CallOptions } from "./options.js"
import { readReply } from "./reply.js"

/** Events of a call as the function yields them. To be iterated once; leaving the loop early cancels the call. */
export interface EventStream<Event = CloudEvent> extends AsyncIterableIterator<Event, undefined, undefined>, AsyncDisposable {
  /** `Fn-Invocation-Id`: names the call in logs, in status and when cancelling. */
  readonly invocationId: string
  /** Ends the call with `cancelled CANCELLED`, at its host too; events that nobody took yet are dropped. */
  cancel(why?: string): void
  return(): Promise<IteratorResult<Event, undefined>>
}

/** What a stream does with the outside. */
export interface StreamHooks extends CallHooks {
  /** Lets the host send so many more events. */
  grant: (creditSubject: string, count: number) => void
}

/** A call whose events come one by one. */
export class StreamCall extends Call {
  override readonly acceptLines: string = headerLine(Header.accept, "stream")
  /** Where its events go. */
  onEvent: (event: WireEvent) => void = () => undefined
  readonly #hooks: StreamHooks
  #lastSeq = 0
  #creditSubject = ""

  constructor(wire: WireEvent, options: CallOptions, hooks: StreamHooks) {
    super(wire, options, hooks)
    this.#hooks = hooks
  }

  grant(count: number): void {
    if (!this.ended && this.#creditSubject !== "") this.#hooks.grant(this.#creditSubject, count)
  }

  /** The call cannot go on, and the host need not either. */
  abandon(error: FnError): void {
    if (this.ended) return
    this.#hooks.onCancel(this)
    this.fail(error)
  }

  /** Without leave to grant credit the stream would stop for good. */
  override denied(subject: string, error: FnError): void {
    if (subject === this.#creditSubject) this.abandon(error)
  }

  /** Takes a message of the stream; false for any other: a started message, or the one reply of a host that does not stream. */
  override take(msg: RawMsg): boolean {
    const block = rawHeaders(msg)
    const { seq, end } = numberOf(block)
    if (seq === undefined) return false
    this.pulse.reassure()
    if (seq !== this.#lastSeq + 1) {
      this.abandon(FnError.of("STREAM_BROKEN", `message ${seq} of the stream came after message ${this.#lastSeq}`))
      return true
    }
    this.#lastSeq = seq
    const reply = readReply(block, msg.data)
    if (reply.kind === "error") end === undefined ? this.abandon(reply.error) : this.fail(reply.error)
    else if (end !== undefined) this.finish([])
    else if (reply.kind === "events") {
      this.#creditSubject = msg.reply ?? ""
      for (const event of reply.events) this.onEvent(event)
    }
    return true
  }
}

interface Waiter<Event> {
  resolve(result: IteratorResult<Event, undefined>): void
  reject(error: FnError): void
}

/** See {@link EventStream}. */
export class CallStream<Event> implements EventStream<Event> {
  readonly #call: StreamCall
  readonly #decode: (wire: WireEvent) => Event
  readonly #credit: CreditReturn
  readonly #buffer: WireEvent[] = []
  readonly #waiters: Waiter<Event>[] = []
  #ended = false
  /** Why it ended; told once. */
  #error: FnError | undefined

  constructor(call: StreamCall, decode: (wire: WireEvent) => Event) {
    this.#call = call
    this.#decode = decode
    this.#credit = new CreditReturn(STREAM_WINDOW, (count) => call.grant(count))
    call.onEvent = (event) => this.#push(event)
    call.events.then(
      (rest) => {
        // The one reply of a host that does not stream has them all.
        this.#buffer.push(...rest)
        this.#end(undefined)
      },
      (error: FnError) => this.#end(error),
    )
  }

  get invocationId(): string {
    return this.#call.invocationId
  }

  next(): Promise<IteratorResult<Event, undefined>> {
    if (this.#call.signal?.aborted) this.#buffer.length = 0
    const wire = this.#buffer.shift()
    if (wire) return this.#give(wire)
    if (!this.#ended) return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
    const error = this.#error
    this.#error = undefined
    return error ? Promise.reject(error) : Promise.resolve({ done: true, value: undefined })
  }

  async return(): Promise<IteratorResult<Event, undefined>> {
    this.#end(undefined)
    this.#buffer.length = 0
    this.#error = undefined
    this.#call.cancel("its caller left the stream")
    return { done: true, value: undefined }
  }

  cancel(why?: string): void {
    this.#buffer.length = 0
    this.#call.cancel(why)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #push(event: WireEvent): void {
    if (this.#ended) return
    this.#buffer.push(event)
    if (this.#buffer.length > STREAM_WINDOW)
      return this.#call.abandon(FnError.of("STREAM_BROKEN", `the host sends more than the ${STREAM_WINDOW} events it has credit for`))
    this.#serve()
  }

  /** Waiters and events are never there at the same time. */
  #serve(): void {
    while (this.#buffer.length > 0) {
      const waiter = this.#waiters.shift()
      if (!waiter) return
      this.#give(this.#buffer.shift() as WireEvent).then(waiter.resolve, waiter.reject)
    }
  }

  #end(error: FnError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#serve()
    for (const waiter of this.#waiters.splice(0)) {
      const told = this.#error
      this.#error = undefined
      if (told) waiter.reject(told)
      else waiter.resolve({ done: true, value: undefined })
    }
  }

  async #give(wire: WireEvent): Promise<IteratorResult<Event, undefined>> {
    this.#credit.took()
    try {
      return { done: false, value: this.#decode(wire) }
    } catch (thrown) {
      await this.return()
      throw thrown
    }
  }
}

/** What the headers say of a message's place in the stream; no number: it has none. */
function numberOf(block: Uint8Array | undefined): { seq: number | undefined; end: string | undefined } {
  let seq: number | undefined
  let end: string | undefined
  if (block)
    readHeaderBlock(block, (name, value) => {
      if (name === Header.seq) seq = Number(value)
      else if (name === Header.end) end = value
    })
  return { seq, end }
}
