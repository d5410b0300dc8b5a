import { round } from "../measure/rounds.mjs"
import { atMost, figureOf } from "../measure/row.mjs"
import { settledRssMb } from "../measure/settled.mjs"
import { median, rangeOf } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { NOTHING, policyOf } from "./policies.mjs"

const ROUNDS = 3

/** Memory of a runtime-service that has nothing to do: itself, without nats-server and without its spare. */
export const idleRss = {
  rows: (lab) => [{ name: "idle-rss", goal: atMost(90), reference: "none", policy: policyOf(lab), durability: NOTHING }],
  async run(lab, _rows, { rounds = ROUNDS, onProgress }) {
    const sizes = []
    for (let n = 0; n < rounds; n++) {
      onProgress(`idle memory: round ${n + 1} of ${rounds}`)
      const platform = await startPlatform(lab)
      try {
        sizes.push(await settledRssMb(platform.runtimes[0].pid))
      } finally {
        await platform.stop()
      }
    }
    const megabytes = median(sizes)
    return [
      {
        ratio: round(megabytes, 1),
        range: rangeOf(sizes).map((size) => round(size, 1)),
        figure: figureOf(megabytes, "MB"),
        rssMb: { runtime: round(megabytes, 0) },
        rounds,
      },
    ]
  },
}
