/** A module's and a plugin's instance start and stop, two hundred times each: no process, socket, temporary file or descriptor is left. */
import { mkdirSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { processTree, until } from "@fn/testing"
import { descriptorsOf, holdings, remains, residentBytes } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "instances started and stopped"

const PLUGIN = fileURLToPath(new URL("../test/fixtures/versioned/main.mjs", import.meta.url))
/** The first cycles load what is loaded lazily. */
const WARM_UP = 5

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const cycles = scaled(200, scale, 10)
  const platform = await startPlatform({ hosts: 0 })
  try {
    const tmp = platform.folder.file("tmp")
    mkdirSync(tmp)
    // Idle at once: every call starts an instance, and stops it.
    const host = await platform.startHost(["--idle-ms", "0"], "host", { TMPDIR: tmp })
    await platform.deployModule("module", `export default () => ({ type: "done" })`)
    await platform.deployPlugin("plugin", [process.execPath, PLUGIN], { env: { VERSION: "1" } })
    // The spare, and who cleans up after the host.
    const resting = processTree(host.pid).length
    const isResting = () => processTree(host.pid).length <= resting
    const files = () => readdirSync(tmp, { recursive: true }).length

    /** @type {number[]} */
    const cycleMs = []
    const cycle = async () => {
      const startedAt = performance.now()
      await Promise.all([platform.client.invoke("module", {}), platform.client.invoke("plugin", {})])
      await until(isResting, { name: "both instances to be gone", timeoutMs: 20_000 })
      cycleMs.push(performance.now() - startedAt)
    }
    for (let n = 0; n < WARM_UP; n++) await cycle()
    const before = { descriptors: descriptorsOf(host.pid), files: files(), bytes: residentBytes(host.pid) }
    for (let n = 0; n < cycles; n++) {
      await cycle()
      if ((n + 1) % 50 === 0) log(`${n + 1} cycles`)
    }
    tally.figure("cycles", cycles)
    tally.figure("cycle, ms, p50 and p99", `${quantile(cycleMs, 0.5)} ${quantile(cycleMs, 0.99)}`)
    // A new spare may be on its way: its pipes are open already.
    const isBack = () => descriptorsOf(host.pid) <= before.descriptors && files() <= before.files
    await until(isBack, { name: "descriptors and files to be as before", timeoutMs: 5_000 }).catch(() => undefined)
    tally.check("processes more than before", processTree(host.pid).length - resting, (more) => more <= 0)
    tally.check("descriptors more than before", descriptorsOf(host.pid) - before.descriptors, (more) => more <= 0)
    tally.check("temporary files more than before", files() - before.files, (more) => more <= 0)
    const status = (await platform.nc.request("function.status.host", "", { timeout: 5_000 })).json()
    /** @type {{ coldStarts: number, crashes: number }[]} */
    const functions = status.functions
    tally.check(
      "cold starts",
      functions.reduce((sum, { coldStarts }) => sum + coldStarts, 0),
      (count) => count >= 2 * cycles,
    )
    tally.check(
      "crashes",
      functions.reduce((sum, { crashes }) => sum + crashes, 0),
    )
    tally.figure("host memory, MB, before and after", `${megabytes(before.bytes)} → ${megabytes(residentBytes(host.pid))}`)

    const held = holdings(host.pid)
    tally.check("exit code of the host", (await host.stop()).code ?? -1)
    await until(() => remains(held).length === 0, { name: "the host's processes and sockets to be gone", timeoutMs: 2_000 }).catch(
      () => undefined,
    )
    tally.check("processes and sockets after the host's end", remains(held).length)
    tally.check("temporary files after the host's end", files())
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
