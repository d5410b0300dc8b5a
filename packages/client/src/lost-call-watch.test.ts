import { FnError } from "@fn/core"
import type { RawMsg } from "@fn/nats"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startChild, type TestChild } from "../test/child.js"
import { startPeer } from "../test/peer.js"
import { type Platform, startPlatform } from "../test/platform.js"

const event = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const

/** A host in its own process: `starts` says after 100 ms that it started a call, `mute` never does. */
function startHostProcess(platform: Platform, mode: "starts" | "mute"): Promise<TestChild> {
  return startChild("host-process.mjs", [platform.server.url, "doomed", mode])
}

describe("a host that dies by SIGKILL", () => {
  test.concurrent("fails every call it had started with HOST_LOST within 3 s", async () => {
    await using platform = await startPlatform()
    await platform.deploy("slow")
    await using host = await startHostProcess(platform, "starts")
    const calls = Array.from({ length: 40 }, () => platform.client.tryInvoke("slow", event))
    await until(() => host.count("call") === 40, { name: "all calls to arrive" })
    // The worst moment: just after the client asked and was told that all is well.
    await until(() => host.count("question") >= 40, { name: "the first questions" })
    host.child.kill("SIGKILL")
    const killed = performance.now()
    const results = await Promise.all(calls)
    expect(performance.now() - killed).toBeLessThan(3_000)
    for (const result of results)
      expect(!result.ok && result.error).toMatchObject({ code: "unavailable", reason: "HOST_LOST", retryable: true })
  }, 30_000)

  test.concurrent("before it said that it started the calls fails them with HOST_LOST within 3 s, though other hosts live", async () => {
    await using platform = await startPlatform()
    await platform.deploy("slow")
    await using host = await startHostProcess(platform, "mute")
    const calls = Array.from({ length: 40 }, () => platform.client.tryInvoke("slow", event))
    await until(() => host.count("call") === 40, { name: "all calls to arrive" })
    host.child.kill("SIGKILL")
    const killed = performance.now()
    const results = await Promise.all(calls)
    expect(performance.now() - killed).toBeLessThan(3_000)
    for (const result of results) expect(!result.ok && result.error).toMatchObject({ code: "unavailable", reason: "HOST_LOST" })
  }, 30_000)

  test.concurrent("takes no call of another host with it", async () => {
    await using platform = await startPlatform()
    await platform.deploy("slow")
    await platform.deploy("steady")
    await platform.peer.serve("function.js.steady", (call) => call.start())
    await using host = await startHostProcess(platform, "starts")
    const lost = platform.client.tryInvoke("slow", event)
    const kept = platform.client.invoke("steady", event)
    await until(() => host.count("call") === 1 && platform.peer.calls.length === 1, { name: "both calls to arrive" })
    host.child.kill("SIGKILL")
    expect((await lost).ok).toBe(false)
    platform.peer.calls[0]?.events([])
    expect(await kept).toEqual([])
  }, 30_000)
})

describe("a call that lasts", () => {
  test.concurrent("is left alone while its host says that it has it", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => call.start())
    const call = client.invoke("long", event)
    await until(() => peer.questions.length >= 3, { name: "three questions", timeoutMs: 10_000 })
    expect(peer.questions[0]).toEqual({ function: "default/long", invocationId: peer.calls[0]?.invocationId })
    peer.calls[0]?.events([])
    expect(await call).toEqual([])
  }, 20_000)

  test.concurrent("fails with HOST_LOST when its host denies it twice", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => {
      call.start()
      peer.running.clear()
    })
    const failed = await client.tryInvoke("long", event)
    expect(!failed.ok && failed.error).toMatchObject({ reason: "HOST_LOST", message: expect.stringContaining("no longer has the call") })
    expect(peer.questions).toHaveLength(2)
  }, 20_000)

  test.concurrent("survives one denial: its reply may have been on the way", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => {
      call.start()
      peer.running.clear()
    })
    peer.onQuestion = async () => {
      if (peer.questions.length === 2) peer.calls[0]?.events([])
    }
    expect(await client.invoke("long", event)).toEqual([])
  }, 20_000)

  test.concurrent("fails with HOST_LOST when its host keeps silent twice", async () => {
    await using platform = await startPlatform()
    await using frozen = await startPeer(await platform.server.connect(), { answersStatus: false })
    await platform.deploy("long")
    await frozen.serve("function.js.long", (call) => call.start())
    const failed = await platform.client.tryInvoke("long", event)
    expect(!failed.ok && failed.error).toMatchObject({ reason: "HOST_LOST", message: expect.stringContaining("does not answer") })
  }, 20_000)

  test.concurrent("is followed to the host it was handed on to", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await using second = await startPeer(await platform.server.connect(), { host: "second" })
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => {
      call.start()
      peer.running.clear()
      second.running.add(call.invocationId)
      call.raw("Fn-Started: second\r\n", "")
    })
    const call = client.invoke("long", event)
    await until(() => second.questions.length >= 2, { name: "two questions to the second host", timeoutMs: 10_000 })
    expect(peer.questions).toHaveLength(0)
    peer.calls[0]?.events([])
    expect(await call).toEqual([])
  }, 20_000)

  test.concurrent("is asked about by nobody while it waits in the queue, and followed to the host that takes it from there", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await using second = await startPeer(await platform.server.connect(), { host: "second" })
    await platform.deploy("long")
    await platform.deploy("other")
    await peer.serve("function.js.other", (call) => call.start())
    await peer.serve("function.js.long", (call) => {
      call.start()
      peer.running.delete(call.invocationId)
      call.raw("Fn-Queued: 7\r\n", "")
    })
    const call = client.startCall("long", { attributes: event, data: undefined })
    const other = client.invoke("other", event)
    const about = (asked: typeof peer) => asked.questions.filter(({ invocationId }) => invocationId === call.invocationId)
    // By the third question about the other call, a call that no host had would have been given up.
    await until(() => peer.questions.length >= 3, { name: "three questions", timeoutMs: 10_000 })
    expect([about(peer), about(second)]).toEqual([[], []])
    const [long, steady] = ["function.js.long", "function.js.other"].map((subject) => peer.calls.find((one) => one.subject === subject))
    second.running.add(call.invocationId)
    long?.raw("Fn-Started: second\r\n", "")
    await until(() => about(second).length >= 2, { name: "two questions to the second host", timeoutMs: 10_000 })
    for (const done of [long, steady]) done?.events([])
    expect([await call.events, await other, about(peer)]).toEqual([[], [], []])
  }, 20_000)

  test.concurrent("is cancelled in the queue too, if it waits there", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => call.raw("Fn-Queued: 7\r\nFn-Events: 0\r\n", ""))
    const call = client.startCall("long", { attributes: event, data: undefined })
    await until(() => peer.calls.length === 1, { name: "the call to arrive" })
    await platform.nc.flush()
    call.cancel()
    await expect(call.events).rejects.toMatchObject({ code: "cancelled" })
    const subject = `function.cancel.default.${call.invocationId}`
    await until(() => peer.cancelled.length === 2, { name: "both cancels" })
    expect(peer.cancelled).toEqual([subject, `${subject}.queued`])
  }, 20_000)

  test.concurrent("whose started message was lost is found at its host and left alone", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("long")
    await peer.serve("function.js.long", (call) => void peer.running.add(call.invocationId))
    const call = client.invoke("long", event)
    await until(() => peer.questions.length >= 3, { name: "three questions", timeoutMs: 10_000 })
    peer.calls[0]?.events([])
    expect(await call).toEqual([])
  }, 20_000)

  test.concurrent("is not judged by a host that is too busy to answer", async () => {
    await using platform = await startPlatform()
    await using busy = await startPeer(await platform.server.connect(), { answersStatus: false })
    await platform.deploy("long")
    await busy.serve("function.js.long", () => undefined)
    const call = platform.client.invoke("long", event)
    await until(() => busy.questions.length >= 2, { name: "two rounds of questions", timeoutMs: 10_000 })
    busy.calls[0]?.error(FnError.terminal("LATE", "but here"))
    await expect(call).rejects.toMatchObject({ reason: "LATE" })
  }, 20_000)

  test.concurrent("is not judged while all hosts are too busy even to say that they are there", async () => {
    await using platform = await startPlatform()
    await platform.deploy("long")
    await platform.peer[Symbol.asyncDispose]()
    const busy = await platform.server.connect()
    let pings = 0
    busy.subscribe("$SRV.PING.fn-runtime", { callback: () => void pings++ })
    const taken: RawMsg[] = []
    busy.subscribe("function.js.long", { queue: "function.js", callback: (_refused, msg) => void taken.push(msg) })
    await busy.flush()
    const call = platform.client.invoke("long", event)
    await until(() => pings >= 3, { name: "three looks for hosts", timeoutMs: 10_000 })
    taken[0]?.respond("")
    expect(await call).toEqual([])
  }, 20_000)

  test.concurrent("that nobody has fails with HOST_LOST when there is no host at all", async () => {
    await using platform = await startPlatform()
    await platform.deploy("long")
    await platform.peer.serve("function.js.long", () => undefined)
    await platform.peer[Symbol.asyncDispose]()
    const failed = await platform.client.tryInvoke("long", event)
    expect(!failed.ok && failed.error).toMatchObject({ reason: "HOST_LOST", message: expect.stringContaining("no host is left") })
  }, 20_000)

  test.concurrent("is not called lost by a client that may not ask the hosts", async () => {
    const config =
      'authorization { users: [{ user: a, password: a }, { user: b, password: b, permissions: { publish: { deny: ["$SRV.>", "function.status.>"] } } }] }'
    await using platform = await startPlatform({
      server: { config },
      user: { user: "a", password: "a" },
      clientUser: { user: "b", password: "b" },
    })
    await platform.deploy("long")
    await platform.peer.serve("function.js.long", () => undefined)
    const began = performance.now()
    const failed = await platform.client.tryInvoke("long", event, { timeoutMs: 4_000 })
    expect(!failed.ok && failed.error.reason).toBe("DEADLINE_EXCEEDED")
    expect(performance.now() - began).toBeGreaterThanOrEqual(4_000)
  }, 20_000)
})
