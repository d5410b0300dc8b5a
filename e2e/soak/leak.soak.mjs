/** Memory of a host after a hundred thousand builtin calls, and after a million: it must not grow with what has been done. */
import { writeFileSync } from "node:fs"
import { descriptorsOf, residentBytes } from "../support/leftovers.mjs"
import { closedLoop } from "../support/load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, scaled, Tally } from "../support/tally.mjs"

export const name = "memory of a host"

/** What garbage that waits for its collection makes of a difference. */
const TOLERANCE_MB = 40

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const first = scaled(100_000, scale, 20_000)
  const all = scaled(1_000_000, scale, 2 * first)
  const platform = await startPlatform({ hosts: 0 })
  try {
    const builtins = platform.folder.file("builtins.mjs")
    writeFileSync(builtins, `export const echo = (event) => ({ type: "echoed", data: event.data })\n`)
    const host = await platform.startHost(["--builtins", builtins])
    await platform.registry.deploy({ name: "echo", language: "js", runtime: "builtin" })
    const data = { text: "x".repeat(200) }
    let failed = 0
    const calls = (/** @type {number} */ count) =>
      closedLoop({ inFlight: 64, count }, async () => {
        if (!(await platform.client.tryInvoke("echo", data)).ok) failed++
      })
    const startedAt = performance.now()
    await calls(first)
    const early = { bytes: residentBytes(host.pid), descriptors: descriptorsOf(host.pid) }
    log(`${megabytes(early.bytes)} MB after ${first} calls`)
    await calls(all - first)
    const late = { bytes: residentBytes(host.pid), descriptors: descriptorsOf(host.pid) }
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
