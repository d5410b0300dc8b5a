import { readFileSync } from "node:fs"

interface Sample {
  bytes: number | undefined
  at: number
}

/** A figure is this old at most, ms: reading one costs 15 µs, which no call should pay. */
const FRESH_MS = 1_000
/** Processes that are remembered; instances come and go, their samples must not add up. */
const MAX_SAMPLES = 256

/** Resident memory of processes, each read once a second at most. */
export class MemorySampler {
  readonly #samples = new Map<number, Sample>()

  /** Bytes of the process `pid`, of this one without; undefined where it cannot be read: it is gone, or this is no Linux. */
  bytes(pid: number = process.pid): number | undefined {
    const now = performance.now()
    const known = this.#samples.get(pid)
    if (known && now - known.at < FRESH_MS) return known.bytes
    const bytes = residentBytes(pid)
    if (known) {
      known.bytes = bytes
      known.at = now
    } else {
      if (this.#samples.size >= MAX_SAMPLES) this.#samples.clear()
      this.#samples.set(pid, { bytes, at: now })
    }
    return bytes
  }
}

function residentBytes(pid: number): number | undefined {
  if (pid === process.pid) return process.memoryUsage.rss()
  try {
    // In kB whatever the size of a page, which statm counts in.
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined // said by the return value
  }
}
