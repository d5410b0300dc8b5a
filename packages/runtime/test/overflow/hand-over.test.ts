import type { LoadReport } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { headers, type Msg } from "@nats-io/transport-node"
import { failure, header } from "../test-host.js"
import { callOn, Gate, type RawCall, startTestHosts, type TestHosts } from "./hosts.js"

/** Everything hosts report of their load, from now on. */
async function listen(hosts: TestHosts): Promise<LoadReport[]> {
  const reports: LoadReport[] = []
  hosts.nc.subscribe("function.status.*.load", { callback: (_error, msg) => void reports.push(msg.json<LoadReport>()) })
  await hosts.nc.flush()
  return reports
}

/** Says in the name of a host that it has free slots for `default/gate`. */
function claim(hosts: TestHosts, host: string, freeSlots: number): void {
  const functions = [{ function: "default/gate", slots: 4, freeSlots, waiting: 0, queued: 0 }]
  hosts.nc.publish(`function.status.${host}.load`, JSON.stringify({ host, phase: "ready", functions }))
}

function outcome(msg: Msg): string {
  return header(msg, "Fn-Error-Code") ? failure(msg) : String(header(msg, "ce-type"))
}

async function outcomes(calls: readonly RawCall[]): Promise<string[]> {
  return (await Promise.all(calls.map(({ reply }) => reply))).map(outcome)
}

const STARTED = { "Fn-Accept": "started" }

describe("R-IV-6: calls that find no free slot", () => {
  test("those that wait on a busy host move to another as soon as that has free slots, and run once", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 2 })
    const calls = Array.from({ length: 6 }, () => callOn(hosts.nc, "function.js.gate", STARTED))
    await until(() => a.runtime.status().functions[0]?.waiting === 4, { name: "four calls to wait" })
    await until(() => calls.every(({ messages }) => messages.length === 1), { name: "all to have heard of a" })

    const b = await hosts.start("b", { gate: gate.on("b") })
    await until(() => gate.count("b") === 2, { name: "b to run two of them" })
    // Its caller is told at once: from now on only b knows of the call.
    await until(() => calls.filter(({ messages }) => messages[1]?.headers?.get("Fn-Started") === "b").length === 2, {
      name: "two to have heard of b",
    })
    expect(a.runtime.status().functions[0]).toMatchObject({ running: 2, waiting: 2 })
    expect(b.runtime.status().functions[0]).toMatchObject({ running: 2, waiting: 0 })
    gate.open()
    expect(await outcomes(calls)).toEqual(Array(6).fill("done"))
    expect(new Set(gate.ids).size).toBe(6)
    expect(gate.ids).toHaveLength(6)
  }, 30_000)

  test("one that comes to a busy host goes on to another that has a free slot, its event whole and its answer as asked for", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const handedOver: Msg[] = []
    await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => gate.count("a") === 1, { name: "a to be busy" })
    const event = { specversion: "1.0", id: "1", source: "/s", type: "t", number: 7, flag: true, text: "é x", data: { a: [1] } }
    hosts.nc.subscribe("function.host.b.invoke", {
      callback: (_error, msg) => {
        handedOver.push(msg)
        msg.respond("")
        hosts.nc.publish(header(msg, "Fn-Reply-To") as string, "the answer of b")
      },
    })
    claim(hosts, "b", 1)
    const lines = { "content-type": "application/cloudevents+json", ...STARTED }
    const second = callOn(hosts.nc, "function.js.gate", lines, JSON.stringify(event))
    expect((await second.reply).string()).toBe("the answer of b")
    const [message] = handedOver as [Msg]
    expect(message.json()).toEqual(event)
    expect([header(message, "content-type"), header(message, "Fn-Accept")]).toEqual(["application/cloudevents+json", "started, structured"])
    gate.open()
    expect(outcome(await first.reply)).toBe("done")
  }, 30_000)

  test("a host that is gone costs a round trip and not the call", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => gate.count("a") === 1, { name: "a to be busy" })
    claim(hosts, "ghost", 4)
    const second = callOn(hosts.nc, "function.js.gate", STARTED)
    await until(() => second.messages.some((msg) => msg.headers?.get("Fn-Started") === "a"), { name: "the call to wait on a" })
    gate.open()
    expect(await outcomes([first, second])).toEqual(["done", "done"])
    expect(second.messages.map(({ headers }) => headers?.code ?? 0)).not.toContain(503)
  }, 30_000)

  test("a host that refuses is asked once, and the call waits where it came in", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    const asked: Msg[] = []
    hosts.nc.subscribe("function.host.full.invoke", {
      callback: (_error, msg) => {
        asked.push(msg)
        msg.respond(JSON.stringify({ code: "resource_exhausted", reason: "QUEUE_FULL", message: "full" }), {
          headers: errorHeaders("resource_exhausted", "QUEUE_FULL"),
        })
      },
    })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => gate.count("a") === 1, { name: "a to be busy" })
    claim(hosts, "full", 4)
    const second = callOn(hosts.nc, "function.js.gate", { "Fn-Invocation-Id": "second", "Fn-Timeout-Ms": "20000" }, '{"n":1}')
    await until(() => a.runtime.status().functions[0]?.waiting === 1, { name: "the call to wait on a" })
    claim(hosts, "full", 4)
    await hosts.nc.flush()
    const third = callOn(hosts.nc, "function.js.gate", { "Fn-Invocation-Id": "third" })
    await until(() => a.runtime.status().functions[0]?.waiting === 2, { name: "both to wait on a" })
    expect(asked.map((msg) => header(msg, "Fn-Invocation-Id"))).toEqual(["second", "third"])
    const [message] = asked as [Msg]
    expect(header(message, "Fn-Function")).toBe("default/gate")
    expect(header(message, "Fn-Reply-To")).toMatch(/^_INBOX\.test\./)
    expect(Number(header(message, "Fn-Timeout-Ms"))).toBeLessThanOrEqual(20_000)
    expect([message.string(), header(message, "ce-type")]).toEqual(['{"n":1}', "fn.request"])
    gate.open()
    expect(await outcomes([first, second, third])).toEqual(["done", "done", "done"])
  }, 30_000)

  test("a host that takes the message and dies: its caller hears HOST_LOST, and nobody runs the call again", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    hosts.nc.subscribe("function.host.dying.invoke", { callback: () => undefined })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => gate.count("a") === 1, { name: "a to be busy" })
    claim(hosts, "dying", 1)
    const second = callOn(hosts.nc, "function.js.gate")
    expect(outcome(await second.reply)).toBe("unavailable HOST_LOST")
    gate.open()
    expect(outcome(await first.reply)).toBe("done")
    expect(gate.ids).toHaveLength(1)
  }, 30_000)

  test("until another host has taken it, a call can be cancelled where it came in, and the other host hears of it", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    const handedOver: Msg[] = []
    const cancels: string[] = []
    hosts.nc.subscribe("function.host.slow.invoke", { callback: (_error, msg) => void handedOver.push(msg) })
    hosts.nc.subscribe("function.cancel.>", { callback: (_error, msg) => void cancels.push(msg.subject) })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => gate.count("a") === 1, { name: "a to be busy" })
    claim(hosts, "slow", 1)
    const second = callOn(hosts.nc, "function.js.gate", { "Fn-Invocation-Id": "moving" })
    await until(() => handedOver[0], { name: "the call to be handed over" })
    const question = JSON.stringify({ function: "default/gate", invocationId: "moving" })
    expect((await hosts.nc.request("function.status.a", question)).json()).toMatchObject({ runningInvocation: true })
    hosts.nc.publish("function.cancel.default.moving")
    expect(outcome(await second.reply)).toBe("cancelled CANCELLED")
    handedOver[0]?.respond("")
    await until(() => cancels.length === 2, { name: "a to pass the cancel on" })
    expect((await hosts.nc.request("function.status.a", question)).json()).toMatchObject({ runningInvocation: false })
    gate.open()
    await first.reply
    expect(a.runtime.status().running).toBe(0)
  }, 30_000)

  test("a host takes no call that is handed over with a reply subject that is no inbox", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    gate.open()
    await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate")
    const slip = { "Fn-Function": "default/gate", "Fn-Invocation-Id": "x" }
    const refused = await callOn(hosts.nc, "function.host.a.invoke", { ...slip, "Fn-Reply-To": "$KV.functions.f.default.gate" }).reply
    expect(outcome(refused)).toBe("permission_denied BAD_REPLY_SUBJECT")
    expect(outcome(await callOn(hosts.nc, "function.host.a.invoke", { "Fn-Function": "default/gate" }).reply)).toBe(
      "invalid_argument INVALID_REQUEST",
    )
    expect(outcome(await callOn(hosts.nc, "function.host.a.invoke", { ...slip, "Fn-Function": "default/other" }).reply)).toBe(
      "not_found FUNCTION_NOT_FOUND",
    )
    expect(outcome(await callOn(hosts.nc, "function.host.a.invoke", { ...slip, "Fn-Revision": "999999" }).reply)).toBe(
      "aborted STALE_REVISION",
    )
    expect(gate.ids).toEqual([])
  }, 30_000)
})

describe("load reports", () => {
  test("a platform where nobody waits sends none; where calls wait each host that serves the function reports, at most every 250 ms", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const builtins = (host: string) => ({ gate: gate.on(host), quick: () => undefined })
    for (const name of ["a", "b"]) await hosts.start(name, builtins(name), { limits: { waitFactor: 100 } })
    await hosts.deploy("gate", { concurrency: 1 })
    await hosts.deploy("quick", { concurrency: 4 })
    const reports = await listen(hosts)
    for (let i = 0; i < 100; i++) await callOn(hosts.nc, "function.js.quick").reply
    await hosts.nc.flush()
    expect(reports).toEqual([])

    const began = performance.now()
    const calls = Array.from({ length: 24 }, () => callOn(hosts.nc, "function.js.gate"))
    const of = (host: string) => reports.filter((report) => report.host === host)
    const isSaturated = ({ functions: [load] }: LoadReport) => load?.freeSlots === 0 && load.waiting > 0
    await until(() => of("a").some(isSaturated) && of("b").some(isSaturated), { name: "both to say that calls wait" })
    expect(reports.flatMap(({ functions }) => functions.map((load) => load.function))).not.toContain("default/quick")
    gate.open()
    await outcomes(calls)
    // What it no longer says of itself it says because the other asked.
    await until(() => of("a").at(-1)?.functions[0]?.freeSlots === 1, { name: "a to say that it has a free slot" })
    const spent = performance.now() - began
    expect(of("a").length).toBeLessThanOrEqual(spent / 250 + 2)
  }, 30_000)

  test("a host that drains says so, and is counted on no more", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { gate: gate.on("a") })
    await hosts.deploy("gate", { concurrency: 1 })
    const reports = await listen(hosts)
    const calls = [callOn(hosts.nc, "function.js.gate"), callOn(hosts.nc, "function.js.gate")]
    await until(() => reports.length > 0, { name: "a to say that calls wait" })
    const drained = a.runtime.drain()
    await until(() => reports.some(({ phase }) => phase === "draining"), { name: "the report of the drain" })
    gate.open()
    await drained
    expect(await outcomes(calls)).toEqual(["done", "done"])
  }, 30_000)
})

function errorHeaders(code: string, reason: string) {
  const block = headers()
  block.set("Fn-Error-Code", code)
  block.set("Fn-Error-Reason", reason)
  return block
}
