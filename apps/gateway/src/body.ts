import type { IncomingMessage } from "node:http"
import { FnError } from "@fn/core"

/** A body this much over the limit is still read and thrown away, so that its sender gets the answer and not a reset connection. */
const DISCARD_BYTES = 16 * 1024 * 1024

/**
 * The body of a request. One chunk is not copied.
 * @throws {FnError} resource_exhausted PAYLOAD_TOO_LARGE naming the limit; cancelled when the client went away before it was all sent
 */
export function readBody(req: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    req.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes <= limitBytes) return void chunks.push(chunk)
      chunks.length = 0
      if (sizeBytes > limitBytes + DISCARD_BYTES) reject(tooLarge(limitBytes))
    })
    req.on("end", () => {
      if (sizeBytes > limitBytes) reject(tooLarge(limitBytes))
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, sizeBytes))
    })
    req.on("close", () => {
      if (!req.complete) reject(FnError.of("CANCELLED", "the client went away before it had sent its request"))
    })
  })
}

/** Whether a body that says how long it is need not be read at all. */
export function isHopeless(contentLength: number | undefined, limitBytes: number): boolean {
  return contentLength !== undefined && contentLength > limitBytes + DISCARD_BYTES
}

/** The error of a body beyond the limit. */
export function tooLarge(limitBytes: number): FnError {
  return FnError.of("PAYLOAD_TOO_LARGE", `the body is larger than ${limitBytes} bytes, the most this gateway takes`, {
    details: { limitBytes },
    retryable: false,
  })
}
