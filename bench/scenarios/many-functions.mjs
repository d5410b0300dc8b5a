import { closedLoop } from "../measure/closed-loop.mjs"
import { startLoadClient } from "../measure/load-client.mjs"
import { ratioOf, round, summaryOf } from "../measure/rounds.mjs"
import { atLeast, atMost, figureOf } from "../measure/row.mjs"
import { settledRssMb } from "../measure/settled.mjs"
import { median, rangeOf } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { IN_HOST, NOTHING, SYNC } from "./policies.mjs"

const FEW = 10
const MANY = 10_000
const ROUNDS = 7
const WINDOW_MS = 1_000
const LOAD = { inFlight: 64, sizeBytes: 256 }
/** Modules that are never called: what they cost is their registration. */
const MANIFEST = { language: "js", runtime: "module" }
const SOURCE = Buffer.from("export default () => undefined\n")

/** What ten thousand registered functions cost a host: memory each, and its throughput. */
export const manyFunctions = {
  rows: () => [
    { name: "per-function-kb", goal: atMost(4), reference: "none", policy: "none: they are registered, not run", durability: NOTHING },
    { name: "scale-10k", goal: atLeast(0.95), reference: "10 functions", policy: IN_HOST, durability: SYNC },
  ],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = WINDOW_MS, scale, onProgress }) {
    const count = Math.max(FEW * 10, Math.round(MANY * scale))
    const few = await lab.once("few functions", () => startPlatform(lab))
    const many = await lab.once("many functions", () => startPlatform(lab))
    for (const [platform, functions] of [
      [few, FEW],
      [many, count],
    ]) {
      onProgress(`registering ${functions} functions`)
      await platform.deployBuiltins("echo-builtin")
      await registerModules(platform, functions - 1)
    }
    const memory = await perFunctionKb({ few, many, count, rounds: Math.min(3, rounds), onProgress })
    const throughput = await compareThroughput(lab, { few, many, count, rounds, roundMs, onProgress })
    return [memory, throughput]
  },
}

/** Registers so many modules; none waits for the hosts, so the last one is waited for. */
export async function registerModules({ registry }, count) {
  const deploy = (n, awaitServed) => registry.deploy({ ...MANIFEST, name: `idle-${n}` }, { artifact: SOURCE, awaitServed })
  await closedLoop((n) => deploy(n, false), { inFlight: 32, count: count - 1 })
  await deploy(count - 1, true)
}

/** Of hosts that start anew: one that saw the functions come keeps for a while what it no longer needs. */
async function perFunctionKb({ few, many, count, rounds, onProgress }) {
  const sizes = []
  for (let n = 0; n < rounds; n++) {
    onProgress(`memory with ${FEW} and with ${count} functions: round ${n + 1} of ${rounds}`)
    const [small, large] = [await freshRssMb(few), await freshRssMb(many)]
    sizes.push(((large - small) * 1024) / (count - FEW))
  }
  const kilobytes = median(sizes)
  return {
    ratio: round(kilobytes, 2),
    range: rangeOf(sizes).map((size) => round(size, 2)),
    figure: figureOf(kilobytes, "KB"),
    rounds,
    note: `with ${count} functions`,
  }
}

async function freshRssMb(platform) {
  await platform.removeRuntime()
  const { pid } = await platform.addRuntime()
  return settledRssMb(pid)
}

async function compareThroughput(lab, { few, many, count, rounds, roundMs, onProgress }) {
  const sides = []
  for (const platform of [few, many]) {
    const options = { url: platform.url, functions: ["echo-builtin"], sizeBytes: LOAD.sizeBytes }
    const client = await lab.once(`client of ${platform.url}`, () => startLoadClient("product/invoke.mjs", options))
    await client.closedLoop({ inFlight: LOAD.inFlight, durationMs: roundMs })
    sides.push({ client, samples: [] })
  }
  for (let n = 0; n < rounds; n++) {
    onProgress(`throughput with ${FEW} and with ${count} functions: round ${n + 1} of ${rounds}`)
    for (const { client, samples } of n % 2 === 0 ? sides : [...sides].reverse())
      samples.push({ ...(await client.closedLoop({ inFlight: LOAD.inFlight, durationMs: roundMs })), cpuUsPerCall: {}, rssMb: {} })
  }
  const [small, large] = sides.map(({ samples }) => samples)
  const speed = (samples) => figureOf(median(samples.map(({ perSecond }) => perSecond)), "calls/s")
  return {
    ...ratioOf(large.map(({ perSecond }, n) => perSecond / small[n].perSecond)),
    ...summaryOf(large),
    figure: speed(large),
    referenceFigure: speed(small),
    ...LOAD,
    rounds,
    note: `with ${count} functions`,
  }
}
