import { startLoadClient } from "../measure/load-client.mjs"
import { ratioOf, round } from "../measure/rounds.mjs"
import { figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { policyOf, SYNC } from "./policies.mjs"

const ROUNDS = 5
const PER_SECOND = 500
const STEADY_MS = 2_000
const NAME = "echo-module"

/** A function under steady load while a new version of it is deployed, against the same function left alone. No call may fail. */
export const redeploy = {
  rows: (lab) => [{ name: "redeploy", reference: "left alone", policy: policyOf(lab), durability: SYNC }],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = STEADY_MS, onProgress }) {
    const platform = await lab.once("redeploy", () => startPlatform(lab))
    const copy = await platform.deployFolder(NAME)
    const client = await lab.once("redeploy client", () =>
      startLoadClient("product/invoke.mjs", { url: platform.url, functions: [NAME], sizeBytes: 256 }),
    )
    await client.closedLoop({ inFlight: 16, durationMs: roundMs })
    const [alone, redeployed] = [[], []]
    for (let n = 0; n < rounds; n++) {
      onProgress(`redeploy: round ${n + 1} of ${rounds}`)
      alone.push(await client.openLoop({ perSecond: PER_SECOND, durationMs: roundMs }))
      const steady = client.openLoop({ perSecond: PER_SECOND })
      // Another version whatever its content: the manifest differs.
      await platform.registry.deploy({ ...copy.manifest, name: NAME, metadata: { round: `${n}` } }, copy.options)
      await platform.client.invoke(NAME, { n }, { type: "com.example.asked" })
      await client.stopOpenLoop()
      redeployed.push(await steady)
    }
    const p99 = (runs) => median(runs.map(({ p99us }) => p99us))
    return [
      {
        ...ratioOf(redeployed.map(({ p99us }, n) => p99us / alone[n].p99us)),
        figure: figureOf(p99(redeployed), "µs p99"),
        referenceFigure: figureOf(p99(alone), "µs p99"),
        throughput: PER_SECOND,
        p50us: round(median(redeployed.map(({ p50us }) => p50us)), 0),
        p99us: round(p99(redeployed), 0),
        sizeBytes: 256,
        rounds,
      },
    ]
  },
}
