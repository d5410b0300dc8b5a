import { firstEverReplyMs, firstReplyMs } from "../measure/first-reply.mjs"
import { ratioOf } from "../measure/rounds.mjs"
import { atMost, figureOf } from "../measure/row.mjs"
import { median, quantile } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { nodeStartMs } from "../references/node-start.mjs"
import { GO, SANDBOX } from "./needs.mjs"
import { NOTHING, policyOf } from "./policies.mjs"

const ROUNDS = 11
/** More than without a sandbox a start in one may take, in starts of Node. */
const SANDBOX_EXTRA = 0.4
/** A start that finds nothing: no spare, which would be the row warm-pool. */
const NO_SPARES = ["--spares", "false"]

const KINDS = [
  { name: "cold-module", folder: "echo-module", goal: 1.2 },
  { name: "cold-plugin-ts", folder: "echo-plugin-ts", goal: 1.9 },
  { name: "cold-plugin-go", folder: "echo-plugin-go", goal: 0.35, needs: [GO] },
]
const MORE_KINDS = [
  { name: "cold-wasm", folder: "echo-wasm" },
  { name: "cold-command", folder: "echo-command" },
]

/** First replies of functions after their deploy, with nothing of them running, against the start of a bare Node. */
export const cold = coldScenario(KINDS)

/** The same of the kinds without a goal. */
export const coldMore = coldScenario(MORE_KINDS)

function coldScenario(kinds) {
  return {
    rows: () =>
      ["dev", "strict"].flatMap((isolation) =>
        kinds.map(({ name, goal, folder, needs = [] }) => ({
          name: isolation === "strict" ? `${name}-sandbox` : name,
          goal: goal && atMost(Number((isolation === "strict" ? goal + SANDBOX_EXTRA : goal).toFixed(2))),
          reference: "node-start",
          needs: isolation === "strict" ? [...needs, SANDBOX] : needs,
          policy: `${policyOf({ isolation })}; no spares (--spares false)`,
          durability: NOTHING,
          folder,
          isolation,
        })),
      ),
    async run(lab, rows, { rounds = ROUNDS, onProgress }) {
      const ready = []
      for (const row of rows) {
        const platform = await lab.once(`cold ${row.isolation}`, () => startPlatform({ isolation: row.isolation, settings: NO_SPARES }))
        ready.push(await prepare(row, platform))
      }
      for (let n = 0; n < rounds; n++) {
        onProgress(`cold starts: round ${n + 1} of ${rounds}`)
        for (const one of n % 2 === 0 ? ready : [...ready].reverse()) await startOnce(one, n)
      }
      return ready.map(startOutcome)
    },
  }
}

async function prepare(row, platform) {
  const one = { row, platform, times: [], references: [] }
  try {
    one.copy = await platform.deployFolder(row.folder)
    one.firstMs = await firstEverReplyMs(platform, one.copy, `${row.name}-first`)
  } catch (error) {
    one.error = error
  }
  return one
}

async function startOnce(one, n) {
  if (one.error) return
  try {
    one.times.push(await firstReplyMs(one.platform, one.copy, `${one.row.name}-${n}`))
    one.references.push(await nodeStartMs())
  } catch (error) {
    one.error = error
  }
}

/** What came of the starts of one row. */
export function startOutcome({ times, references, firstMs, error }) {
  if (error) return { failed: error.message }
  return {
    ...ratioOf(times.map((ms, round) => ms / references[round])),
    figure: figureOf(median(times), "ms"),
    referenceFigure: figureOf(median(references), "ms"),
    p50us: Math.round(median(times) * 1000),
    p99us: Math.round(quantile(times, 0.99) * 1000),
    rounds: times.length,
    note: `the host's first start of this kind, not counted, took ${Math.round(firstMs)} ms`,
  }
}
