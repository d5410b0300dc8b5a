import type { Logger } from "@fn/core"
import { LineSplitter } from "../instances/line-splitter.js"
import { outputLimit } from "./output-reader.js"

/** What an execution may say in its log; what it says beyond that is dropped, and that it was is said. */
const LOGGED_BYTES = 1024 * 1024
/** A line costs more than its bytes: a mebibyte of empty ones would take the host some seconds. */
const LOGGED_LINES = 10_000
const TAIL_BYTES = 8 * 1024

/** What one execution writes to stderr: lines for the function's log, and the end of it to explain a failure. Bounded. */
export class ProgramLog {
  readonly #logger: Logger
  readonly #maxBytes: number
  readonly #lines: LineSplitter
  readonly #decoder = new TextDecoder()
  #bytes = 0
  #lineCount = 0
  #tail: Buffer = Buffer.alloc(0)

  constructor(logger: Logger, maxBytes: number) {
    this.#logger = logger
    this.#maxBytes = maxBytes
    this.#lines = new LineSplitter((line) => {
      if (++this.#lineCount <= LOGGED_LINES) logger.info(line, { channel: "stderr" })
    })
  }

  /** @throws {FnError} resource_exhausted OUTPUT_LIMIT for a flood */
  push(chunk: Buffer): void {
    const logged = this.#bytes < LOGGED_BYTES && this.#lineCount < LOGGED_LINES
    this.#bytes += chunk.length
    if (this.#bytes > this.#maxBytes) throw outputLimit(this.#maxBytes)
    this.#tail = chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES)
    if (!logged) return
    this.#lines.push(this.#decoder.decode(chunk, { stream: true }))
    if (this.#bytes >= LOGGED_BYTES) this.#logger.warn(`what the function logs beyond ${LOGGED_BYTES} bytes in one execution is dropped`)
    else if (this.#lineCount >= LOGGED_LINES)
      this.#logger.warn(`what the function logs beyond ${LOGGED_LINES} lines in one execution is dropped`)
  }

  /** Nothing follows. */
  end(): void {
    this.#lines.end()
  }

  /** The last of it. */
  get tail(): string {
    return this.#tail.toString("utf8")
  }
}
