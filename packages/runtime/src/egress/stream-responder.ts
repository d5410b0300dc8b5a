/**
 * Answers a call with its events one by one, as the function yields them. docs/protocol.md#streaming
 *
 * Each message names a subject of this host's inbox, where the caller grants credit; without credit the function is not asked for more.
 * The server's notice that nobody took a message comes to the same subject: then the caller is gone, and its function is stopped.
 */
import {
  binaryHeaderLines,
  CreditWindow,
  type EventSink,
  FnError,
  Header,
  messageOf,
  readHeaderBlock,
  STREAM_WINDOW,
  type WireEvent,
} from "@fn/core"
import { fromNatsError, isNoResponders, type RawMsg, type ReplyInbox, rawHeaders } from "@fn/nats"
import type { Call, Destination, Responder } from "../dispatch/call.js"
import type { EventMode } from "../ingress/request.js"
import { callLines, publishReply, type Reply, streamEndReply, streamEventReply } from "./reply.js"
import { type EgressOptions, type EndpointCounter, publishStarted } from "./responder.js"

/** What a stream needs beside what every answer does. */
export interface StreamOptions extends EgressOptions {
  readonly inbox: ReplyInbox
  readonly counter: EndpointCounter
  /** The caller's inbox. */
  readonly reply: string
  readonly mode: EventMode
  /** The call was handed over already, and goes nowhere else from here. Default false. */
  readonly isFinal?: boolean
  /** Makes the function stop: nothing it yields can reach its caller any more. */
  readonly stop: (call: Call, reason: FnError) => void
}

/**
 * Events that go out without a pause before the server must have taken them. The client keeps what it cannot send in memory, without
 * bound: a caller that grants a million events must not cost this host theirs.
 */
const FLUSH_EVERY = 256

/** See the head of this file. */
export class StreamResponder implements Responder {
  streamed = 0
  readonly #options: StreamOptions
  readonly #credit = new CreditWindow(STREAM_WINDOW)
  #creditSubject = ""
  #token = 0
  #unflushed = 0
  #over: FnError | undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get destination(): Destination | undefined {
    const { reply, mode, isFinal } = this.#options
    return isFinal ? undefined : { reply, mode, stream: true }
  }

  sinkOf(call: Call): EventSink {
    return { write: (event) => this.#write(call, event) }
  }

  succeed(call: Call): void {
    this.#end(call)
  }

  fail(call: Call, error: FnError): void {
    this.#end(call, error)
  }

  started(call: Call): void {
    publishStarted(this.#options, this.#options.reply, call)
  }

  #write(call: Call, event: WireEvent): void | Promise<void> {
    if (this.#over) throw this.#over
    const lines = binaryHeaderLines(event.attributes)
    this.#publish(call, streamEventReply(callLines(call), this.streamed + 1, event, this.#options.mode, lines))
    this.streamed++
    this.#options.emitter.emit(call, [event], lines)
    const held = this.#credit.spend()
    this.#unflushed = held ? 0 : this.#unflushed + 1
    if (this.#unflushed < FLUSH_EVERY) return held
    this.#unflushed = 0
    return this.#flush()
  }

  /** Whatever keeps an event from leaving ends the call: a stream with a hole is of no use. */
  #publish(call: Call, reply: Reply): void {
    try {
      if (this.#token === 0) this.#open(call)
      publishReply(this.#options.nc, this.#options.reply, reply, this.#creditSubject)
    } catch (thrown) {
      const error = FnError.from(thrown)
      this.#options.stop(call, error)
      throw error
    }
  }

  #open(call: Call): void {
    const { inbox, stop } = this.#options
    this.#token = inbox.open({
      onMessage: (msg) => this.#onMessage(call, msg),
      // What was published meanwhile is lost, and so is the stream.
      onFailed: (error) => stop(call, error),
    })
    this.#creditSubject = inbox.subjectOf(this.#token)
  }

  #onMessage(call: Call, msg: RawMsg): void {
    if (isNoResponders(msg)) return this.#options.stop(call, FnError.of("CANCELLED", "the caller of the stream is gone"))
    const count = creditIn(rawHeaders(msg))
    if (count > 0) this.#credit.grant(count)
  }

  async #flush(): Promise<void> {
    try {
      await this.#options.nc.flush()
    } catch (thrown) {
      throw fromNatsError(thrown, "streaming to the caller")
    }
  }

  #end(call: Call, error?: FnError): void {
    const { nc, reply, inbox, counter, logger } = this.#options
    this.#over = error ?? FnError.of("CANCELLED", "the stream has ended")
    this.#credit.close(this.#over)
    if (this.#token > 0) inbox.close(this.#token)
    counter.count({ durationMs: performance.now() - call.receivedAt, ...(error ? { error: `${error.code}: ${error.message}` } : {}) })
    try {
      publishReply(nc, reply, streamEndReply(callLines(call), this.streamed, error))
    } catch (thrown) {
      // Only a connection that is closed for good throws here: the caller has lost us too.
      logger.error("end of stream failed", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }
}

/** What a message of the caller grants; 0 for one that grants nothing. */
function creditIn(block: Uint8Array | undefined): number {
  let count = 0
  if (block)
    readHeaderBlock(block, (name, value) => {
      if (name === Header.credit) count = Number(value)
    })
  return Number.isSafeInteger(count) && count > 0 ? count : 0
}
