import { ratioOf, round } from "../measure/rounds.mjs"
import { figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { GO } from "./needs.mjs"
import { IN_HOST, policyOf, SYNC } from "./policies.mjs"

const ROUNDS = 3
const WINDOW_MS = 1_000
/** Calls a second that are offered. */
const OFFERED = [500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000]
/** One that cannot keep up is not asked for more. */
const KEEPS_UP = 0.95
const HOPELESS_P99_US = 500_000

const KINDS = [
  { target: "raw-echo", policy: "none: it is the reference" },
  { target: "builtin", policy: IN_HOST },
  { target: "module" },
  { target: "plugin-ts-stream" },
  { target: "plugin-go-stream", needs: [GO] },
]

/** How latency grows with load, open loop: a curve per kind. The ratio is of the p50 at the least load to the raw echo's. */
export const latency = {
  rows: (lab) =>
    KINDS.map(({ target, policy = policyOf(lab), needs }) => ({
      name: `latency-${target}`,
      reference: "raw-echo",
      policy,
      durability: SYNC,
      needs,
      target,
    })),
  async run(lab, rows, { rounds = ROUNDS, roundMs = WINDOW_MS, onProgress }) {
    // The reference takes part even where its row was not asked for.
    const targets = [...new Set(["raw-echo", ...rows.map(({ target }) => target)])]
    const curves = new Map()
    for (const target of targets) {
      const { client } = await lab.target(target)
      await client.closedLoop({ inFlight: 64, durationMs: roundMs })
      curves.set(target, { client, points: new Map(), keepsUp: true })
    }
    for (const perSecond of OFFERED)
      for (let n = 0; n < rounds; n++) {
        onProgress(`latency at ${perSecond} calls/s: round ${n + 1} of ${rounds}`)
        const entries = [...curves.values()]
        for (const curve of n % 2 === 0 ? entries : entries.reverse()) await offer(curve, perSecond, roundMs)
      }
    const reference = pointsOf(curves.get("raw-echo"))
    return rows.map(({ target }) =>
      outcomeOf(pointsOf(curves.get(target)), reference, curves.get(target).points, curves.get("raw-echo").points),
    )
  },
}

async function offer(curve, perSecond, durationMs) {
  const runs = curve.points.get(perSecond) ?? []
  if (runs.length === 0 && !curve.keepsUp) return
  const run = await curve.client.openLoop({ perSecond, durationMs })
  curve.points.set(perSecond, [...runs, run])
  if (run.perSecond < perSecond * KEEPS_UP || run.p99us > HOPELESS_P99_US) curve.keepsUp = false
}

/** The curve: medians of the rounds at each load. */
function pointsOf({ points }) {
  return [...points].map(([offeredPerSecond, runs]) => ({
    offeredPerSecond,
    perSecond: Math.round(median(runs.map(({ perSecond }) => perSecond))),
    p50us: Math.round(median(runs.map(({ p50us }) => p50us))),
    p99us: Math.round(median(runs.map(({ p99us }) => p99us))),
  }))
}

function outcomeOf(curve, reference, own, against) {
  const [least] = curve
  const p50s = (points) => points.get(least.offeredPerSecond).map(({ p50us }) => p50us)
  const [ownP50s, referenceP50s] = [p50s(own), p50s(against)]
  return {
    ...ratioOf(ownP50s.map((p50us, n) => p50us / referenceP50s[n])),
    figure: figureOf(least.p50us, "µs p50"),
    referenceFigure: figureOf(reference[0].p50us, "µs p50"),
    throughput: Math.max(...curve.map(({ perSecond }) => perSecond)),
    p50us: round(least.p50us, 0),
    p99us: round(least.p99us, 0),
    sizeBytes: 256,
    rounds: ownP50s.length,
    curve,
  }
}
