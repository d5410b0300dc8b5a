/** The last bytes of a stream. */
export class ByteTail {
  readonly #limit: number
  #parts: Buffer[] = []
  #length = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  push(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#length += chunk.length
    // Trimmed at twice the limit only, so that a flood of small chunks does not copy the tail each time.
    if (this.#length > 2 * this.#limit || this.#parts.length > 1_024) this.#trim()
  }

  text(): string {
    this.#trim()
    return this.#parts.map((part) => part.toString("utf8")).join("")
  }

  #trim(): void {
    const all = Buffer.concat(this.#parts, this.#length)
    const tail = all.subarray(Math.max(0, all.length - this.#limit))
    this.#parts = [Buffer.from(tail)]
    this.#length = tail.length
  }
}
