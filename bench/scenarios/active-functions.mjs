import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { createScratchFolder } from "@fn/process"
import { startLoadClient } from "../measure/load-client.mjs"
import { ratioOf, summaryOf } from "../measure/rounds.mjs"
import { figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { IN_HOST, policyOf, SYNC } from "./policies.mjs"

const ROUNDS = 5
const WINDOW_MS = 1_000
const COUNT = 1_000
const LOAD = { inFlight: 64, sizeBytes: 256 }
/** Hosts do not bound how many processes all their functions have together. */
const CAP = { thing: "a host setting that bounds the instances of all functions together", isThere: () => false }

/** A thousand functions that are called in turn, against one of them alone. */
export const activeFunctions = {
  rows: (lab) => [
    { name: "active-builtin", reference: "one function", policy: IN_HOST, durability: SYNC },
    { name: "active-module", reference: "one function", policy: policyOf(lab), durability: SYNC, needs: [CAP] },
    { name: "active-wasm", reference: "one function", policy: policyOf(lab), durability: SYNC, needs: [CAP] },
  ],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = WINDOW_MS, scale, onProgress }) {
    const count = Math.max(2, Math.round(COUNT * scale))
    const folder = await lab.once("active functions", ownFolder)
    const builtins = join(folder.path, "functions.mjs")
    const echo = '(event) => ({ type: "com.example.echoed", data: event.data })'
    writeFileSync(builtins, Array.from({ length: count }, (_, n) => `export const active${n} = ${echo}\n`).join(""))
    const platform = await lab.once("active", () => startPlatform({ ...lab, builtins }))
    const functions = Array.from({ length: count }, (_, n) => `active${n}`)
    await platform.deployBuiltins(...functions)
    const sides = []
    for (const names of [functions, functions.slice(0, 1)]) {
      const options = { url: platform.url, functions: names, sizeBytes: LOAD.sizeBytes }
      const client = await lab.once(`client of ${names.length}`, () => startLoadClient("product/invoke.mjs", options))
      // Each is called at least twice: what a first call costs is another question.
      await client.closedLoop({ inFlight: LOAD.inFlight, count: 2 * count })
      sides.push({ client, samples: [] })
    }
    for (let n = 0; n < rounds; n++) {
      onProgress(`${count} active functions: round ${n + 1} of ${rounds}`)
      for (const { client, samples } of n % 2 === 0 ? sides : [...sides].reverse())
        samples.push({ ...(await client.closedLoop({ inFlight: LOAD.inFlight, durationMs: roundMs })), cpuUsPerCall: {}, rssMb: {} })
    }
    const [all, one] = sides.map(({ samples }) => samples)
    const speed = (samples) => figureOf(median(samples.map(({ perSecond }) => perSecond)), "calls/s")
    return [
      {
        ...ratioOf(all.map(({ perSecond }, n) => perSecond / one[n].perSecond)),
        ...summaryOf(all),
        figure: speed(all),
        referenceFigure: speed(one),
        ...LOAD,
        rounds,
        note: `${count} functions`,
      },
    ]
  },
}

async function ownFolder() {
  const { path, remove } = await createScratchFolder("fn-bench-")
  return { path, stop: remove }
}
