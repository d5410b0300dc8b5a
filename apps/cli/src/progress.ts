import type { Io } from "./io.js"
import { createStyle, wantsColour } from "./style.js"

/** What is going on, shown while it goes on. */
export interface Progress {
  /** The step that has begun. On a terminal it replaces the one before. */
  step(text: string): void
  /** How far the step is, 0 to 1. Only a terminal shows it. */
  fraction(done: number): void
  /** Takes the line away. */
  done(): void
}

const BAR_CELLS = 24

/** On a terminal one line that changes, elsewhere a line per step; nothing when `quiet`. */
export function createProgress(io: Pick<Io, "stderr" | "env">, options: { quiet: boolean }): Progress {
  if (io.stderr.isTTY === true && io.env.TERM !== "dumb") return new LineProgress(io)
  if (options.quiet) return { step: () => undefined, fraction: () => undefined, done: () => undefined }
  return { step: (text) => void io.stderr.write(`${text}\n`), fraction: () => undefined, done: () => undefined }
}

class LineProgress implements Progress {
  readonly #io: Pick<Io, "stderr" | "env">
  #text = ""

  constructor(io: Pick<Io, "stderr" | "env">) {
    this.#io = io
  }

  step(text: string): void {
    this.#text = text
    this.#show("")
  }

  fraction(done: number): void {
    const full = Math.round(Math.min(1, Math.max(0, done)) * BAR_CELLS)
    this.#show(` ${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)} ${Math.round(done * 100)} %`)
  }

  done(): void {
    this.#io.stderr.write("\r\x1b[K")
  }

  #show(bar: string): void {
    const style = createStyle(wantsColour(this.#io.stderr, this.#io.env))
    // Longer than the terminal is wide it would wrap, and the carriage return would leave the rest behind.
    const room = Math.max(20, (this.#io.stderr.columns || 80) - bar.length - 3)
    const text = this.#text.length > room ? `${this.#text.slice(0, room - 1)}…` : this.#text
    this.#io.stderr.write(`\r\x1b[K${style.cyan("⋯")} ${text}${bar}`)
  }
}
