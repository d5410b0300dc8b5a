import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "@jest/globals"
import { drawCurves } from "../curves-svg.mjs"
import { loadOutcome, loadsOf } from "../measure/load-rows.mjs"
import { keyOf } from "../measure/rounds.mjs"
import { atLeast, atMost, rowOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { withResults } from "../report.mjs"
import { runScenarios } from "../run.mjs"
import { MORE_SCENARIOS, SCENARIOS } from "../scenarios/index.mjs"
import { formatTable } from "../table.mjs"

const SETTINGS = { isolation: "dev", scale: 1, onProgress: () => {} }
const PROMISE = { name: "it", goal: atLeast(1.3), reference: "that", policy: "dev", durability: "none" }
const SHAPE = {
  name: expect.any(String),
  ratio: expect.any(Number),
  range: [expect.any(Number), expect.any(Number)],
  reference: expect.any(String),
  throughput: expect.any(Number),
  p50us: expect.any(Number),
  p99us: expect.any(Number),
  cpuUsPerCall: { client: expect.any(Number), runtime: expect.any(Number) },
  rssMb: { client: expect.any(Number), runtime: expect.any(Number) },
  policy: expect.any(String),
  durability: expect.any(String),
  skipped: null,
  failed: null,
}

/** What `measureLoads` gives for a row whose own rounds and whose reference's went so fast. */
function measured(promise, ownSpeeds, referenceSpeeds) {
  const samples = (speeds) =>
    speeds.map((perSecond) => ({
      perSecond,
      p50us: 1e6 / perSecond,
      p99us: 4e6 / perSecond,
      cpuUsPerCall: { client: 5, runtime: 8 },
      rssMb: { client: 60, runtime: 90 },
    }))
  const [own, reference] = loadsOf(promise)
  return new Map([
    [keyOf(own), { load: own, samples: samples(ownSpeeds) }],
    [keyOf(reference), { load: reference, samples: samples(referenceSpeeds) }],
  ])
}

const LOADED = { ...PROMISE, load: { target: "builtin", against: "raw-echo", metric: "throughput" } }

test("a measured row has the fields that are promised, as JSON too", () => {
  const row = rowOf(LOADED, loadOutcome(LOADED, measured(LOADED, [200, 220, 240], [100, 100, 100])))
  expect(JSON.parse(JSON.stringify(row))).toMatchObject({
    ...SHAPE,
    name: "it",
    ratio: 2.2,
    range: [2, 2.4],
    goal: "≥ 1.3",
    met: true,
    rounds: 3,
  })
})

test("a ratio is taken within a round: a machine that grows slower changes none", () => {
  const { ratio, range } = loadOutcome(LOADED, measured(LOADED, [200, 100, 50], [100, 50, 25]))
  expect({ ratio, range }).toEqual({ ratio: 2, range: [2, 2] })
})

test("a row whose replies were wrong, or whose reference's were, has failed: it has no ratio", () => {
  for (const at of [0, 1]) {
    const results = measured(LOADED, [200], [100])
    results.set(keyOf(loadsOf(LOADED)[at]), { load: loadsOf(LOADED)[at], samples: [], error: new Error("it answered something else") })
    expect(rowOf(LOADED, loadOutcome(LOADED, results))).toMatchObject({ ratio: null, met: null, failed: "it answered something else" })
  }
})

test("a median is the middle of an odd number of values, and between the two in the middle of an even one", () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])]).toEqual([2, 2.5, 7])
})

test("goals are met at their very value and not beyond", () => {
  const met = (goal, ratio) => rowOf({ ...PROMISE, goal }, { ratio }).met
  expect([met(atLeast(1.3), 1.3), met(atLeast(1.3), 1.29), met(atMost(2), 2), met(atMost(2), 2.01)]).toEqual([true, false, true, false])
})

test("S3: every row that is promised has a goal, a policy, a durability and a reference, and no two have one name", () => {
  const rows = SCENARIOS.flatMap((scenario) => scenario.rows(SETTINGS))
  for (const row of rows)
    expect(row).toMatchObject({
      reference: expect.stringMatching(/./),
      policy: expect.stringMatching(/./),
      durability: expect.stringMatching(/./),
    })
  const withGoal = rows.filter(({ goal }) => goal).map(({ name }) => name)
  expect(withGoal).toEqual(expect.arrayContaining(PROMISED))
  const all = [...SCENARIOS, ...MORE_SCENARIOS].flatMap((scenario) => scenario.rows(SETTINGS).map(({ name }) => name))
  expect(new Set(all).size).toBe(all.length)
})

const PROMISED = [
  ...["builtin", "builtin-p50", "builtin-lean", "module", "plugin-ts-stream", "plugin-go-stream", "plugin-go-unary", "vs-moleculer"],
  ...["http-builtin", "vs-functions-framework", "async", "async-plain", "runtime-cpu", "cold-module", "cold-plugin-ts", "cold-plugin-go"],
  ...["warm-pool", "artifact", "idle-rss", "per-function-kb", "scale-10k", "neighbour", "two-runtimes", "leak"],
]

test("a row that cannot run here is skipped with what it needs, one that throws has failed, and the others run all the same", async () => {
  const absent = { thing: "a quantum computer", isThere: () => false }
  const scenario = (name, more, run) => ({ rows: () => [{ ...PROMISE, name, ...more }], run })
  const rows = await runScenarios(
    [
      scenario("absent", { needs: [absent] }, () => {
        throw new Error("it must not be run")
      }),
      scenario("broken", {}, () => {
        throw new Error("it answered something else")
      }),
      scenario("fine", {}, () => [{ ratio: 2 }]),
      scenario("unwanted", {}, () => [{ ratio: 2 }]),
    ],
    { ...SETTINGS, isWanted: (name) => name !== "unwanted" },
  )
  expect(rows.map(({ name, ratio, met, skipped, failed }) => [name, ratio, met, skipped, failed])).toEqual([
    ["absent", null, null, "needs a quantum computer", null],
    ["broken", null, null, null, "it answered something else"],
    ["fine", 2, true, null, null],
  ])
  const table = formatTable(rows)
  expect(table).toContain("SKIPPED: needs a quantum computer: absent")
  expect(table).toContain("FAILED: broken: it answered something else")
  expect(table).toMatch(/^fine +2 /m)
})

test("a report replaces what stands between its markers, and nothing else", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/performance.md"), "utf8")
  const row = { ...rowOf(LOADED, loadOutcome(LOADED, measured(LOADED, [200], [100]))), machine: "one abacus" }
  const written = withResults(page, [row])
  expect(written).toContain("Measured on one abacus.")
  expect(written).toContain("| `it` | 2 |")
  const around = (text) => [text.slice(0, text.indexOf("<!-- results")), text.slice(text.indexOf("<!-- end of results"))]
  expect(around(written)).toEqual(around(page))
  expect(withResults(written, [row])).toBe(written)
})

test("the picture has a line for each curve and percentile, within its frame", () => {
  const curve = [500, 5_000, 50_000].map((offeredPerSecond, n) => ({ offeredPerSecond, p50us: 100 * 3 ** n, p99us: 1000 * 5 ** n }))
  const svg = drawCurves([
    { name: "raw-echo", curve },
    { name: "builtin", curve: curve.slice(0, 2) },
  ])
  expect([...svg.matchAll(/<g id="([\w-]+)"/g)].map(([, name]) => name)).toEqual(["raw-echo", "builtin"])
  const numbers = [...svg.matchAll(/class="p(?:50|99)" d="M([\d. L]+)"/g)].flatMap(([, path]) => path.split(/[ L]/).map(Number))
  expect(numbers).toHaveLength(2 * 2 * (3 + 2))
  for (const number of numbers) expect(number).toBeGreaterThan(0)
  for (const number of numbers) expect(number).toBeLessThan(880)
})
