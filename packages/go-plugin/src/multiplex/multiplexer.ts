/**
 * go-plugin's one connection for everything (`PLUGIN_MULTIPLEX_GRPC`): who gets which stream.
 *
 * The first stream is the host's gRPC connection. Each further one belongs to a brokered service, and the side that opens it knocks first,
 * on the broker stream: knock with the id → the other side notes whom its next stream is for, and acknowledges → the stream opens. A
 * stream says nothing of itself, so knocks go one at a time.
 */
import type { Duplex } from "node:stream"
import { setTimeout as delay } from "node:timers/promises"
import { FnError } from "@fn/core"
import { YamuxSession } from "./yamux.js"

/** A knock or its answer, as they travel. */
export interface Knock {
  readonly id: number
  readonly ack: boolean
  /** In an answer: why not. */
  readonly error: string
}

/** How knocks leave, and what streams without a knock are. */
export interface MultiplexerOptions {
  readonly side: "client" | "server"
  /** A stream that nobody knocked for: on the plugin's side the host's gRPC connection. */
  readonly onMainStream: (stream: Duplex) => void
}

/** As long as go-plugin waits for an answer; after as much a knock without a stream is forgotten. */
const KNOCK_MS = 5_000
const RETRY_MS = 20

/** One side's end of the one connection. */
export class Multiplexer {
  readonly #options: MultiplexerOptions
  readonly #accepting = new Map<number, (stream: Duplex) => void>()
  /** Knocks acknowledged, whose streams have not come. */
  #expected: Array<{ id: number; until: number }> = []
  readonly #answers = new Map<number, { resolve: (answer: Knock) => void; reject: (error: FnError) => void }>()
  #refusal: FnError | undefined
  #session: YamuxSession | undefined
  #lastKnock: Promise<unknown> = Promise.resolve()

  constructor(options: MultiplexerOptions) {
    this.#options = options
  }

  /** Speaks yamux on `connection` from now on. The first one that opens a stream, or the only one, is the peer. */
  attach(connection: Duplex): void {
    const session: YamuxSession = new YamuxSession(connection, {
      side: this.#options.side,
      onStream: (stream) => {
        this.#session ??= session
        this.#place(stream)
      },
    })
    if (this.#options.side === "client") this.#session = session
  }

  /** A stream that needs no knock: the host's own connection. */
  openMain(): Duplex {
    return this.#peer().open()
  }

  /** Streams that the other side opens for `id` go to `onStream`; the result ends that. */
  accept(id: number, onStream: (stream: Duplex) => void): () => void {
    this.#accepting.set(id, onStream)
    return () => this.#accepting.delete(id)
  }

  /**
   * Opens a stream to what the other side accepts under `id`, now or within `timeoutMs`.
   * @throws {FnError} deadline_exceeded
   */
  async dial(id: number, send: (knock: Knock) => void, timeoutMs: number = KNOCK_MS): Promise<Duplex> {
    const end = performance.now() + timeoutMs
    for (;;) {
      const knocked = this.#lastKnock.then(() => this.#knock(id, send, Math.max(1, end - performance.now())))
      this.#lastKnock = knocked.catch(() => undefined)
      const answer = await knocked
      if (typeof answer !== "string") return answer
      // Go tells the id before it listens.
      if (performance.now() + RETRY_MS > end)
        throw FnError.of("DEADLINE_EXCEEDED", `brokered service ${id} was not there within ${timeoutMs} ms: ${answer}`)
      await delay(RETRY_MS)
    }
  }

  /** The other side knocked, or answered. The result is what to answer. */
  receive({ id, ack, error }: Knock): Knock | undefined {
    if (ack) {
      this.#answers.get(id)?.resolve({ id, ack, error })
      return undefined
    }
    if (!this.#accepting.has(id)) return { id, ack: true, error: `no listener for id ${id}` }
    this.#expected.push({ id, until: performance.now() + KNOCK_MS })
    return { id, ack: true, error: "" }
  }

  /** Dials under way fail, and so do later ones. */
  refuseDials(error: FnError): void {
    this.#refusal = error
    for (const { reject } of this.#answers.values()) reject(error)
  }

  close(): void {
    this.#session?.close()
  }

  /** The stream, or why the other side has none for us. */
  async #knock(id: number, send: (knock: Knock) => void, timeoutMs: number): Promise<Duplex | string> {
    if (this.#refusal) throw this.#refusal
    let timer: NodeJS.Timeout | undefined
    const answer = new Promise<Knock>((resolve, reject) => {
      this.#answers.set(id, { resolve, reject })
      const late = (): void => reject(FnError.of("DEADLINE_EXCEEDED", `nobody answered the knock for brokered service ${id}`))
      timer = setTimeout(late, timeoutMs)
    })
    try {
      send({ id, ack: false, error: "" })
      const { error } = await answer
      return error === "" ? this.#peer().open() : error
    } finally {
      clearTimeout(timer)
      this.#answers.delete(id)
    }
  }

  #place(stream: Duplex): void {
    const now = performance.now()
    this.#expected = this.#expected.filter(({ until }) => until > now)
    const expected = this.#expected.shift()
    if (!expected) return this.#options.onMainStream(stream)
    const accept = this.#accepting.get(expected.id)
    if (accept) accept(stream)
    else stream.destroy() // it was closed between knock and stream
  }

  #peer(): YamuxSession {
    if (this.#session) return this.#session
    throw new FnError("unavailable", "the multiplexed connection is not open", { reason: "PLUGIN_EXITED" })
  }
}
