import { burn, calibrateBurn } from "../measure/burn.mjs"
import { startLoadClient } from "../measure/load-client.mjs"
import { ratioOf } from "../measure/rounds.mjs"
import { atLeast, figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { IN_HOST, SYNC } from "./policies.mjs"

const ROUNDS = 5
const WINDOW_MS = 1_500
const BURN_MS = 5
const IN_FLIGHT = 64

/** What a second runtime-service brings a function that needs the processor, against what a second process brings a bare loop. */
export const twoRuntimes = {
  rows: () => [{ name: "two-runtimes", goal: atLeast(0.85), reference: "two bare loops ÷ one", policy: IN_HOST, durability: SYNC }],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = WINDOW_MS, onProgress }) {
    const iterations = calibrateBurn(BURN_MS)
    const work = { rounds: iterations, result: burn(iterations) }
    const invoker = async (runtimes) => startLoadClient("product/invoke-burn.mjs", { url: (await lab.platform(runtimes)).url, ...work })
    const own = [await lab.once("burn 1", () => invoker(1)), await lab.once("burn 2", () => invoker(2))]
    const loops = [await lab.once("loop 1", () => loop(work)), await lab.once("loop 2", () => loop(work))]
    const measures = {
      one: () => own[0].closedLoop({ inFlight: IN_FLIGHT, durationMs: roundMs }),
      two: () => own[1].closedLoop({ inFlight: IN_FLIGHT, durationMs: roundMs }),
      oneLoop: () => loops[0].closedLoop({ inFlight: 1, durationMs: roundMs }),
      twoLoops: () => together(loops, roundMs),
    }
    const speeds = Object.fromEntries(Object.keys(measures).map((name) => [name, []]))
    for (let n = -1; n < rounds; n++) {
      onProgress(n < 0 ? "two runtimes: warming up" : `two runtimes: round ${n + 1} of ${rounds}`)
      const names = Object.keys(measures)
      for (const name of n % 2 === 0 ? names : names.reverse()) {
        const { perSecond } = await measures[name]()
        if (n >= 0) speeds[name].push(perSecond)
      }
    }
    const gains = (more, less) => speeds[more].map((perSecond, n) => perSecond / speeds[less][n])
    const [ownGains, loopGains] = [gains("two", "one"), gains("twoLoops", "oneLoop")]
    return [
      {
        ...ratioOf(ownGains.map((gain, n) => gain / loopGains[n])),
        figure: figureOf(median(ownGains), "times"),
        referenceFigure: figureOf(median(loopGains), "times"),
        throughput: Math.round(median(speeds.two)),
        inFlight: IN_FLIGHT,
        rounds,
      },
    ]
  },
}

function loop(work) {
  return startLoadClient("references/node-loop.mjs", work)
}

async function together(loops, durationMs) {
  const runs = await Promise.all(loops.map((one) => one.closedLoop({ inFlight: 1, durationMs })))
  return { perSecond: runs.reduce((sum, { perSecond }) => sum + perSecond, 0) }
}
