/**
 * An instance of each kind that has a process starts and stops, two hundred times each: no process, socket, temporary file or descriptor is left.
 */
import { mkdirSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { processTree, until } from "@fn/testing"
import { descriptorsOf, holdings, remains, residentBytes } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "instances started and stopped"

const PLUGIN = fileURLToPath(new URL("../test/fixtures/versioned/main.mjs", import.meta.url))
/** `(module (memory (export "memory") 1) (func (export "_start")))` */
const WASM = Buffer.from("0061736d01000000010401600000030201000503010001071302066d656d6f72790200065f737461727400000a040102000b", "hex")
/** Of the first use of WebAssembly a spare stays; of commands, who ends what they start if the host cannot. */
const STAYING = 2
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
    const wasm = { name: "wasm", language: "custom", runtime: "wasm" }
    await platform.registry.deploy(/** @type {import("@fn/registry").FunctionManifest} */ (wasm), { artifact: WASM, fileName: "wasm.wasm" })
    const command = { name: "command", language: "shell", runtime: "command", command: ["sh", "-c", "cat > here; sleep 1000 & echo '{}'"] }
    await platform.registry.deploy(/** @type {import("@fn/registry").FunctionManifest} */ (command))
    // The spare of modules, and who cleans up after the host.
    const resting = processTree(host.pid).length + STAYING
    const isResting = () => processTree(host.pid).length <= resting
    // Names of pipes are made ahead, a few at a time.
    const files = () => readdirSync(tmp, { recursive: true }).filter((path) => !String(path).endsWith(".pipe")).length

    /** @type {number[]} */
    const cycleMs = []
    const cycle = async () => {
      const startedAt = performance.now()
      await Promise.all(["module", "plugin", "wasm", "command"].map((kind) => platform.client.invoke(kind, {})))
      await until(isResting, { name: "every instance to be gone", timeoutMs: 20_000 })
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
      (count) => count >= 3 * cycles,
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
