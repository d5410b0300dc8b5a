/** Two hosts on one NATS: nothing runs twice, nothing is lost, and what a killed host takes with it is only what it held. */
import { type FnError, newId } from "@fn/core"
import { isAlive, processTree, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { headers, type Msg, TimeoutError } from "@nats-io/transport-node"
import { holdings, remains } from "../support/leftovers.mjs"
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
    platform = await startPlatform({ hosts: 2, gateway: true })
  }, 60_000)
  afterAll(() => platform.dispose())

  /** A call through our client. */
  async function invoke(name: string, ms: number): Promise<Made> {
    const sentAt = performance.now()
    const call = platform.client.startCall(name, bare({ ms, by: "client" }), { timeoutMs: 20_000 })
    const error = await call.events.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    return { id: call.invocationId, sentAt, endedAt: performance.now(), error }
  }

  /** A call through the gateway. */
  async function post(name: string, ms: number): Promise<Made> {
    const sentAt = performance.now()
    const response = await fetch(`${platform.http}/function/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ms, by: "http" }),
    })
    const body: unknown = await response.json()
    const id = response.headers.get("Fn-Invocation-Id") ?? ""
    return { id, sentAt, endedAt: performance.now(), error: response.ok ? undefined : body }
  }

  /** A call of somebody who knows nothing but NATS. */
  async function request(name: string, ms: number, timeout: number): Promise<Made> {
    const id = newId()
    const fields = headers()
    fields.set("Fn-Invocation-Id", id)
    const sentAt = performance.now()
    const answer = await platform.nc
      .request(`function.js.${name}`, JSON.stringify({ ms, by: "nats" }), { timeout, headers: fields })
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
    const made = { client: [] as Made[], http: [] as Made[], bare: [] as Made[] }
    const all = (): Made[] => [...made.client, ...made.http, ...made.bare]
    let stopped = false
    const loop = (inFlight: number, into: Made[], call: () => Promise<Made>): Promise<number> =>
      closedLoop({ inFlight, stopped: () => stopped }, async () => void into.push(await call()))
    const load = Promise.all([
      loop(16, made.client, () => invoke("one-dies", 100)),
      // These last long enough for their caller to know who has them.
      loop(16, made.client, () => invoke("one-dies", 600)),
      loop(16, made.http, () => post("one-dies", 100)),
      loop(16, made.bare, () => request("one-dies", 100, 4_000)),
    ])
    // Some calls of each kind are in its hands, after a while of load.
    const holds = (by: string): number =>
      [...readTrace(file).open.values()].filter((call) => call.host === victim.pid && call.by === by).length
    const isLoaded = (): boolean => all().length > 400 && ["client", "http", "nats"].every((by) => holds(by) >= 4)
    await until(isLoaded, { name: "the load to flow", timeoutMs: 20_000 })

    const children = processTree(victim.pid).map(({ pid }) => pid)
    expect(children.length).toBeGreaterThan(0)
    const killedAt = performance.now()
    process.kill(victim.pid, "SIGKILL")
    await until(() => children.every((pid) => !isAlive(pid)), { name: "the children of the killed host to be gone", timeoutMs: 2_000 })
    const afterwards = (): Made[] => all().filter(({ sentAt }) => sentAt > killedAt + 100)
    await until(() => afterwards().length > 200, { name: "load on the other host", timeoutMs: 10_000 })
    stopped = true
    await load

    const isFailed = ({ error }: Made): boolean => error !== undefined
    const lost = [...made.client, ...made.http].filter(isFailed)
    expectWithin(made.client.filter(isFailed).length, 1, 32)
    expectWithin(made.http.filter(isFailed).length, 1, 16)
    expect(lost.map(({ error }) => codeAndReason(error)).filter((text) => text !== "unavailable HOST_LOST")).toEqual([])
    expect(Math.max(...lost.map(({ endedAt }) => endedAt - killedAt))).toBeLessThan(3_000)

    const timedOut = made.bare.filter(isFailed)
    expectWithin(timedOut.length, 1, 16)
    expect(timedOut.filter(({ error }) => !(error instanceof TimeoutError))).toEqual([])

    const failed = [...lost, ...timedOut]
    expect(Math.max(...failed.map(({ sentAt }) => sentAt - killedAt))).toBeLessThan(100)
    const { starts } = readTrace(file)
    // What failed was in flight on the dead host: the other one never had it. And nothing ran twice.
    expect(failed.filter(({ id }) => starts.get(id)?.includes(survivor.pid))).toEqual([])
    expect([...starts].filter(([, hosts]) => hosts.length !== 1)).toEqual([])
    expect(all().filter((call) => !isFailed(call) && !starts.has(call.id))).toEqual([])
    expect(afterwards().filter(isFailed)).toEqual([])
  }, 60_000)

  test("SIGTERM of one under load: no call fails, and nothing is left of it", async () => {
    const file = platform.folder.file("one-drains")
    await platform.startHost()
    const leaving = platform.hosts.find(({ child }) => child.exit === undefined) as (typeof platform.hosts)[number]
    await platform.deployModule("one-drains", TRACED, { config: { file } })
    const made: Made[] = []
    let stopped = false
    const ways = [invoke, post, (name: string, ms: number) => request(name, ms, 10_000)] as const
    const load = closedLoop({ inFlight: 32, stopped: () => stopped }, async (n) => {
      const call = ways[(n % 3) as 0 | 1 | 2]
      made.push(await call("one-drains", n % 10 === 0 ? 300 : 20))
    })
    await until(() => made.length > 200, { name: "the load to flow", timeoutMs: 20_000 })
    const held = holdings(leaving.pid)
    expect(held.pids.length).toBeGreaterThan(1)
    expect((await leaving.stop()).code).toBe(0)
    const soFar = made.length
    expect(remains(held)).toEqual([])
    await until(() => made.length > soFar + 200, { name: "load on the other host", timeoutMs: 10_000 })
    stopped = true
    await load

    expect(made.filter(({ error }) => error !== undefined)).toEqual([])
    const { starts } = readTrace(file)
    expect(starts.size).toBe(made.length)
    expect([...starts].filter(([, hosts]) => hosts.length !== 1)).toEqual([])
    expect(new Set([...starts.values()].flat()).size).toBe(2)
  }, 60_000)
})

function bare(data: unknown): Parameters<Platform["client"]["startCall"]>[1] {
  const attributes = { specversion: "1.0", id: newId(), source: "/e2e", type: "asked", datacontenttype: "application/json" }
  return { attributes, data: Buffer.from(JSON.stringify(data)) }
}

function expectWithin(count: number, least: number, most: number): void {
  expect(count).toBeGreaterThanOrEqual(least)
  expect(count).toBeLessThanOrEqual(most)
}

function codeAndReason(error: unknown): string {
  const { code, reason } = error as FnError
  return `${code} ${reason}`
}

function isReply(answer: unknown): answer is Msg {
  return typeof answer === "object" && answer !== null && "headers" in answer && !(answer as Msg).headers?.has("Nats-Service-Error-Code")
}
