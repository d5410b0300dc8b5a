/** Ten thousand functions, twenty of them with work: the server keeps consumers for those alone, and the idle rest costs nothing. */
import { readFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"
import { until } from "@fn/testing"
import { closedLoop } from "../support/load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, scaled, Tally } from "../support/tally.mjs"

export const name = "ten thousand functions, twenty with work"

const FEW = 100
const WITH_WORK = 20
const ROUNDS = 5
const IDLE_MS = 10_000
const SOURCE = `export default (event, { invocationId }) => ({ type: "done", data: { invocationId } })\n`

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const count = scaled(10_000, scale, 1_000)
  const platform = await startPlatform({ hosts: 0 })
  const { client, nc, server } = platform
  try {
    await deploy(platform, 0, FEW)
    const host = await platform.startHost()
    const few = await idleCost(server.pid, host.pid)
    await host.dispose()
    const startedAt = performance.now()
    await deploy(platform, FEW, count)
    tally.figure("deploys a second", Math.round((count - FEW) / ((performance.now() - startedAt) / 1000)))
    const again = await platform.startHost()
    const many = await idleCost(server.pid, again.pid)

    let failed = 0
    await closedLoop({ inFlight: WITH_WORK, count: WITH_WORK * ROUNDS }, async (n) => {
      const id = await client.invokeAsync(`fn-${n % WITH_WORK}`, { type: "asked" })
      const [event] = await client.result(id, { timeoutMs: 60_000 })
      if (/** @type {{ invocationId?: string } | undefined} */ (event?.data)?.invocationId !== id) failed++
    })
    const consumers = (await streamState(nc, "FUNCTION_QUEUE")).consumer_count
    tally.check("functions", count, (made) => made >= 1_000)
    tally.check("wrong results", failed)
    tally.check("consumers of the queue", consumers, (made) => made > 0 && made <= WITH_WORK + 2)
    const waiting = await until(async () => (await pullsWaiting(nc)) === 0, { name: "no pull to wait", timeoutMs: 30_000 }).then(
      () => 0,
      () => pullsWaiting(nc),
    )
    tally.check("pulls that wait while nothing is to do", waiting)
    tally.figure(`idle CPU with ${FEW} functions, ms a second: server`, few.server)
    tally.figure(`idle CPU with ${FEW} functions, ms a second: host`, few.host)
    tally.figure(`idle CPU with ${count} functions, ms a second: server`, many.server)
    tally.figure(`idle CPU with ${count} functions, ms a second: host`, many.host)
    // Half a per cent of a core is what cannot be told from noise here.
    tally.check(
      "more idle CPU with many than with few, ms a second",
      Math.max(0, many.server + many.host - few.server - few.host),
      (ms) => ms <= 10,
    )
    tally.figure(`host with ${FEW} functions, MB`, megabytes(few.rssBytes))
    tally.figure(`host with ${count} functions, MB`, megabytes(many.rssBytes))
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/** @param {import("../support/platform.mjs").Platform} platform @param {number} from @param {number} to */
async function deploy(platform, from, to) {
  await closedLoop(
    { inFlight: 32, count: to - from },
    async (n) => void (await platform.deployModule(`fn-${from + n}`, SOURCE, { instances: { max: 1 } })),
  )
}

/**
 * What the server and a host use while nothing is to do: CPU in ms a second, and the host's memory.
 * @param {number} server
 * @param {number} host
 */
async function idleCost(server, host) {
  // What start-up left to do (compiling, collecting) is over by then.
  await delay(IDLE_MS / 2)
  const before = [cpuMs(server), cpuMs(host)]
  await delay(IDLE_MS)
  const [ofServer, ofHost] = [cpuMs(server), cpuMs(host)].map((ms, at) => Math.round((ms - (before[at] ?? 0)) / (IDLE_MS / 1000)))
  return { server: ofServer ?? 0, host: ofHost ?? 0, rssBytes: rssOf(host) }
}

/** User and system time of a process, ms. @param {number} pid */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** @param {number} pid */
function rssOf(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024
}

/** @param {import("@fn/nats").NatsConnection} nc @param {string} stream @returns {Promise<{ messages: number, consumer_count: number }>} */
async function streamState(nc, stream) {
  return (await nc.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: 10_000 })).json().state
}

/** Pulls that the queue's consumers keep for later. @param {import("@fn/nats").NatsConnection} nc @returns {Promise<number>} */
async function pullsWaiting(nc) {
  const { consumers } = (await nc.request("$JS.API.CONSUMER.LIST.FUNCTION_QUEUE", "{}", { timeout: 10_000 })).json()
  return (consumers ?? []).reduce(
    (/** @type {number} */ sum, /** @type {{ num_waiting: number }} */ { num_waiting }) => sum + num_waiting,
    0,
  )
}
