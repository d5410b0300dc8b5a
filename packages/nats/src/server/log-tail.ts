import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from "node:fs"
import type { Readable } from "node:stream"

/** The end of what a process printed. */
export interface LogTail {
  text(): string
  /** Resolves when all that an ended process printed can be seen. */
  complete(): Promise<void>
}

const KEEP_BYTES = 8_192

/** Reads `stream` to its end, keeping the last of it. */
export function tailStream(stream: Readable | null): LogTail {
  let kept = ""
  if (!stream) return { text: () => kept, complete: () => Promise.resolve() }
  stream.setEncoding("utf8")
  stream.on("data", (chunk: string) => {
    kept = (kept + chunk).slice(-KEEP_BYTES)
  })
  const closed = new Promise<void>((resolve) => stream.once("close", resolve))
  return { text: () => kept, complete: () => closed }
}

/** Looks at what is appended to the file `path` from now on. */
export function tailFile(path: string): LogTail {
  const start = existsSync(path) ? statSync(path).size : 0
  return { text: () => readEnd(path, start), complete: () => Promise.resolve() }
}

function readEnd(path: string, start: number): string {
  const file = openSync(path, "r")
  try {
    const { size } = fstatSync(file)
    const from = Math.max(start, size - KEEP_BYTES)
    const bytes = Buffer.alloc(Math.max(0, size - from))
    return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, from))
  } finally {
    closeSync(file)
  }
}
