/** Most frames and bytes in one envelope: past that, a message gets slower to encode than it saves in writes. */
export const MAX_BATCH_FRAMES = 64
const MAX_BATCH_BYTES = 64 * 1024

/**
 * Gathers frames into as few envelopes as they fit in: those that become ready in one tick, and those that become ready while an envelope
 * is still being written.
 *
 * A tick's frames leave on `process.nextTick`, which comes after the microtasks that the current callback set off, so all calls that one
 * message started or finished leave together. Waiting for the write keeps it that way under load: without it, calls that once got out of
 * step travel alone for ever, at a quarter of the throughput.
 */
export class EnvelopeBatch<Frame> {
  readonly #write: (frames: Frame[], done: () => void) => void
  #maxFrames = MAX_BATCH_FRAMES
  #frames: Frame[] = []
  #sizes: number[] = []
  #scheduled = false
  #writing = false
  #closed = false
  #onFinished: (() => void) | undefined

  /** `write` sends one envelope and calls `done` when the next may follow. */
  constructor(write: (frames: Frame[], done: () => void) => void) {
    this.#write = write
  }

  /** Most frames that the peer wants in an envelope; 0 stands for the protocol's 64. */
  limit(maxFrames: number): void {
    this.#maxFrames = maxFrames > 0 ? maxFrames : MAX_BATCH_FRAMES
  }

  /** Queues a frame of about `sizeBytes`. */
  add(frame: Frame, sizeBytes: number = 0): void {
    if (this.#closed) return
    this.#frames.push(frame)
    this.#sizes.push(sizeBytes)
    if (this.#scheduled || this.#writing) return
    this.#scheduled = true
    process.nextTick(this.#flush)
  }

  /** Calls `then` when all that was queued is written. */
  finish(then: () => void): void {
    if (this.#closed) return
    this.#onFinished = then
    this.#flush()
  }

  /** Sends nothing from now on: the peer is gone. */
  close(): void {
    this.#closed = true
    this.#frames = []
    this.#sizes = []
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    if (this.#writing || this.#closed) return
    if (this.#frames.length === 0) return this.#onFinished?.()
    this.#writing = true
    this.#write(this.#take(), () => {
      this.#writing = false
      this.#flush()
    })
  }

  #take(): Frame[] {
    let count = 1
    for (let bytes = this.#sizes[0] as number; count < this.#frames.length && count < this.#maxFrames; count++) {
      bytes += this.#sizes[count] as number
      if (bytes > MAX_BATCH_BYTES) break
    }
    if (count === this.#frames.length) {
      const all = this.#frames
      this.#frames = []
      this.#sizes = []
      return all
    }
    this.#sizes.splice(0, count)
    return this.#frames.splice(0, count)
  }
}
