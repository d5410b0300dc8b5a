import { startLoadClient } from "../measure/load-client.mjs"
import { round } from "../measure/rounds.mjs"
import { atMost, figureOf } from "../measure/row.mjs"
import { settledRssMb } from "../measure/settled.mjs"
import { startPlatform } from "../product/platform.mjs"
import { IN_HOST, SYNC } from "./policies.mjs"

const CALLS = 1_000_000
const LOAD = { inFlight: 64, sizeBytes: 256 }

/** Memory of a host after a million calls, against the same host after the first hundred thousand. */
export const leak = {
  rows: () => [{ name: "leak", goal: atMost(1.1), reference: "a tenth of the calls", policy: IN_HOST, durability: SYNC }],
  async run(lab, _rows, { scale, onProgress }) {
    const platform = await lab.once("leak", () => startPlatform(lab))
    await platform.deployBuiltins("echo-builtin")
    const options = { url: platform.url, functions: ["echo-builtin"], sizeBytes: LOAD.sizeBytes }
    const client = await lab.once("leak client", () => startLoadClient("product/invoke.mjs", options))
    const total = Math.round(CALLS * scale)
    const first = Math.round(total / 10)
    const { pid } = platform.runtimes[0]
    onProgress(`leak: ${first} calls`)
    await client.closedLoop({ inFlight: LOAD.inFlight, count: first })
    const before = await settledRssMb(pid)
    onProgress(`leak: ${total - first} calls more`)
    const run = await client.closedLoop({ inFlight: LOAD.inFlight, count: total - first })
    const after = await settledRssMb(pid)
    return [
      {
        ratio: round(after / before, 3),
        figure: figureOf(after, "MB"),
        referenceFigure: figureOf(before, "MB"),
        throughput: Math.round(run.perSecond),
        p50us: Math.round(run.p50us),
        p99us: Math.round(run.p99us),
        rssMb: { runtime: round(after, 0) },
        ...LOAD,
        rounds: 1,
        note: `${total} calls`,
      },
    ]
  },
}
