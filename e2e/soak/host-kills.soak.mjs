/** A host is killed and started again, twenty times, under load: what fails is only what it held, and everybody hears of it in time. */
import { newId } from "@fn/core"
import { isAlive, processTree, until } from "@fn/testing"
import { headers } from "@nats-io/transport-node"
import { closedLoop } from "../support/load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { readTrace, TRACED } from "../support/side-effects.mjs"
import { quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "hosts killed under load"

const CLIENT_CALLS = 24
const BARE_CALLS = 8

/**
 * One call, as its caller saw it.
 * @typedef {{ id: string, sentAt: number, endedAt: number, failure: string | undefined }} Made
 */

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const kills = scaled(20, scale)
  const platform = await startPlatform({ hosts: 2 })
  try {
    const file = platform.folder.file("trace")
    await platform.deployModule("traced", TRACED, { config: { file } })
    /** @type {Made[]} */
    const byClient = []
    /** @type {Made[]} */
    const byNats = []
    let stopped = false
    const load = Promise.all([
      closedLoop({ inFlight: CLIENT_CALLS, stopped: () => stopped }, async () => void byClient.push(await invoke(platform))),
      closedLoop({ inFlight: BARE_CALLS, stopped: () => stopped }, async () => void byNats.push(await request(platform))),
    ])
    /** @type {number[]} */
    const killedAt = []
    let childrenLeft = 0
    for (let n = 0; n < kills; n++) {
      const soFar = byClient.length
      await until(() => byClient.length > soFar + 500, { name: "load on both hosts", timeoutMs: 60_000 })
      const victim = platform.hosts[n % 2]
      if (!victim) throw new Error("there are not two hosts")
      const children = processTree(victim.pid).map(({ pid }) => pid)
      killedAt.push(performance.now())
      await victim.crash()
      const gone = await until(() => !children.some(isAlive), { name: "its children to be gone", timeoutMs: 2_000 }).catch(() => false)
      if (!gone) childrenLeft += children.filter(isAlive).length
      platform.hosts.splice(n % 2, 1)
      const again = await platform.startHost([], victim.host)
      platform.hosts.splice(platform.hosts.indexOf(again), 1)
      platform.hosts.splice(n % 2, 0, again)
      log(`kill ${n + 1}: ${byClient.length + byNats.length} calls so far`)
    }
    stopped = true
    await load

    const { starts } = readTrace(file)
    const lost = byClient.filter(({ failure }) => failure !== undefined)
    const timedOut = byNats.filter(({ failure }) => failure !== undefined)
    const failed = [...lost, ...timedOut]
    /** @param {Made} call */
    const killBefore = ({ sentAt, endedAt }) => killedAt.filter((at) => at < endedAt && sentAt < at + 100).at(-1)
    const noticedMs = lost.map((call) => call.endedAt - (killBefore(call) ?? call.sentAt))
    tally.figure("kills", kills)
    tally.check("calls", byClient.length + byNats.length, (made) => made > kills * 500)
    tally.check("client calls that failed", lost.length, (count) => count > 0 && count <= kills * CLIENT_CALLS)
    tally.check("of them with another reason than HOST_LOST", lost.filter(({ failure }) => failure !== "HOST_LOST").length)
    tally.check("longest time until HOST_LOST, ms", quantile(noticedMs, 1), (ms) => ms < 3_000)
    tally.check("bare calls that failed", timedOut.length, (count) => count <= kills * BARE_CALLS)
    tally.check("of them otherwise than by their time-out", timedOut.filter(({ failure }) => failure !== "TimeoutError").length)
    tally.check("failed calls sent later than 100 ms after a kill", failed.filter((call) => killBefore(call) === undefined).length)
    tally.check("invocations that ran twice", [...starts.values()].filter((hosts) => hosts.length > 1).length)
    const answered = [...byClient, ...byNats].filter(({ failure }) => failure === undefined)
    tally.check("answered calls that never ran", answered.filter(({ id }) => !starts.has(id)).length)
    tally.check("children that outlived their host", childrenLeft)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/** A call through our client. @param {import("../support/platform.mjs").Platform} platform @returns {Promise<Made>} */
async function invoke({ client }) {
  const attributes = { specversion: "1.0", id: newId(), source: "/soak", type: "asked", datacontenttype: "application/json" }
  const sentAt = performance.now()
  const call = client.startCall("traced", { attributes, data: Buffer.from(`{"ms":10}`) }, { timeoutMs: 20_000 })
  const failure = await call.events.then(
    () => undefined,
    (error) => String(error.reason),
  )
  return { id: call.invocationId, sentAt, endedAt: performance.now(), failure }
}

/** A call of somebody who knows nothing but NATS. @param {import("../support/platform.mjs").Platform} platform @returns {Promise<Made>} */
async function request({ nc }) {
  const id = newId()
  const fields = headers()
  fields.set("Fn-Invocation-Id", id)
  const sentAt = performance.now()
  const failure = await nc.request("function.js.traced", `{"ms":10}`, { timeout: 4_000, headers: fields }).then(
    (reply) => reply.headers?.get("Fn-Error-Reason") || undefined,
    (error) => String(error.name),
  )
  return { id, sentAt, endedAt: performance.now(), failure }
}
