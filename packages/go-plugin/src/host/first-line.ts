import type { Readable } from "node:stream"
import { FnError } from "@fn/core"

/** A handshake has some hundred bytes; this much without a line break is something else. */
const MAX_LINE_BYTES = 65_536

/** The first line of a plugin's stdout. */
export interface FirstLine {
  /** Rejects with BAD_HANDSHAKE when there is none in the first 64 KiB; stays pending when the stream ends without one. */
  readonly line: Promise<string>
  /** What came so far when the line has not ended yet. */
  partial(): string
}

/**
 * Reads the first line and drops all that follows, for the life of the process: whatever a plugin prints later, its pipe never fills.
 */
export function readFirstLine(stdout: Readable): FirstLine {
  let received: Buffer | undefined = Buffer.alloc(0)
  const line = new Promise<string>((resolve, reject) => {
    stdout.on("data", (chunk: Buffer) => {
      if (!received) return
      received = Buffer.concat([received, chunk])
      const end = received.indexOf(0x0a)
      if (end === -1 && received.length <= MAX_LINE_BYTES) return
      if (end === -1)
        reject(FnError.of("BAD_HANDSHAKE", `the plugin printed ${received.length} bytes without a line break where its handshake belongs`))
      else resolve(received.subarray(0, end).toString("utf8"))
      received = undefined
    })
  })
  return { line, partial: () => received?.toString("utf8") ?? "" }
}
