import { setTimeout as delay } from "node:timers/promises"
import { median } from "./statistics.mjs"
import { cpuUs, rssMb } from "./usage.mjs"

const SAMPLES = 10
const EVERY_MS = 100
const DEADLINE_MS = 10_000

/** Resident set of a process that has come to rest, MB: the median of a second in which it used next to no CPU, or of the tenth second. */
export async function settledRssMb(pid) {
  const end = performance.now() + DEADLINE_MS
  for (;;) {
    const before = cpuUs(pid)
    const samples = []
    for (let n = 0; n < SAMPLES; n++) {
      await delay(EVERY_MS)
      samples.push(rssMb(pid))
    }
    if (cpuUs(pid) - before <= 50_000 || performance.now() > end) return median(samples)
  }
}
