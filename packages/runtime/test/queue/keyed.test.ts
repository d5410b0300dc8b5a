import { Header, headerLine } from "@fn/core"
import { publishAcked } from "@fn/nats"
import { keyedInvocationId } from "@fn/queue"
import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type QueuePlatform, startQueuePlatform } from "./support.js"

const REF = { namespace: "default", name: "pay" }
const KEYED = headerLine(Header.idempotencyKey, "1")

/** A message of its own for the same key: the queue's own duplicate window, two minutes and gone with a restart, is not what is tested. */
async function again(platform: QueuePlatform, id: string): Promise<void> {
  const lines = headerLine(Header.invocationId, id) + KEYED
  await publishAcked(platform.access.inbox, platform.access.names.subjects.queue(REF), { lines, data: "{}", timeoutMs: 15_000 })
}

async function drained(platform: QueuePlatform): Promise<void> {
  await until(async () => (await platform.depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
}

describe.each(await testServers("idempotency keys"))("R-IV-10: invocations of one idempotency key, on $server:", ({ binary }) => {
  test("run once, though they come at the same time to several hosts", async () => {
    let runs = 0
    const pay = async (): Promise<{ type: string; data: number }> => {
      const run = ++runs
      await new Promise((resolve) => setTimeout(resolve, 50))
      return { type: "paid", data: run }
    }
    await using platform = await startQueuePlatform({ binary, builtins: { pay }, hosts: 2 })
    await platform.deploy("pay")
    const id = keyedInvocationId(REF, "order-7")
    await Promise.all(Array.from({ length: 10 }, () => again(platform, id)))
    expect((await platform.result(id)).text).toBe("1")
    await drained(platform)
    expect(runs).toBe(1)
    expect(await platform.records("pay")).toEqual(["succeeded 1"])
  }, 60_000)

  test("run once, though the server is restarted in between, and late ones get the same result", async () => {
    let runs = 0
    const pay = (): { type: string; data: number } => ({ type: "paid", data: ++runs })
    await using platform = await startQueuePlatform({ binary, builtins: { pay } })
    await platform.deploy("pay")
    const id = keyedInvocationId(REF, "order-8")
    await again(platform, id)
    await platform.result(id)
    await drained(platform)
    await platform.server.restart()
    await again(platform, id)
    await drained(platform)
    expect((await platform.result(id)).text).toBe("1")
    expect(runs).toBe(1)
  }, 60_000)
})

describe("R-IV-10: invocations of one idempotency key", () => {
  test("get their result from the claim when the stream of results has forgotten it", async () => {
    let runs = 0
    const pay = (): { type: string; data: number } => ({ type: "paid", data: ++runs })
    await using platform = await startQueuePlatform({ builtins: { pay }, streams: { resultAgeMs: 1_000 } })
    await platform.deploy("pay")
    const id = keyedInvocationId(REF, "order-10")
    await again(platform, id)
    await platform.result(id)
    const results = (): Promise<unknown[]> => platform.messages("FUNCTION_RESULTS", platform.access.names.subjects.result("default", id))
    await until(async () => (await results()).length === 0, { name: "the result to be forgotten", timeoutMs: 20_000 })
    await again(platform, id)
    expect((await platform.result(id)).text).toBe("1")
    expect(runs).toBe(1)
  }, 60_000)

  test("that failed for good fail the same way each time", async () => {
    let runs = 0
    const pay = (): never => {
      runs++
      throw new Error("card declined")
    }
    await using platform = await startQueuePlatform({ builtins: { pay } })
    await platform.deploy("pay", { retry: { attempts: 1 } })
    const id = keyedInvocationId(REF, "order-11")
    await again(platform, id)
    expect((await platform.result(id)).failure).toBe("unknown FUNCTION_THREW")
    await again(platform, id)
    await drained(platform)
    expect(runs).toBe(1)
    expect(await platform.deadLetters("pay")).toHaveLength(1)
  }, 60_000)

  test("are run again as often as it takes: a retry is no duplicate", async () => {
    const attempts: number[] = []
    const pay = (_event: unknown, ctx: { attempt: number }): { type: string } => {
      attempts.push(ctx.attempt)
      if (ctx.attempt === 1) throw new Error("try again")
      return { type: "paid" }
    }
    await using platform = await startQueuePlatform({ builtins: { pay } })
    await platform.deploy("pay", { retry: { initialMs: 10 } })
    const id = keyedInvocationId(REF, "order-12")
    await again(platform, id)
    expect((await platform.result(id)).failure).toBeUndefined()
    expect(attempts).toEqual([1, 2])
  }, 60_000)
})
