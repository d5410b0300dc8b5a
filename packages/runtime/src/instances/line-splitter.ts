/** A line longer than this is passed on in pieces: a function that prints without a newline must not fill our memory. */
const MAX_LINE = 16 * 1024

/** Cuts text into lines. */
export class LineSplitter {
  #rest = ""
  readonly #onLine: (line: string) => void

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  push(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() as string
    for (const line of lines) this.#onLine(line.endsWith("\r") ? line.slice(0, -1) : line)
    while (this.#rest.length > MAX_LINE) {
      this.#onLine(this.#rest.slice(0, MAX_LINE))
      this.#rest = this.#rest.slice(MAX_LINE)
    }
  }

  /** Nothing follows: passes on what had no line break behind it. */
  end(): void {
    if (this.#rest !== "") this.#onLine(this.#rest)
    this.#rest = ""
  }
}
