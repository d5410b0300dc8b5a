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

/**
 * A steady function while another one starts twenty instances at once, against the same function alone. Open loop: no stall goes unseen. A raw echo
 * runs beside it all the time, for twenty starts of Node on a machine of two processors are felt by everybody.
 */
export const neighbour = {
  rows: (lab) => [{ name: "neighbour", goal: atMost(2), reference: "alone", policy: policyOf(lab), durability: SYNC }],
  async run(lab, _rows, { rounds = ROUNDS, roundMs = ALONE_MS, onProgress }) {
    const platform = await lab.once("neighbours", () => startPlatform(lab))
    await platform.deployBuiltins("echo-builtin")
    const hold = await platform.deployFolder("hold")
    const clients = await steadyClients(lab, platform)
    for (const client of clients) await client.closedLoop({ inFlight: 16, durationMs: roundMs })
    const [alone, disturbed] = [[], []]
    for (let n = 0; n < rounds; n++) {
      onProgress(`neighbour: round ${n + 1} of ${rounds}`)
      alone.push(await together(clients, (client) => client.openLoop({ perSecond: PER_SECOND, durationMs: roundMs })))
      disturbed.push(await whileStarting(platform, clients, hold, `hold-${n}`))
    }
    return [outcomeOf(alone, disturbed)]
  },
}

/** What each round came to alone and disturbed: of the function and of the echo. */
function outcomeOf(alone, disturbed) {
  const growth = (who) => disturbed.map((runs, n) => runs[who].p95us / alone[n][who].p95us)
  const middle = (rounds, field) => median(rounds.map(([own]) => own[field]))
  return {
    ...ratioOf(growth(0)),
    figure: figureOf(middle(disturbed, "p95us"), "µs p95"),
    referenceFigure: figureOf(middle(alone, "p95us"), "µs p95"),
    throughput: PER_SECOND,
    p50us: round(middle(disturbed, "p50us"), 0),
    p99us: round(middle(disturbed, "p99us"), 0),
    sizeBytes: SIZE_BYTES,
    rounds: alone.length,
    note: `the p95 of a raw echo beside it grew ${round(median(growth(1)), 1)} times`,
  }
}

/** Of the function, and of the echo. */
async function steadyClients(lab, { url }) {
  await lab.program("references/nats-responder.mjs", { url })
  const options = { url, functions: ["echo-builtin"], sizeBytes: SIZE_BYTES }
  return [
    await lab.once("steady client", () => startLoadClient("product/invoke.mjs", options)),
    await lab.once("steady echo", () => startLoadClient("references/raw-echo.mjs", options)),
  ]
}

function together(clients, work) {
  return Promise.all(clients.map(work))
}

/** The steady load from the first of the calls that need an instance each to the last one's first event. */
async function whileStarting(platform, clients, copy, name) {
  await platform.registry.deploy({ ...copy.manifest, name, concurrency: 1, instances: { max: INSTANCES } }, copy.options)
  const steady = together(clients, (client) => client.openLoop({ perSecond: PER_SECOND }))
  const streams = Array.from({ length: INSTANCES }, (_, n) => platform.client.stream(name, { n }, { type: "com.example.asked" }))
  const readers = streams.map((stream) => stream[Symbol.asyncIterator]())
  try {
    const first = await Promise.all(readers.map((reader) => reader.next()))
    first.forEach(({ value }, n) => {
      if (value?.data?.n !== n) throw new Error(`${name} answered something else: ${JSON.stringify(value)}`)
    })
  } finally {
    await together(clients, (client) => client.stopOpenLoop())
    await Promise.all(readers.map((reader) => reader.return()))
  }
  const runs = await steady
  await platform.registry.deleteFunction({ namespace: "default", name })
  await quiet(platform.runtimes[0].pid)
  return runs
}
