/** Two hosts on one NATS: nothing runs twice, nothing is lost, and what a killed host takes with it is only what it held. */
import { type FnError, newId } from "@fn/core"
import { isAlive, processTree, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { headers, type Msg, TimeoutError } from "@nats-io/transport-node"
import { closedLoop } from "../support/load.mjs"
import { type Platform, startPlatform } from "../support/platform.mjs"
import { readTrace, TRACED } from "../support/side-effects.mjs"

/** One call, as its caller saw it. */
interface Made {
  readonly id: string
  /** performance.now() */
  readonly sentAt: number
  readonly endedAt: number
  readonly error?: unknown
}

describe("two runtime-services on one NATS", () => {
  let platform: Platform

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 2 })
  }, 60_000)
  afterAll(() => platform.dispose())

  /** A call through our client. */
  async function invoke(name: string, ms: number): Promise<Made> {
    const sentAt = performance.now()
    const call = platform.client.startCall(name, bare({ ms }), { timeoutMs: 20_000 })
    const error = await call.events.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    return { id: call.invocationId, sentAt, endedAt: performance.now(), error }
  }

  /** A call of somebody who knows nothing but NATS. */
  async function request(name: string, ms: number, timeout: number): Promise<Made> {
    const id = newId()
    const fields = headers()
    fields.set("Fn-Invocation-Id", id)
    const sentAt = performance.now()
    const answer = await platform.nc
      .request(`function.js.${name}`, JSON.stringify({ ms }), { timeout, headers: fields })
      .catch((thrown: unknown) => thrown)
    return { id, sentAt, endedAt: performance.now(), error: isReply(answer) ? undefined : answer }
  }

  test("no sync invocation runs twice and none is lost while both live", async () => {
    const file = platform.folder.file("both-live")
    await platform.deployModule("both-live", TRACED, { config: { file } })
    const made: Made[] = []
    await closedLoop({ inFlight: 32, count: 2_000 }, async (n) => {
      made.push(n % 4 === 0 ? await request("both-live", 0, 20_000) : await invoke("both-live", 0))
    })

    expect(made.filter(({ error }) => error !== undefined)).toEqual([])
    const { starts } = readTrace(file)
    expect(starts.size).toBe(2_000)
    expect(made.filter(({ id }) => starts.get(id)?.length !== 1)).toEqual([])
    // Otherwise this would have been a test of one host.
    const perHost = platform.hosts.map(({ pid }) => [...starts.values()].filter(([host]) => host === pid).length)
    expect(Math.min(...perHost)).toBeGreaterThan(200)
  }, 60_000)

  test("SIGKILL of one under load: HOST_LOST within 3 s, others' calls time out, later calls do not notice, no child is left", async () => {
    const file = platform.folder.file("one-dies")
    await platform.deployModule("one-dies", TRACED, { config: { file } })
    const [victim, survivor] = platform.hosts as [(typeof platform.hosts)[number], (typeof platform.hosts)[number]]
    const made: { client: Made[]; bare: Made[] } = { client: [], bare: [] }
    let stopped = false
    const load = Promise.all([
      closedLoop({ inFlight: 24, stopped: () => stopped }, async () => void made.client.push(await invoke("one-dies", 30))),
      closedLoop({ inFlight: 8, stopped: () => stopped }, async () => void made.bare.push(await request("one-dies", 30, 4_000))),
    ])
    await until(() => made.client.length > 200 && made.bare.length > 60, { name: "the load to flow", timeoutMs: 20_000 })

    const children = processTree(victim.pid).map(({ pid }) => pid)
    expect(children.length).toBeGreaterThan(0)
    const killedAt = performance.now()
    process.kill(victim.pid, "SIGKILL")
    await until(() => children.every((pid) => !isAlive(pid)), { name: "the children of the killed host to be gone", timeoutMs: 2_000 })
    const afterwards = (): Made[] => [...made.client, ...made.bare].filter(({ sentAt }) => sentAt > killedAt + 100)
    await until(() => afterwards().length > 200, { name: "load on the other host", timeoutMs: 10_000 })
    stopped = true
    await load

    const lost = made.client.filter(({ error }) => error !== undefined)
    expect(lost.length).toBeGreaterThan(0)
    expect(lost.length).toBeLessThanOrEqual(24)
    expect(new Set(lost.map(({ error }) => (error as FnError).reason))).toEqual(new Set(["HOST_LOST"]))
    expect(lost.every(({ error }) => (error as FnError).code === "unavailable")).toBe(true)
    expect(Math.max(...lost.map(({ endedAt }) => endedAt - killedAt))).toBeLessThan(3_000)

    const timedOut = made.bare.filter(({ error }) => error !== undefined)
    expect(timedOut.length).toBeGreaterThan(0)
    expect(timedOut.length).toBeLessThanOrEqual(8)
    expect(timedOut.filter(({ error }) => !(error instanceof TimeoutError))).toEqual([])

    const failed = [...lost, ...timedOut]
    expect(Math.max(...failed.map(({ sentAt }) => sentAt - killedAt))).toBeLessThan(100)
    const { starts } = readTrace(file)
    // What failed was in flight on the dead host: the other one never had it. And nothing ran twice.
    expect(failed.filter(({ id }) => starts.get(id)?.includes(survivor.pid))).toEqual([])
    expect([...starts].filter(([, hosts]) => hosts.length !== 1)).toEqual([])
    expect([...made.client, ...made.bare].filter(({ id, error }) => error === undefined && !starts.has(id))).toEqual([])
    expect(afterwards().filter(({ error }) => error !== undefined)).toEqual([])
  }, 60_000)
})

function bare(data: unknown): Parameters<Platform["client"]["startCall"]>[1] {
  const attributes = { specversion: "1.0", id: newId(), source: "/e2e", type: "asked", datacontenttype: "application/json" }
  return { attributes, data: Buffer.from(JSON.stringify(data)) }
}

function isReply(answer: unknown): answer is Msg {
  return typeof answer === "object" && answer !== null && "headers" in answer && !(answer as Msg).headers?.has("Nats-Service-Error-Code")
}
