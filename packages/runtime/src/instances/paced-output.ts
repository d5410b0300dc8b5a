/**
 * What functions print, taken no faster than a host can log it.
 *
 * A logged line costs the one thread that all functions share some microseconds; a function that prints without end would take it from everybody.
 * Past a budget a pipe is not read, so that the function waits in its own write; what comes by other ways is dropped, and that it was is said.
 */
import type { Readable } from "node:stream"

const WINDOW_MS = 100
/** Of each stream in a window: some 600 KB in a second, or five thousand empty lines. */
const BUDGET = 64 * 1024
/** What a line costs beside its characters. */
const LINE_COST = 128
/** Taken at once. */
const PIECE_LENGTH = 1024

/** What a stream may still give, in characters, with an extra for each line. A piece may overdraw it. */
class OutputBudget {
  #left = BUDGET
  #refilledAt = performance.now()

  /** Whether anything may be taken now. */
  get isOpen(): boolean {
    const windows = Math.floor((performance.now() - this.#refilledAt) / WINDOW_MS)
    if (windows > 0) {
      this.#left = Math.min(BUDGET, this.#left + windows * BUDGET)
      this.#refilledAt += windows * WINDOW_MS
    }
    return this.#left > 0
  }

  spend(text: string): void {
    let lines = 0
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++
    this.#left -= text.length + lines * LINE_COST
  }
}

/** Hands on the text of a pipe, which has an encoding, and leaves it unread while its budget is spent. */
export function readPaced(stream: Readable, onText: (text: string) => void): void {
  const budget = new OutputBudget()
  let waiting = ""
  let timer: NodeJS.Timeout | undefined
  const work = (): void => {
    timer = undefined
    while (waiting !== "" && budget.isOpen) {
      const piece = waiting.slice(0, PIECE_LENGTH)
      waiting = waiting.slice(PIECE_LENGTH)
      budget.spend(piece)
      onText(piece)
    }
    if (waiting === "") return void stream.resume()
    stream.pause()
    // What is left when everything else is over need not keep a process alive.
    timer = setTimeout(work, WINDOW_MS).unref()
  }
  stream.on("data", (text: string) => {
    waiting += text
    if (!timer) work()
  })
}

/** Hands on text that cannot be left unread; what is beyond its budget is dropped. */
export function dropPast(onText: (text: string) => void, onDropped: (characters: number) => void): (text: string) => void {
  const budget = new OutputBudget()
  let dropped = 0
  return (text) => {
    for (let at = 0; at < text.length; at += PIECE_LENGTH) {
      if (!budget.isOpen) {
        dropped += text.length - at
        return
      }
      if (dropped > 0) onDropped(dropped)
      dropped = 0
      const piece = text.slice(at, at + PIECE_LENGTH)
      budget.spend(piece)
      onText(piece)
    }
  }
}
