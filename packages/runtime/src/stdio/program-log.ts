import type { Logger } from "@fn/core"
import { LineSplitter } from "../instances/line-splitter.js"
import { outputLimit } from "./output-reader.js"

/** What an execution may say in its log; what it says beyond that is dropped, and that it was is said. */
const LOGGED_BYTES = 1024 * 1024
const TAIL_BYTES = 8 * 1024

/** What one execution writes to stderr: lines for the function's log, and the end of it to explain a failure. Bounded. */
export class ProgramLog {
  readonly #logger: Logger
  readonly #maxBytes: number
  readonly #lines: LineSplitter
  readonly #decoder = new TextDecoder()
  #bytes = 0
  #tail: Buffer = Buffer.alloc(0)

  constructor(logger: Logger, maxBytes: number) {
    this.#logger = logger
    this.#maxBytes = maxBytes
    this.#lines = new LineSplitter((line) => logger.info(line, { channel: "stderr" }))
  }

  /** @throws {FnError} resource_exhausted OUTPUT_LIMIT for a flood */
  push(chunk: Buffer): void {
    const logged = this.#bytes < LOGGED_BYTES
    this.#bytes += chunk.length
    if (this.#bytes > this.#maxBytes) throw outputLimit(this.#maxBytes)
    this.#tail = chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES)
    if (!logged) return
    this.#lines.push(this.#decoder.decode(chunk, { stream: true }))
    if (this.#bytes >= LOGGED_BYTES) this.#logger.warn(`what the function logs beyond ${LOGGED_BYTES} bytes in one execution is dropped`)
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
