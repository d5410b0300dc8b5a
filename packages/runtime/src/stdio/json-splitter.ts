const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN: ReadonlySet<number> = new Set(Buffer.from("{["))
const CLOSE: ReadonlySet<number> = new Set(Buffer.from("}]"))
const SPACE: ReadonlySet<number> = new Set(Buffer.from(" \t\r\n"))

/**
 * Cuts a byte stream into the objects and arrays in it, one after the other with nothing but white space between: NDJSON, what `jq` prints, one
 * big array. Only brackets and quotes are looked at; whether a piece is JSON is another question (json-shape.ts).
 */
export class JsonSplitter {
  #chunks: Buffer[] = []
  #depth = 0
  #inString = false
  #escaped = false

  /** Whether a value has begun and not ended. */
  get isOpen(): boolean {
    return this.#depth > 0
  }

  /** The values that end in `chunk`, whole; `stray` when something else than an object or array begins behind them. */
  push(chunk: Buffer): { values: Buffer[]; stray: boolean } {
    const values: Buffer[] = []
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number
      if (this.#inString) at = this.#passString(chunk, at)
      else if (byte === QUOTE && this.#depth > 0) this.#inString = true
      else if (OPEN.has(byte)) {
        if (this.#depth === 0) start = at
        this.#depth++
      } else if (this.#depth > 0 && CLOSE.has(byte)) {
        this.#depth--
        if (this.#depth === 0) values.push(this.#take(chunk.subarray(start, at + 1)))
      } else if (this.#depth === 0 && !SPACE.has(byte)) return { values, stray: true }
    }
    if (this.#depth > 0) this.#chunks.push(start === 0 ? chunk : chunk.subarray(start))
    return { values, stray: false }
  }

  /** Where the last looked-at byte of a string in this chunk is. */
  #passString(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] as number
      if (this.#escaped) this.#escaped = false
      else if (byte === BACKSLASH) this.#escaped = true
      else if (byte === QUOTE) {
        this.#inString = false
        return at
      }
    }
    return chunk.length
  }

  #take(last: Buffer): Buffer {
    if (this.#chunks.length === 0) return last
    const whole = Buffer.concat([...this.#chunks, last])
    this.#chunks = []
    return whole
  }
}
