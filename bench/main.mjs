/**
 * `npm run bench`: what fn costs, as ratios to references and peers measured in the same run. docs/performance.md says how to read it.
 *
 *   npm run bench                                    the rows with a goal, some eight minutes
 *   npm run bench -- --all                           every row
 *   npm run bench -- --only builtin,cold-*           rows by name, * standing for anything
 *   npm run bench -- --json result.json --svg docs/performance.svg
 *   npm run bench -- --rounds 1 --round-ms 200 --scale 0.01     whether they work, not what they cost
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { curvesOf, drawCurves } from "./curves-svg.mjs"
import { describeMachine } from "./machine.mjs"
import { runScenarios } from "./run.mjs"
import { CURVES, MORE_SCENARIOS, SCENARIOS } from "./scenarios/index.mjs"
import { formatTable } from "./table.mjs"

const { values: options } = parseArgs({
  options: {
    all: { type: "boolean", default: false },
    only: { type: "string" },
    json: { type: "string" },
    svg: { type: "string" },
    rounds: { type: "string" },
    "round-ms": { type: "string" },
    scale: { type: "string", default: "1" },
    isolation: { type: "string", default: "dev" },
  },
})

const startedAt = performance.now()
const machine = await describeMachine()
const settings = {
  isolation: oneOf("isolation", ["dev", "strict"]),
  scale: positive("scale"),
  onProgress: (line) => console.error(line),
  ...(options.rounds === undefined ? {} : { rounds: positive("rounds") }),
  ...(options["round-ms"] === undefined ? {} : { roundMs: positive("round-ms") }),
}
const rows = (await runScenarios(scenarios(), { ...settings, isWanted })).map((row) => ({ ...row, machine }))
if (rows.length === 0) throw new Error(`no row is called ${options.only}`)
const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
console.log(`\n${machine}\n${minutes} minutes${shortened()}\n\n${formatTable(rows)}`)
if (options.json) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`)
if (options.svg) writeFileSync(options.svg, drawCurves(curvesOf(rows)))
// A goal that is not met is a finding; a row that failed is an error.
process.exitCode = rows.some(({ failed }) => failed) ? 1 : 0

function scenarios() {
  if (options.all || options.only) return [...SCENARIOS, ...MORE_SCENARIOS, ...CURVES]
  return options.svg ? [...SCENARIOS, ...CURVES] : SCENARIOS
}

function isWanted(name) {
  if (options.only === undefined) return true
  const patterns = options.only.split(",").map((word) => word.split("*").map(escaped).join(".*"))
  return patterns.some((pattern) => new RegExp(`^${pattern}$`).test(name))
}

function escaped(text) {
  return text.replace(/[^\w-]/g, "\\$&")
}

function shortened() {
  const changed = ["rounds", "round-ms"].filter((name) => options[name] !== undefined).map((name) => `--${name} ${options[name]}`)
  if (settings.scale !== 1) changed.push(`--scale ${settings.scale}`)
  return changed.length === 0 ? "" : `; shortened by ${changed.join(" ")}, so these are no figures to quote`
}

function positive(name) {
  const value = Number(options[name])
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not ${options[name]}`)
  return value
}

function oneOf(name, values) {
  if (!values.includes(options[name])) throw new Error(`--${name} must be ${values.join(" or ")}, not ${options[name]}`)
  return options[name]
}
