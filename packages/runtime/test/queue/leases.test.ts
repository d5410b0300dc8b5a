import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startQueuePlatform } from "./support.js"

describe.each(await testServers("leases"))("R-IV-6: what a host holds, on $server:", ({ binary }) => {
  test("stays its own while it works, three times as long as the server would wait", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        long: async () => {
          runs++
          await new Promise((resolve) => setTimeout(resolve, 1_500))
          return { type: "ok" }
        },
      },
      hosts: 2,
    })
    await platform.deploy("long", { queue: { ackWaitMs: 500 } })
    expect((await platform.result(await platform.enqueue("long"))).failure).toBeUndefined()
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
    expect(runs).toBe(1)
  }, 60_000)

  test("is handed back when the host drains and its grace is over, and another host takes it without waiting", async () => {
    const hosts: string[] = []
    const builtins = (name: string, finishes: boolean) => ({
      work: async (_event: unknown, ctx: { signal: AbortSignal }): Promise<{ type: string; data: string }> => {
        hosts.push(name)
        if (!finishes) await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
        return { type: "ok", data: name }
      },
    })
    await using platform = await startQueuePlatform({ binary, hosts: 0 })
    await platform.deploy("work", { queue: { ackWaitMs: 60_000 } })
    const first = await platform.host({ builtins: builtins("first", false) })
    const id = await platform.enqueue("work")
    await until(() => hosts.length === 1, { name: "the first host to run it" })
    await platform.host({ builtins: builtins("second", true) })
    await first.drain({ graceMs: 50 })
    // Long before the server would give it to somebody else by itself.
    expect((await platform.result(id)).text).toBe('"second"')
    expect(hosts).toEqual(["first", "second"])
  }, 60_000)

  test("is finished and acknowledged when the host drains in time, and nothing more is taken", async () => {
    const finish: (() => void)[] = []
    const work = async (): Promise<{ type: string }> => {
      await new Promise<void>((resolve) => finish.push(resolve))
      return { type: "ok" }
    }
    await using platform = await startQueuePlatform({ binary, hosts: 0 })
    await platform.deploy("work", { concurrency: 1 })
    const host = await platform.host({ builtins: { work } })
    const [running, waiting] = [await platform.enqueue("work"), await platform.enqueue("work")]
    await until(() => finish.length === 1, { name: "one to run" })
    const drained = host.drain({ graceMs: 20_000 })
    await until(() => host.phase === "draining", { name: "the drain" })
    finish[0]?.()
    await drained
    expect((await platform.result(running)).failure).toBeUndefined()
    expect(await platform.depth()).toBe(1)
    expect(finish).toHaveLength(1)
    await platform.host({ builtins: { work: () => ({ type: "ok", data: 2 }) } })
    expect((await platform.result(waiting)).text).toBe("2")
  }, 60_000)

  test("the first result is the result when a lease ran out and two hosts ran it", async () => {
    const finish = new Map<string, () => void>()
    const builtins = (name: string) => ({
      work: async (): Promise<{ type: string; data: string }> => {
        await new Promise<void>((resolve) => finish.set(name, resolve))
        return { type: "ok", data: name }
      },
    })
    await using platform = await startQueuePlatform({ binary, hosts: 0 })
    await platform.deploy("work", { queue: { ackWaitMs: 200 } })
    const frozen = await platform.server.connect()
    await platform.host({ nc: frozen, builtins: builtins("first") })
    const id = await platform.enqueue("work")
    await until(() => finish.has("first"), { name: "the first to run it" })
    // Nothing it publishes gets out for a while: its lease is not extended.
    const restore = mute(frozen)
    await platform.host({ builtins: builtins("second") })
    await until(() => finish.has("second"), { name: "the second to run it", timeoutMs: 20_000 })
    finish.get("second")?.()
    expect((await platform.result(id)).text).toBe('"second"')
    restore()
    finish.get("first")?.()
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    expect((await platform.result(id)).text).toBe('"second"')
    expect(await platform.records("work")).toEqual(["succeeded 2"])
  }, 60_000)

  test("is not run a second time by the host that still runs it, though its lease ran out", async () => {
    const finish: (() => void)[] = []
    const work = async (): Promise<{ type: string }> => {
      await new Promise<void>((resolve) => finish.push(resolve))
      return { type: "ok" }
    }
    await using platform = await startQueuePlatform({ binary, builtins: { work }, hosts: 0 })
    await platform.deploy("work", { queue: { ackWaitMs: 200 } })
    const hostNc = await platform.server.connect()
    await platform.host({ nc: hostNc, queue: { sweepMs: 100 } })
    const delivered: string[] = []
    const id = await platform.enqueue("work")
    await until(() => finish.length === 1, { name: "the start" })
    const restore = mute(hostNc)
    const mutedAt = Date.now()
    // The server takes it for lost by then, and gives it to whoever asks.
    await until(() => Date.now() > mutedAt + 600, { name: "the lease to run out" })
    restore()
    platform.nc.subscribe("$JS.ACK.FUNCTION_QUEUE.default=work.2.>", { callback: (_error, msg) => void delivered.push(msg.string()) })
    await until(() => delivered.length > 0, { name: "the second delivery to be known to the host", timeoutMs: 20_000 })
    finish[0]?.()
    expect((await platform.result(id)).failure).toBeUndefined()
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
    expect(finish).toHaveLength(1)
  }, 60_000)
})

/** Keeps a connection from publishing, as a host that hangs would be kept; the result publishes again. */
function mute(nc: { publish: (...args: never[]) => void }): () => void {
  const { publish } = nc
  nc.publish = () => undefined
  return () => {
    nc.publish = publish
  }
}

describe("R-IV-6: the queue of one function", () => {
  test("a slow function does not hold up another", async () => {
    const finish: (() => void)[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        slow: async () => {
          await new Promise<void>((resolve) => finish.push(resolve))
          return { type: "ok" }
        },
        quick: () => ({ type: "ok" }),
      },
    })
    await platform.deploy("slow", { concurrency: 2 })
    await platform.deploy("quick")
    const slow = await Promise.all(Array.from({ length: 6 }, () => platform.enqueue("slow")))
    await until(() => finish.length === 2, { name: "every slot to be taken" })
    for (let n = 0; n < 10; n++) expect((await platform.result(await platform.enqueue("quick"))).failure).toBeUndefined()
    for (const id of slow) {
      await until(() => finish.length > 0, { name: "the next" })
      finish.shift()?.()
      void id
    }
    for (const id of slow) expect((await platform.result(id)).failure).toBeUndefined()
  }, 60_000)

  test("once it is empty leaves no pull at the server and no worker on the host", async () => {
    await using platform = await startQueuePlatform({ builtins: { rare: () => ({ type: "ok" }) }, hosts: 0 })
    const host = await platform.host()
    await platform.deploy("rare")
    await platform.result(await platform.enqueue("rare"))
    await until(() => host.status().queue?.working === 0, { name: "no worker" })
    const { num_waiting, num_pending, num_ack_pending } = await platform.consumer("rare")
    expect([num_waiting, num_pending, num_ack_pending]).toEqual([0, 0, 0])
  }, 60_000)

  test("and its callers take turns for slots that get free", async () => {
    const order: string[] = []
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    await using platform = await startQueuePlatform({
      builtins: {
        shared: async (event) => {
          const { from } = event.data as { from: string }
          order.push(from)
          if (from === "first") await held
          else await new Promise((resolve) => setTimeout(resolve, 5))
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("shared", { concurrency: 1 })
    const first = platform.nc.request("function.js.shared", '{"from":"first"}', { timeout: 30_000 })
    await until(() => order.length === 1, { name: "the slot to be taken" })
    const ids = await Promise.all(Array.from({ length: 4 }, () => platform.enqueue("shared", { data: '{"from":"queue"}' })))
    const calls = Array.from({ length: 4 }, () => platform.nc.request("function.js.shared", '{"from":"call"}', { timeout: 30_000 }))
    await platform.nc.flush()
    await until(async () => (await platform.depth()) === 4, { name: "the backlog" })
    release()
    await Promise.all([first, ...calls])
    for (const id of ids) await platform.result(id)
    const middle = order.slice(1, 7)
    expect(middle.filter((from) => from === "queue").length).toBeGreaterThanOrEqual(2)
    expect(middle.filter((from) => from === "call").length).toBeGreaterThanOrEqual(2)
    expect(order.slice(1, 5).sort()).not.toEqual(["call", "call", "call", "call"])
  }, 60_000)

  test("goes on by itself after the server was restarted, with what was running then", async () => {
    const finish: (() => void)[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        survive: async () => {
          await new Promise<void>((resolve) => finish.push(resolve))
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("survive", { concurrency: 2 })
    const ids = await Promise.all(Array.from({ length: 4 }, () => platform.enqueue("survive")))
    await until(() => finish.length === 2, { name: "two to run" })
    await platform.server.restart()
    for (const end of finish.splice(0)) end()
    await until(() => finish.length === 2, { name: "the other two to run", timeoutMs: 20_000 })
    for (const end of finish.splice(0)) end()
    for (const id of ids) expect((await platform.result(id)).failure).toBeUndefined()
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
    expect(finish).toHaveLength(0)
  }, 60_000)
})
