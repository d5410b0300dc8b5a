/**
 * What a program writes to stdout, as events, while it is being written. docs/command-protocol.md#stdout
 *
 * Phases: undecided (nothing but white space so far) → json (it began with `{` or `[`) or text → ended. Memory is bounded by `maxBytes`, whatever
 * comes.
 */
import { bareEvent, FnError, type WireEvent } from "@fn/core"
import { JsonSplitter } from "./json-splitter.js"
import { badOutput, type EventDefaults, eventsOf, failureOf, MAX_FAILURE_BYTES } from "./output-event.js"

/** Options of {@link OutputReader}. */
export interface OutputOptions extends EventDefaults {
  /** More than this since the last event is OUTPUT_LIMIT. */
  readonly maxBytes: number
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])
const OPENINGS: ReadonlySet<number> = new Set(Buffer.from("{["))
const SPACE: ReadonlySet<number> = new Set(Buffer.from(" \t\r\n"))

export class OutputReader {
  readonly #options: OutputOptions
  readonly #splitter = new JsonSplitter()
  #form: "undecided" | "json" | "text" = "undecided"
  /** Everything, until a form is decided and for ever in text. */
  #chunks: Buffer[] = []
  /** Bytes since the last event. */
  #bytes = 0
  /** A value that may turn out to be what a failure says: that is known when the exit code is. */
  #held: Buffer | undefined
  #mistake: FnError | undefined
  #markBytes = 0

  constructor(options: OutputOptions) {
    this.#options = options
  }

  /** The events that `chunk` completes. @throws {FnError} resource_exhausted OUTPUT_LIMIT */
  push(chunk: Buffer): WireEvent[] {
    this.#bytes += chunk.length
    if (this.#bytes > this.#options.maxBytes) throw outputLimit(this.#options.maxBytes)
    // What comes after a mistake cannot be read; it is counted, so that the process may go on to its end.
    if (this.#mistake) return []
    if (this.#form === "json") return this.#split(chunk)
    this.#chunks.push(chunk)
    if (this.#form === "text") return []
    const first = this.#firstByte(chunk)
    if (first === undefined) return []
    this.#form = OPENINGS.has(first) ? "json" : "text"
    if (this.#form === "text") return []
    const whole = withoutMark(Buffer.concat(this.#chunks))
    this.#chunks = []
    return this.#split(whole)
  }

  /**
   * The events that are complete now that the program has ended well.
   * @throws {FnError} failed_precondition BAD_OUTPUT
   */
  end(): WireEvent[] {
    if (this.#mistake) throw this.#mistake
    if (this.#form === "json") {
      if (this.#splitter.isOpen) throw badOutput("the JSON on its stdout is cut short")
      return this.#release()
    }
    const text = withoutMark(Buffer.concat(this.#chunks))
    if (this.#form === "undecided" && text.every((byte) => SPACE.has(byte))) return []
    const { source, type } = this.#options
    return [bareEvent(withoutLastBreak(text), undefined, { source, type })]
  }

  /** What a program that failed said about it: the last value on its stdout, or the last line of text. */
  failure(): Readonly<Record<string, unknown>> | undefined {
    if (this.#form === "json") return this.#held && failureOf(this.#held)
    const lastLine = this.textTail(MAX_FAILURE_BYTES).trim().split("\n").at(-1) ?? ""
    return failureOf(Buffer.from(lastLine))
  }

  /** The end of what was written, when it is text. */
  textTail(maxBytes: number): string {
    return this.#form === "text" ? Buffer.concat(this.#chunks).subarray(-maxBytes).toString("utf8") : ""
  }

  #split(chunk: Buffer): WireEvent[] {
    const events: WireEvent[] = []
    try {
      const { values, stray } = this.#splitter.push(chunk)
      for (const value of values) {
        events.push(...this.#release())
        if (failureOf(value)) this.#held = value
        else events.push(...eventsOf(value, this.#options))
      }
      if (stray) this.#mistake = badOutput("what follows the JSON on its stdout is neither an object nor an array")
    } catch (thrown) {
      this.#mistake = FnError.from(thrown)
    }
    if (events.length > 0) this.#bytes = 0
    return events
  }

  #release(): WireEvent[] {
    const held = this.#held
    this.#held = undefined
    return held ? eventsOf(held, this.#options) : []
  }

  /** The first byte of `chunk` that is no white space and not of a byte order mark. */
  #firstByte(chunk: Buffer): number | undefined {
    for (const byte of chunk) {
      if (byte === BYTE_ORDER_MARK[this.#markBytes]) this.#markBytes++
      else if (!SPACE.has(byte)) return byte
    }
    return undefined
  }
}

/** The error for too much output. */
export function outputLimit(maxBytes: number): FnError {
  return FnError.of("OUTPUT_LIMIT", `the function wrote more than ${maxBytes} bytes`)
}

function withoutMark(bytes: Buffer): Buffer {
  return bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes
}

/** `echo` ends a line, and means its text without. */
function withoutLastBreak(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}
