import { writeSync } from "node:fs"

/** A reader that takes nothing for this long is taken for dead. */
const STUCK_MS = 2_000
const PAUSE_MS = 2

/**
 * Writes all of `text` to a descriptor before it returns: a handshake or a log line cannot be lost when the process ends right after.
 * False when nobody reads any more (EPIPE): the host is gone.
 */
export function writeFully(fd: number, text: string): boolean {
  let rest = Buffer.from(text)
  const end = performance.now() + STUCK_MS
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (thrown) {
      // EAGAIN: the descriptor is non-blocking and its pipe is full.
      if ((thrown as NodeJS.ErrnoException).code !== "EAGAIN" || performance.now() > end) return false
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
    }
  }
  return true
}
