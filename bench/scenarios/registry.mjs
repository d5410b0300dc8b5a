import { connectRegistry } from "@fn/registry"
import { round } from "../measure/rounds.mjs"
import { figureOf } from "../measure/row.mjs"
import { settledRssMb } from "../measure/settled.mjs"
import { startPlatform } from "../product/platform.mjs"
import { registerModules } from "./many-functions.mjs"

const COUNT = 10_000
const conditions = { reference: "none", policy: "none: they are registered, not run", durability: "file storage, one server" }

/** A registry with ten thousand functions: deploys a second, the time of a list and of a watch's catching up, the server's memory. */
export const registry = {
  rows: () => ["registry-deploys", "registry-list", "registry-watch", "registry-memory"].map((name) => ({ name, ...conditions })),
  async run(lab, _rows, { scale, onProgress }) {
    const platform = await lab.once("registry", () => startPlatform(lab))
    const count = Math.round(COUNT * scale)
    onProgress(`registry: ${count} deploys`)
    const before = await settledRssMb(platform.natsPid)
    const deployMs = await timed(() => registerModules(platform, count))
    let listed = 0
    const listMs = await timed(async () => {
      for await (const _entry of platform.registry.listFunctions()) listed++
    })
    const watcher = await connectRegistry(platform.nc)
    let watched = 0
    const watchMs = await timed(() => watcher.watch({ onChange: () => watched++ }))
    await watcher.close()
    if (listed !== count || watched !== count) throw new Error(`of ${count} functions ${listed} were listed and ${watched} watched`)
    const note = `${count} functions`
    return [
      { figure: figureOf((count / deployMs) * 1000, "deploys/s"), throughput: Math.round((count / deployMs) * 1000), inFlight: 32, note },
      { figure: figureOf(listMs, "ms"), p50us: round(listMs * 1000, 0), note },
      { figure: figureOf(watchMs, "ms"), p50us: round(watchMs * 1000, 0), note },
      { figure: figureOf((await settledRssMb(platform.natsPid)) - before, "MB"), note },
    ]
  },
}

async function timed(work) {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
