import { firstEverReplyMs, firstReplyMs } from "../measure/first-reply.mjs"
import { atMost } from "../measure/row.mjs"
import { startPlatform } from "../product/platform.mjs"
import { nodeStartMs } from "../references/node-start.mjs"
import { startOutcome } from "./cold.mjs"
import { NOTHING, policyOf } from "./policies.mjs"

const ROUNDS = 15

/** First replies of modules that never ran, while the spare that every host keeps is ready, against the start of a bare Node. */
export const warmPool = {
  rows: (lab) => [{ name: "warm-pool", goal: atMost(0.25), reference: "node-start", policy: policyOf(lab), durability: NOTHING }],
  async run(lab, _rows, { rounds = ROUNDS, onProgress }) {
    const platform = await lab.once("warm pool", () => startPlatform(lab))
    const copy = await platform.deployFolder("echo-module")
    const firstMs = await firstEverReplyMs(platform, copy, "warm-pool-first")
    const [times, references] = [[], []]
    for (let n = 0; n < rounds; n++) {
      onProgress(`warm pool: round ${n + 1} of ${rounds}`)
      times.push(await firstReplyMs(platform, copy, `warm-pool-${n}`))
      references.push(await nodeStartMs())
    }
    return [startOutcome({ times, references, firstMs })]
  },
}
