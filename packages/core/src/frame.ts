import { FnError } from "./errors.js"

/**
 * Frames between a host and a module process: `u32 length · u8 kind · u32 callId · body`, big endian, `length` counting what follows it.
 * All frames that become ready in one tick leave in one write. docs/module-protocol.md
 */
export const FrameKind = {
  /** host → module: JSON LoadRequest. */
  load: 1,
  /** module → host: JSON LoadResponse. */
  loaded: 2,
  /** host → module: head JSON and data of one call. */
  call: 3,
  /** module → host: the events of a call. */
  result: 4,
  /** Either side: JSON FnErrorData. With callId 0 about the load. */
  error: 5,
  /** host → module: abort a call. */
  cancel: 6,
  /** module → host: JSON log line of a call. */
  log: 7,
  /** host → module: finish, run shutdown, exit. */
  shutdown: 8,
  /** module → host: the process is up and waits for a load. */
  ready: 9,
  /** host → module: are you responsive? */
  ping: 10,
  /** module → host: yes; the event loop turns. */
  pong: 11,
  /** module → host: events of a call that streams, ahead of its result. */
  events: 12,
  /** host → module: u32, so many more events of a call may be sent. */
  credit: 13,
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

const HEADER_BYTES = 9
/** Frames past this are a protocol error, not a big event: the largest event is 64 MiB. */
export const MAX_FRAME_BYTES: number = 80 * 1024 * 1024

/** Header of a frame whose body has `bodyBytes`. */
export function frameHeader(kind: FrameKind, callId: number, bodyBytes: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES)
  header.writeUInt32BE(bodyBytes + 5, 0)
  header[4] = kind
  header.writeUInt32BE(callId, 5)
  return header
}

/** Cuts a byte stream into frames. Bodies are views into the chunks they came in: copy what outlives the call by much. */
export class FrameReader {
  #chunks: Buffer[] = []
  #bufferedBytes = 0
  /** Bytes needed before another look is worth it: a 50 MB frame must not be concatenated anew with each 64 KB chunk. */
  #neededBytes = HEADER_BYTES
  readonly #onFrame: (kind: FrameKind, callId: number, body: Buffer) => void

  constructor(onFrame: (kind: FrameKind, callId: number, body: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** Takes the next chunk. @throws {FnError} internal for a frame longer than {@link MAX_FRAME_BYTES} or shorter than its header */
  push(chunk: Buffer): void {
    let bytes = chunk
    if (this.#bufferedBytes > 0) {
      this.#chunks.push(chunk)
      this.#bufferedBytes += chunk.length
      if (this.#bufferedBytes < this.#neededBytes) return
      bytes = Buffer.concat(this.#chunks, this.#bufferedBytes)
      this.#chunks = []
      this.#bufferedBytes = 0
    }
    let at = 0
    this.#neededBytes = HEADER_BYTES
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes.readUInt32BE(at)
      if (length < 5 || length > MAX_FRAME_BYTES) throw new FnError("internal", `a frame of ${length} bytes breaks the module protocol`)
      const end = at + 4 + length
      if (end > bytes.length) {
        this.#neededBytes = end - at
        break
      }
      this.#onFrame(bytes[at + 4] as FrameKind, bytes.readUInt32BE(at + 5), bytes.subarray(at + HEADER_BYTES, end))
      at = end
    }
    if (at < bytes.length) {
      this.#chunks = [bytes.subarray(at)]
      this.#bufferedBytes = bytes.length - at
    }
  }
}
