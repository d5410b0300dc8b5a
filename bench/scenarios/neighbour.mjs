import { quiet } from "../measure/first-reply.mjs"
import { startLoadClient } from "../measure/load-client.mjs"
import { ratioOf, round } from "../measure/rounds.mjs"
import { atMost, figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { policyOf, SYNC } from "./policies.mjs"

const ROUNDS = 5
/** So few that the client sleeps between calls: looking at the clock would take a processor from those that start. */
const PER_SECOND = 200
const ALONE_MS = 2_000
const INSTANCES = 20
const SIZE_BYTES = 256

/** A steady function while another one starts twenty instances at once, against the same function alone. Open loop: no stall goes unseen. */
export const neighbour = {
  rows: (lab) => [{ name: "neighbour", goal: atMost(2), reference: "alone", policy: policyOf(lab), durability: SYNC }],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = ALONE_MS, onProgress }) {
    const platform = await lab.once("neighbours", () => startPlatform(lab))
    await platform.deployBuiltins("echo-builtin")
    const hold = await platform.deployFolder("hold")
    const options = { url: platform.url, functions: ["echo-builtin"], sizeBytes: SIZE_BYTES }
    const client = await lab.once("steady client", () => startLoadClient("product/invoke.mjs", options))
    await client.closedLoop({ inFlight: 16, durationMs: roundMs })
    const [alone, disturbed] = [[], []]
    for (let n = 0; n < rounds; n++) {
      onProgress(`neighbour: round ${n + 1} of ${rounds}`)
      alone.push(await client.openLoop({ perSecond: PER_SECOND, durationMs: roundMs }))
      disturbed.push(await whileStarting(platform, client, hold, `hold-${n}`))
    }
    const p95 = (runs) => median(runs.map(({ p95us }) => p95us))
    return [
      {
        ...ratioOf(disturbed.map(({ p95us }, n) => p95us / alone[n].p95us)),
        figure: figureOf(p95(disturbed), "µs p95"),
        referenceFigure: figureOf(p95(alone), "µs p95"),
        throughput: PER_SECOND,
        p50us: round(median(disturbed.map(({ p50us }) => p50us)), 0),
        p99us: round(median(disturbed.map(({ p99us }) => p99us)), 0),
        sizeBytes: SIZE_BYTES,
        rounds,
      },
    ]
  },
}

/** The steady load from the first of the calls that need an instance each to the last one's first event. */
async function whileStarting(platform, client, copy, name) {
  await platform.registry.deploy({ ...copy.manifest, name, concurrency: 1, instances: { max: INSTANCES } }, copy.options)
  const steady = client.openLoop({ perSecond: PER_SECOND })
  const streams = Array.from({ length: INSTANCES }, (_, n) => platform.client.stream(name, { n }, { type: "com.example.asked" }))
  const readers = streams.map((stream) => stream[Symbol.asyncIterator]())
  try {
    const first = await Promise.all(readers.map((reader) => reader.next()))
    first.forEach(({ value }, n) => {
      if (value?.data?.n !== n) throw new Error(`${name} answered something else: ${JSON.stringify(value)}`)
    })
  } finally {
    await client.stopOpenLoop()
    await Promise.all(readers.map((reader) => reader.return()))
  }
  const run = await steady
  await platform.registry.deleteFunction({ namespace: "default", name })
  await quiet(platform.runtimes[0].pid)
  return run
}
