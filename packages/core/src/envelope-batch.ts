/** Most frames and bytes in one envelope: past that, a message gets slower to encode than it saves in writes. */
export const MAX_BATCH_FRAMES = 64
const MAX_BATCH_BYTES = 64 * 1024

/**
 * Gathers the frames that become ready in one tick into as few envelopes as they fit in.
 *
 * The flush runs on `process.nextTick`, which comes after the microtasks that the current callback set off, so all calls that one
 * message started or finished leave together.
 */
export class EnvelopeBatch<Frame> {
  readonly #write: (frames: Frame[]) => void
  #maxFrames = MAX_BATCH_FRAMES
  #frames: Frame[] = []
  #bytes = 0
  #scheduled = false
  #closed = false

  /** `write` sends one envelope. */
  constructor(write: (frames: Frame[]) => void) {
    this.#write = write
  }

  /** Most frames that the peer wants in an envelope; 0 stands for the protocol's 64. */
  limit(maxFrames: number): void {
    this.#maxFrames = maxFrames > 0 ? maxFrames : MAX_BATCH_FRAMES
  }

  /** Queues a frame of about `sizeBytes`. */
  add(frame: Frame, sizeBytes: number = 0): void {
    if (this.#closed) return
    if (this.#frames.length >= this.#maxFrames || (this.#frames.length > 0 && this.#bytes + sizeBytes > MAX_BATCH_BYTES)) this.flush()
    this.#frames.push(frame)
    this.#bytes += sizeBytes
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flushTick)
  }

  /** Sends what is queued now. */
  flush(): void {
    if (this.#frames.length === 0) return
    const frames = this.#frames
    this.#frames = []
    this.#bytes = 0
    this.#write(frames)
  }

  /** Sends nothing from now on: the peer is gone. */
  close(): void {
    this.#closed = true
    this.#frames = []
  }

  readonly #flushTick = (): void => {
    this.#scheduled = false
    this.flush()
  }
}
