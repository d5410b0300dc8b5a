import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { headers, type Msg } from "@nats-io/transport-node"
import { failure, header } from "../test-host.js"
import { callOn, Gate, startTestHosts, type TestHosts } from "./hosts.js"

interface Stored {
  readonly message: { readonly subject: string; readonly hdrs: string; readonly data?: string }
}

/** A message of the queue, by its sequence, as the stream holds it. */
async function stored(hosts: TestHosts, seq: number): Promise<{ subject: string; headers: Map<string, string>; payload: string }> {
  const { message } = (await hosts.nc.request("$JS.API.STREAM.MSG.GET.FUNCTION_QUEUE", JSON.stringify({ seq }))).json<Stored>()
  const lines = Buffer.from(message.hdrs, "base64").toString("utf8").split("\r\n").slice(1)
  const pairs = lines.flatMap((line) =>
    line.includes(": ") ? [[line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)] as const] : [],
  )
  return { subject: message.subject, headers: new Map(pairs), payload: Buffer.from(message.data ?? "", "base64").toString("utf8") }
}

function outcome(msg: Msg): string {
  return header(msg, "Fn-Error-Code") ? failure(msg) : String(header(msg, "ce-type"))
}

/** A host on which `gate` runs one call and lets one wait, and both places are taken. */
async function startBusy(hosts: TestHosts, manifest = {}) {
  const gate = new Gate()
  const host = await hosts.start("a", { gate: gate.on("a") }, { limits: { waitFactor: 1 } })
  await hosts.deploy("gate", { concurrency: 1, ...manifest })
  const calls = [callOn(hosts.nc, "function.js.gate"), callOn(hosts.nc, "function.js.gate")]
  await until(() => host.runtime.status().functions[0]?.waiting === 1, { name: "one to run and one to wait" })
  return { gate, host, calls }
}

describe("R-IV-6: calls beyond what may wait on a host", () => {
  test("are stored for whoever is free first; their caller is told, and the host forgets them", async () => {
    await using hosts = await startTestHosts()
    const { gate, calls } = await startBusy(hosts)
    const lines = { "Fn-Accept": "started structured", "Fn-Invocation-Id": "spilled", "Fn-Timeout-Ms": "20000" }
    const third = callOn(hosts.nc, "function.js.gate", lines, '{"n":3}')
    await until(() => third.messages.length === 1, { name: "the caller to hear that its call is queued" })
    const seq = Number(third.messages[0]?.headers?.get("Fn-Queued"))
    expect(seq).toBeGreaterThan(0)
    expect(third.messages[0]?.data).toHaveLength(0)

    const { subject, headers: stamps, payload } = await stored(hosts, seq)
    expect([subject, payload]).toEqual(["function.queue.default.gate", '{"n":3}'])
    expect(stamps.get("Fn-Spilled")).toBe("1")
    expect(stamps.get("Fn-Invocation-Id")).toBe("spilled")
    expect(stamps.get("Fn-Reply-To")).toMatch(/^_INBOX\.test\./)
    expect(stamps.get("Fn-Accept")).toBe("started, structured")
    expect(stamps.get("ce-type")).toBe("fn.request")
    expect(Number(stamps.get("Fn-Timeout-Ms"))).toBeLessThanOrEqual(20_000)
    const question = JSON.stringify({ function: "default/gate", invocationId: "spilled" })
    expect((await hosts.nc.request("function.status.a", question)).json()).toMatchObject({ runningInvocation: false })
    gate.open()
    for (const { reply } of calls) expect(outcome(await reply)).toBe("done")
    expect((await third.reply).json()).toMatchObject({ type: "done", data: "a" })
    expect(gate.ids.filter((id) => id === "spilled")).toHaveLength(1)
  }, 30_000)

  test("tell their callers who runs them, and are answered like any call, without reply subject on function.result", async () => {
    await using hosts = await startTestHosts()
    const { gate, calls } = await startBusy(hosts)
    const results: Msg[] = []
    hosts.nc.subscribe("function.result.silent", { callback: (_error, msg) => void results.push(msg) })
    const third = callOn(hosts.nc, "function.js.gate", { "Fn-Accept": "started", "Fn-Invocation-Id": "spilled" })
    const silent = headers()
    silent.set("Fn-Invocation-Id", "silent")
    hosts.nc.publish("function.js.gate", "{}", { headers: silent })
    await until(() => third.messages.length === 1, { name: "the call to be queued" })
    const runs = (id: string) => () => {
      if (!gate.ids.includes(id)) gate.release()
      return gate.ids.includes(id)
    }
    await until(runs("spilled"), { name: "the stored call to run", timeoutMs: 10_000 })
    await until(() => third.messages.some((msg) => header(msg, "Fn-Started") === "a"), { name: "its caller to hear of a" })
    const question = JSON.stringify({ function: "default/gate", invocationId: "spilled" })
    expect((await hosts.nc.request("function.status.a", question)).json()).toMatchObject({ runningInvocation: true })
    gate.open()
    expect(outcome(await third.reply)).toBe("done")
    expect(third.messages.map((msg) => ["Fn-Queued", "Fn-Started", "Fn-Events"].find((name) => header(msg, name)))).toEqual([
      "Fn-Queued",
      "Fn-Started",
      "Fn-Events",
    ])
    await until(() => results.length === 1, { name: "the result of the call without reply subject" })
    expect(outcome(results[0] as Msg)).toBe("done")
    for (const { reply } of calls) expect(outcome(await reply)).toBe("done")
    expect(new Set(gate.ids).size).toBe(4)
  }, 30_000)

  test("are not run when their caller has cancelled them in the queue", async () => {
    await using hosts = await startTestHosts()
    const { gate, calls } = await startBusy(hosts)
    const third = callOn(hosts.nc, "function.js.gate", { "Fn-Accept": "started", "Fn-Invocation-Id": "spilled" })
    await until(() => third.messages.length === 1, { name: "the call to be queued" })
    hosts.nc.publish("function.cancel.default.spilled.queued")
    await hosts.nc.flush()
    gate.open()
    expect(outcome(await third.reply)).toBe("cancelled CANCELLED")
    for (const { reply } of calls) expect(outcome(await reply)).toBe("done")
    expect(gate.ids).not.toContain("spilled")
  }, 30_000)

  test("are refused with the cause where no stream takes them", async () => {
    await using hosts = await startTestHosts({ setUp: false })
    const { gate, calls } = await startBusy(hosts)
    const [first, second] = [callOn(hosts.nc, "function.js.gate"), callOn(hosts.nc, "function.js.gate")]
    for (const { reply } of [first, second]) {
      expect(outcome(await reply)).toBe("resource_exhausted QUEUE_FULL")
      expect(header(await reply, "Nats-Service-Error")).toContain("stream not found")
    }
    gate.open()
    for (const { reply } of calls) expect(outcome(await reply)).toBe("done")
  }, 30_000)

  test("are refused on a host that does not work on the queue", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { gate: gate.on("a") }, { queue: false, limits: { waitFactor: 0 } })
    await hosts.deploy("gate", { concurrency: 1 })
    const first = callOn(hosts.nc, "function.js.gate")
    await until(() => a.runtime.status().functions[0]?.running === 1, { name: "the first to run" })
    const refused = await callOn(hosts.nc, "function.js.gate").reply
    expect(outcome(refused)).toBe("resource_exhausted QUEUE_FULL")
    expect(header(refused, "Nats-Service-Error")).toContain("does not work on the queue")
    gate.open()
    expect(outcome(await first.reply)).toBe("done")
  }, 30_000)

  test("are refused where only this host can answer them: envelopes and streams", async () => {
    await using hosts = await startTestHosts()
    const { gate } = await startBusy(hosts)
    const envelope = JSON.stringify({ functionName: "gate", event: { id: "1", source: "/t", type: "t" } })
    const answer = await hosts.nc.request("function.invoke", envelope, { timeout: 5_000 })
    expect(failure(answer)).toBe("resource_exhausted QUEUE_FULL")
    expect(answer.json()).toMatchObject({ errorType: "execution_error", error: expect.stringContaining("only this host can answer") })
    expect(outcome(await callOn(hosts.nc, "function.js.gate", { "Fn-Accept": "stream" }).reply)).toBe("resource_exhausted QUEUE_FULL")
    gate.open()
  }, 30_000)

  test("are refused at once when what is before them takes longer than their time", async () => {
    await using hosts = await startTestHosts()
    const nap = () => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 300))
    const host = await hosts.start("a", { nap }, { limits: { waitFactor: 1 } })
    await hosts.deploy("nap", { concurrency: 1 })
    // The host learns how long an execution takes.
    await callOn(hosts.nc, "function.js.nap").reply
    const calls = [callOn(hosts.nc, "function.js.nap"), callOn(hosts.nc, "function.js.nap")]
    await until(() => host.runtime.status().functions[0]?.waiting === 1, { name: "one to run and one to wait" })
    const refused = await callOn(hosts.nc, "function.js.nap", { "Fn-Timeout-Ms": "400" }).reply
    expect(outcome(refused)).toBe("resource_exhausted QUEUE_FULL")
    expect(header(refused, "Nats-Service-Error")).toContain("longer than the time left")
    for (const { reply } of calls) expect(header(await reply, "Fn-Events")).toBe("0")
  }, 30_000)

  test("are refused where the function's own maxPending is reached", async () => {
    await using hosts = await startTestHosts()
    const { gate, host } = await startBusy(hosts, { queue: { maxPending: 1 } })
    expect(host.runtime.status().functions[0]?.waiting).toBe(1)
    const others = { host: "b", phase: "ready", functions: [{ function: "default/gate", slots: 1, freeSlots: 0, waiting: 1, queued: 1 }] }
    hosts.nc.publish("function.status.b.load", JSON.stringify(others))
    const refused = await callOn(hosts.nc, "function.js.gate").reply
    expect(outcome(refused)).toBe("resource_exhausted QUEUE_FULL")
    expect(header(refused, "Nats-Service-Error")).toContain("maxPending of 1")
    gate.open()
  }, 30_000)
})
