import { Header, headerLine } from "@fn/core"
import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startQueuePlatform } from "./support.js"

describe.each(await testServers("delays and ages"))("R-IV-7: time in the queue, on $server:", ({ binary }) => {
  test("an invocation that is to run later does not run before, and its first attempt is its first", async () => {
    const runs: { attempt: number; at: number }[] = []
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        later: (_event, ctx) => {
          runs.push({ attempt: ctx.attempt, at: Date.now() })
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("later")
    const notBefore = Date.now() + 700
    const id = await platform.enqueue("later", { lines: headerLine(Header.notBefore, notBefore) })
    expect((await platform.result(id)).headers.get(Header.attempt)).toBe("1")
    expect(runs).toHaveLength(1)
    expect(runs[0]).toMatchObject({ attempt: 1 })
    expect(runs[0]?.at).toBeGreaterThanOrEqual(notBefore)
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
  }, 60_000)

  test("one that waited longer than it may is given up as EXPIRED and never runs", async () => {
    let runs = 0
    const old = (): void => void runs++
    await using platform = await startQueuePlatform({ binary, builtins: { old, settled: old }, hosts: 0 })
    await platform.deploy("old")
    await platform.deploy("settled", { queue: { maxAgeMs: 20 } })
    const byHeader = await platform.enqueue("old", { lines: headerLine(Header.maxAgeMs, 20) })
    const bySetting = await platform.enqueue("settled")
    const storedAt = Date.now()
    await until(() => Date.now() > storedAt + 50, { name: "their age" })
    await platform.host()
    expect((await platform.result(byHeader)).failure).toBe("deadline_exceeded EXPIRED")
    expect((await platform.result(bySetting)).failure).toBe("deadline_exceeded EXPIRED")
    expect((await platform.deadLetters("old"))[0]?.headers.get(Header.dlqReason)).toBe("EXPIRED")
    expect((await platform.deadLetters("settled"))[0]?.headers.get(Header.dlqReason)).toBe("EXPIRED")
    expect(runs).toBe(0)
  }, 60_000)
})

describe("R-IV-7: time in the queue", () => {
  test("a delay that was over before anybody looked costs no attempt", async () => {
    const attempts: number[] = []
    const builtins = {
      late: (_event: unknown, ctx: { attempt: number }): { type: string } => {
        attempts.push(ctx.attempt)
        if (ctx.attempt === 1) throw new Error("once more")
        return { type: "ok" }
      },
    }
    await using platform = await startQueuePlatform({ builtins, hosts: 0 })
    await platform.deploy("late", { retry: { attempts: 2, initialMs: 10 } })
    const notBefore = Date.now() + 200
    const id = await platform.enqueue("late", { lines: headerLine(Header.notBefore, notBefore) })
    await until(() => Date.now() > notBefore, { name: "the time to have come" })
    await platform.host()
    expect((await platform.result(id)).failure).toBeUndefined()
    expect(attempts).toEqual([1, 2])
  }, 60_000)

  test("age counts from when it could have run", async () => {
    await using platform = await startQueuePlatform({ builtins: { patient: () => ({ type: "ok" }) } })
    await platform.deploy("patient", { queue: { maxAgeMs: 400 } })
    const id = await platform.enqueue("patient", { lines: headerLine(Header.notBefore, Date.now() + 800) })
    expect((await platform.result(id)).failure).toBeUndefined()
  }, 60_000)

  test("what is too old for a function that no host can run is given up by hosts that cannot run it", async () => {
    await using platform = await startQueuePlatform()
    // No host has this builtin.
    await platform.deploy("absent", { queue: { maxAgeMs: 50 } })
    const id = await platform.enqueue("absent")
    expect((await platform.result(id)).failure).toBe("deadline_exceeded EXPIRED")
    expect(await platform.deadLetters("absent")).toHaveLength(1)
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
  }, 60_000)

  test("what is not too old for it waits", async () => {
    let runs = 0
    await using platform = await startQueuePlatform()
    await platform.deploy("elsewhere")
    const id = await platform.enqueue("elsewhere")
    await platform.host({ builtins: { elsewhere: () => ({ type: "ok", data: ++runs }) } })
    expect((await platform.result(id)).text).toBe("1")
  }, 60_000)
})
