import { Header, headerLine } from "@fn/core"
import { publishAcked } from "@fn/nats"
import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type QueuePlatform, startQueuePlatform } from "./support.js"

function cancelQueued(platform: QueuePlatform, id: string): Promise<unknown> {
  return publishAcked(platform.access.inbox, platform.access.names.subjects.cancelQueued("default", id))
}

async function drained(platform: QueuePlatform): Promise<void> {
  await until(async () => (await platform.depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
}

/** A function that runs until it is told to stop. */
function untilStopped(started: string[], stopped: string[]) {
  return async (_event: unknown, ctx: { signal: AbortSignal; invocationId: string }): Promise<void> => {
    started.push(ctx.invocationId)
    await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
    stopped.push(ctx.invocationId)
  }
}

describe.each(await testServers("cancel"))("R-IV-5: cancel, on $server:", ({ binary }) => {
  test("stops a running invocation, for good", async () => {
    const started: string[] = []
    const stopped: string[] = []
    await using platform = await startQueuePlatform({ binary, builtins: { long: untilStopped(started, stopped) } })
    await platform.deploy("long", { retry: { initialMs: 1 } })
    const id = await platform.enqueue("long")
    await until(() => started.length === 1, { name: "the start" })
    platform.nc.publish(platform.access.names.subjects.cancel("default", id))
    expect((await platform.result(id)).failure).toBe("cancelled CANCELLED")
    await drained(platform)
    expect([started, stopped]).toEqual([[id], [id]])
    expect(await platform.records("long")).toEqual(["cancelled 1"])
    expect(await platform.messages("FUNCTION_DLQ", "function.dlq.>")).toEqual([])
  }, 60_000)

  test("reaches one that waits in the queue: its caller hears soon, and it never runs", async () => {
    const started: string[] = []
    await using platform = await startQueuePlatform({ binary, builtins: { long: untilStopped(started, []) } })
    await platform.deploy("long", { concurrency: 1 })
    const first = await platform.enqueue("long")
    await until(() => started.length === 1, { name: "the start" })
    const second = await platform.enqueue("long")
    await cancelQueued(platform, second)
    expect((await platform.result(second)).failure).toBe("cancelled CANCELLED")
    platform.nc.publish(platform.access.names.subjects.cancel("default", first))
    await drained(platform)
    expect(started).toEqual([first])
    expect((await platform.records("long")).sort()).toEqual(["cancelled 0", "cancelled 1"])
  }, 60_000)

  test("is remembered by the server for hosts that come later", async () => {
    const started: string[] = []
    await using platform = await startQueuePlatform({
      binary,
      builtins: { long: untilStopped(started, []), ok: () => ({ type: "ok" }) },
      hosts: 0,
    })
    await platform.deploy("long")
    await platform.deploy("ok")
    const id = await platform.enqueue("long")
    await cancelQueued(platform, id)
    await platform.host()
    expect((await platform.result(id)).failure).toBe("cancelled CANCELLED")
    expect((await platform.result(await platform.enqueue("ok"))).failure).toBeUndefined()
    await drained(platform)
    expect(started).toEqual([])
  }, 60_000)
})

describe("R-IV-5: cancel", () => {
  test("reaches one that waits for a slot of the version it is pinned to", async () => {
    const started: string[] = []
    await using platform = await startQueuePlatform({ builtins: { long: untilStopped(started, []) } })
    await platform.deploy("long", { version: "1.0.0", concurrency: 1 })
    await platform.deploy("long", { version: "2.0.0", concurrency: 1 })
    const pinned = { lines: headerLine(Header.version, "1.0.0") }
    const first = await platform.enqueue("long", pinned)
    const second = await platform.enqueue("long", pinned)
    await until(async () => (await platform.consumer("long")).num_ack_pending === 2, { name: "both to be held" })
    platform.nc.publish(platform.access.names.subjects.cancel("default", second))
    expect((await platform.result(second)).failure).toBe("cancelled CANCELLED")
    expect(started).toEqual([first])
    platform.nc.publish(platform.access.names.subjects.cancel("default", first))
    await drained(platform)
    expect(started).toEqual([first])
  }, 60_000)

  test("of one that another host runs leaves the outcome to that one", async () => {
    const started: string[] = []
    const finish: (() => void)[] = []
    const stubborn = async (_event: unknown, ctx: { invocationId: string }): Promise<{ type: string }> => {
      started.push(ctx.invocationId)
      await new Promise<void>((resolve) => finish.push(resolve))
      return { type: "done" }
    }
    await using platform = await startQueuePlatform({ builtins: { stubborn }, hosts: 2 })
    await platform.deploy("stubborn")
    const id = await platform.enqueue("stubborn")
    await until(() => started.length === 1, { name: "the start" })
    await cancelQueued(platform, id)
    expect((await platform.result(id)).failure).toBe("cancelled CANCELLED")
    for (const end of finish) end()
    await drained(platform)
    expect((await platform.result(id)).failure).toBe("cancelled CANCELLED")
    await until(async () => (await platform.records("stubborn"))[0] === "cancelled 1", { name: "the record" })
    expect(started).toEqual([id])
  }, 60_000)
})
