/** Memory of a host after a hundred thousand builtin calls, and after a million: it must not grow with what has been done. */
import { writeFileSync } from "node:fs"
import { descriptorsOf, residentBytes } from "../support/leftovers.mjs"
import { closedLoop } from "../support/load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, scaled, Tally } from "../support/tally.mjs"

export const name = "memory of a host"

/** Memory goes up and down with the garbage collector: the lowest of so many looks counts. */
const LOOKS = 5
const TOLERANCE_MB = 40

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const first = scaled(100_000, scale, 50_000)
  const all = scaled(1_000_000, scale, 2 * first)
  const platform = await startPlatform({ hosts: 0 })
  try {
    const builtins = platform.folder.file("builtins.mjs")
    writeFileSync(builtins, `export const echo = (event) => ({ type: "echoed", data: event.data })\n`)
    const host = await platform.startHost(["--builtins", builtins])
    await platform.registry.deploy({ name: "echo", language: "js", runtime: "builtin" })
    const data = { text: "x".repeat(200) }
    let failed = 0
    const call = async () => {
      if (!(await platform.client.tryInvoke("echo", data)).ok) failed++
    }
    /** Makes calls, and tells what the host holds at least meanwhile. @param {number} count */
    const holdsAfter = async (count) => {
      const looks = []
      for (let look = 0; look < LOOKS; look++) {
        await closedLoop({ inFlight: 64, count: Math.ceil(count / LOOKS) }, call)
        looks.push({ bytes: residentBytes(host.pid), descriptors: descriptorsOf(host.pid) })
      }
      return { bytes: Math.min(...looks.map(({ bytes }) => bytes)), descriptors: Math.min(...looks.map(({ descriptors }) => descriptors)) }
    }
    const startedAt = performance.now()
    const early = await holdsAfter(first)
    log(`${megabytes(early.bytes)} MB after ${first} calls`)
    await closedLoop({ inFlight: 64, count: all - 2 * first }, call)
    const late = await holdsAfter(first)
    tally.figure("calls", all)
    tally.figure("calls per second", Math.round((all / (performance.now() - startedAt)) * 1000))
    tally.check("calls that failed", failed)
    tally.figure("MB early", megabytes(early.bytes))
    tally.figure("MB late", megabytes(late.bytes))
    tally.check("MB grown", megabytes(late.bytes - early.bytes), (grown) => grown <= TOLERANCE_MB)
    tally.check("descriptors grown", late.descriptors - early.descriptors, (grown) => grown <= 0)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
