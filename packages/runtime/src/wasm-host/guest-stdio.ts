/**
 * stdin, stdout and stderr of a WASI program as bytes in this process. Everything else of WASI is node:wasi's, which is given /dev/null for the
 * three: what is not caught here goes nowhere.
 */
import type { WasmMemory } from "../instances/wasm/wasm-engine.js"

/** Where the program's own streams lead. */
export interface GuestStreams {
  readonly stdin: Uint8Array
  /** May throw: the program ends with what is thrown. The bytes are its memory: copy what is kept. */
  readonly stdout: (bytes: Uint8Array) => void
  readonly stderr: (bytes: Uint8Array) => void
}

type Transfer = (fd: number, vectors: number, count: number, transferred: number) => number

const IOVEC_BYTES = 8
const ERRNO = { success: 0, fault: 21, notSupported: 58 } as const

/**
 * `functions` of WASI preview 1 with reading, writing and closing of the three streams replaced. `memory` is asked for at each call; it is not
 * there while a module's own start function runs.
 */
export function withStreams(
  functions: Readonly<Record<string, unknown>>,
  memory: () => WasmMemory | undefined,
  streams: GuestStreams,
): Record<string, unknown> {
  let readBytes = 0
  const read = (target: Uint8Array): number => {
    const piece = streams.stdin.subarray(readBytes, readBytes + target.length)
    target.set(piece)
    readBytes += piece.length
    return piece.length
  }
  const write =
    (to: (bytes: Uint8Array) => void) =>
    (source: Uint8Array): number => {
      if (source.length > 0) to(source)
      return source.length
    }
  const sinks = new Map([
    [1, write(streams.stdout)],
    [2, write(streams.stderr)],
  ])
  return {
    ...functions,
    fd_read: (fd: number, ...rest: [number, number, number]) =>
      fd === 0 ? transfer(memory(), rest, read) : (functions.fd_read as Transfer)(fd, ...rest),
    fd_write: (fd: number, ...rest: [number, number, number]) => {
      const sink = sinks.get(fd)
      return sink ? transfer(memory(), rest, sink) : (functions.fd_write as Transfer)(fd, ...rest)
    },
    // The descriptors behind the three are this process's own, and the next execution's.
    fd_close: (fd: number) => (fd <= 2 ? ERRNO.success : (functions.fd_close as (fd: number) => number)(fd)),
    fd_renumber: () => ERRNO.notSupported,
  }
}

/** Moves bytes through each vector of the program's list, until one is not filled or emptied whole. */
function transfer(
  memory: WasmMemory | undefined,
  [vectors, count, transferred]: readonly number[],
  move: (bytes: Uint8Array) => number,
): number {
  if (!memory) return ERRNO.fault
  const { buffer } = memory
  const view = new DataView(buffer)
  let total = 0
  // Numbers come signed; addresses are not.
  const [list, length, result] = [(vectors as number) >>> 0, (count as number) >>> 0, (transferred as number) >>> 0]
  if (list + length * IOVEC_BYTES > buffer.byteLength || result + 4 > buffer.byteLength) return ERRNO.fault
  for (let at = list; at < list + length * IOVEC_BYTES; at += IOVEC_BYTES) {
    const start = view.getUint32(at, true)
    const size = view.getUint32(at + 4, true)
    if (start + size > buffer.byteLength) return ERRNO.fault
    const moved = move(new Uint8Array(buffer, start, size))
    total += moved
    if (moved < size) break
  }
  view.setUint32(result, total, true)
  return ERRNO.success
}
