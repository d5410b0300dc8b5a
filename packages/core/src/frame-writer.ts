import { type FrameKind, frameHeader } from "./frame.js"

/** The part of a stream that {@link FrameWriter} needs. */
export interface FrameSink {
  write(chunk: Uint8Array): boolean
  cork(): void
  uncork(): void
}

/** Up to here copying the pieces of a tick into one buffer is cheaper than a vector write of many. */
const COPY_BYTES = 64 * 1024

/**
 * Writes frames, all that become ready in one tick in one write.
 *
 * The flush runs on `process.nextTick`, after the microtasks that the current callback set off, so it gathers every call that one
 * chunk of input started or finished and costs nothing when there is only one.
 */
export class FrameWriter {
  readonly #sink: FrameSink
  #pieces: Uint8Array[] = []
  #bytes = 0
  #scheduled = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Queues a frame whose body is `pieces` in a row. They must not change until the tick is over. */
  write(kind: FrameKind, callId: number, pieces: readonly Uint8Array[]): void {
    let bodyBytes = 0
    for (const piece of pieces) bodyBytes += piece.length
    const header = frameHeader(kind, callId, bodyBytes)
    this.#pieces.push(header, ...pieces)
    this.#bytes += header.length + bodyBytes
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flush)
  }

  /** Queues a frame with a JSON body. */
  writeJson(kind: FrameKind, callId: number, body: unknown): void {
    this.write(kind, callId, [Buffer.from(JSON.stringify(body), "utf8")])
  }

  readonly #flush = (): void => {
    const pieces = this.#pieces
    const bytes = this.#bytes
    this.#pieces = []
    this.#bytes = 0
    this.#scheduled = false
    if (bytes <= COPY_BYTES) {
      this.#sink.write(Buffer.concat(pieces, bytes))
      return
    }
    this.#sink.cork()
    for (const piece of pieces) this.#sink.write(piece)
    this.#sink.uncork()
  }
}
