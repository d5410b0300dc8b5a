/** Cuts a byte stream into lines, whatever the chunks are; a line longer than the limit comes in pieces. */
export class LineSplitter {
  readonly #onLine: (line: string, isPiece: boolean) => void
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #length = 0
  /** The line under way already gave a piece, so its rest is one too. */
  #inPieces = false

  /** `isPiece`: only part of a line that is longer than `maxBytes`. Lines come without their line break. */
  constructor(onLine: (line: string, isPiece: boolean) => void, maxBytes: number = 65_536) {
    this.#onLine = onLine
    this.#maxBytes = maxBytes
  }

  push(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      this.#append(chunk.subarray(start, end))
      this.#emit(this.#inPieces)
      this.#inPieces = false
      start = end + 1
    }
    this.#append(chunk.subarray(start))
  }

  /** The stream is over: what came after the last line break is a line too. */
  end(): void {
    if (this.#length > 0) this.#emit(this.#inPieces)
  }

  #append(bytes: Buffer): void {
    let rest = bytes
    while (this.#length + rest.length > this.#maxBytes) {
      const room = this.#maxBytes - this.#length
      this.#keep(rest.subarray(0, room))
      rest = rest.subarray(room)
      this.#inPieces = true
      this.#emit(true)
    }
    if (rest.length > 0) this.#keep(rest)
  }

  #keep(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  #emit(isPiece: boolean): void {
    const line = Buffer.concat(this.#parts, this.#length).toString("utf8")
    this.#parts = []
    this.#length = 0
    this.#onLine(line.endsWith("\r") ? line.slice(0, -1) : line, isPiece)
  }
}
