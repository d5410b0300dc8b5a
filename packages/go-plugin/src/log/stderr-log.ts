import type { Logger } from "@fn/core"
import { ByteTail } from "./byte-tail.js"
import { HclogReader } from "./hclog.js"
import { LineSplitter } from "./line-splitter.js"

/** Kept for error reports. */
const TAIL_BYTES = 65_536

/** A plugin's stderr: its lines go to the logger at their own level, its end is kept for error reports. */
export class StderrLog {
  readonly #tail = new ByteTail(TAIL_BYTES)
  readonly #lines: LineSplitter

  constructor(logger: Logger) {
    const reader = new HclogReader()
    this.#lines = new LineSplitter((text, isPiece) => {
      if (isPiece) return logger.debug(text)
      const { level, message, fields } = reader.read(text)
      logger.log(level, message, fields)
    })
  }

  push(chunk: Buffer): void {
    this.#tail.push(chunk)
    this.#lines.push(chunk)
  }

  end(): void {
    this.#lines.end()
  }

  /** The last 64 KiB. */
  tail(): string {
    return this.#tail.text()
  }
}
