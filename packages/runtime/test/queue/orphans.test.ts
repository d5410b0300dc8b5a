import { Header, headerLine } from "@fn/core"
import { publishAcked, requestApi } from "@fn/nats"
import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type QueuePlatform, startQueuePlatform } from "./support.js"

async function consumers(platform: QueuePlatform): Promise<readonly string[]> {
  const answer = await requestApi<{ consumers: string[] | null }>(platform.access.inbox, "CONSUMER.NAMES.FUNCTION_QUEUE")
  return answer.consumers ?? []
}

describe.each(await testServers("orphans of the queue"))("R-IV-8: what no function will take, on $server:", ({ binary }) => {
  test("the backlog of a deleted function is given up at once, what runs finishes, and its consumer goes", async () => {
    const finish: (() => void)[] = []
    const work = async (): Promise<{ type: string }> => {
      await new Promise<void>((resolve) => finish.push(resolve))
      return { type: "done" }
    }
    await using platform = await startQueuePlatform({ binary, builtins: { work }, hosts: 2 })
    await platform.deploy("work", { concurrency: 1 })
    const ids = [await platform.enqueue("work"), await platform.enqueue("work")]
    await until(() => finish.length === 2, { name: "both hosts to run one" })
    const backlog = [await platform.enqueue("work"), await platform.enqueue("work"), await platform.enqueue("work")]
    const later = await platform.enqueue("work", { lines: headerLine(Header.notBefore, Date.now() + 3_600_000) })
    await platform.registry.deleteFunction({ namespace: "default", name: "work" })
    for (const id of backlog) expect((await platform.result(id)).failure).toBe("not_found FUNCTION_DELETED")
    // It was never delivered, or put off: either way it is nobody's any more.
    expect((await platform.result(later)).failure).toBe("not_found FUNCTION_DELETED")
    for (const end of finish) end()
    for (const id of ids) expect((await platform.result(id)).failure).toBeUndefined()
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    await until(async () => (await consumers(platform)).length === 0, { name: "the consumer to go", timeoutMs: 15_000 })
    const letters = await platform.deadLetters("work")
    expect(letters.map(({ headers }) => headers.get(Header.dlqReason))).toEqual(Array(4).fill("FUNCTION_DELETED"))
  }, 90_000)

  test("an invocation of a function nobody knows is given up within ten seconds", async () => {
    await using platform = await startQueuePlatform({ binary })
    const id = await platform.enqueue("ghost")
    expect((await platform.result(id, 10_000)).failure).toBe("not_found FUNCTION_NOT_FOUND")
    expect((await platform.deadLetters("ghost"))[0]?.headers.get(Header.invocationId)).toBe(id)
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    await until(async () => (await consumers(platform)).length === 0, { name: "the consumer to go", timeoutMs: 15_000 })
  }, 60_000)
})

describe("R-IV-8: what no function will take", () => {
  test("many of them, found by several hosts, become one dead letter each", async () => {
    await using platform = await startQueuePlatform({ hosts: 0 })
    const ids = await Promise.all(Array.from({ length: 150 }, () => platform.enqueue("ghost")))
    await Promise.all([platform.host(), platform.host()])
    for (const id of ids) expect((await platform.result(id)).failure).toBe("not_found FUNCTION_NOT_FOUND")
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    const letters = await platform.deadLetters("ghost")
    expect(letters.map(({ headers }) => headers.get(Header.invocationId)).sort()).toEqual([...ids].sort())
  }, 60_000)

  test("what was stored under a name no function can have is given up too; the platform's own names are left alone", async () => {
    await using platform = await startQueuePlatform({ hosts: 0 })
    const head = headerLine(Header.invocationId, "odd")
    await publishAcked(platform.access.inbox, "function.queue.default.Not-A-Name", { lines: head })
    await publishAcked(platform.access.inbox, "function.queue.default.=later")
    await platform.host()
    expect((await platform.result("odd")).failure).toBe("not_found FUNCTION_NOT_FOUND")
    const [letter] = await platform.deadLetters("unknown")
    expect(letter?.headers.get(Header.dlqSubject)).toBe("function.queue.default.Not-A-Name")
    await until(async () => (await platform.depth()) === 1, { name: "the odd one to go" })
  }, 60_000)

  test("a function that is deployed again gets what comes from then on", async () => {
    await using platform = await startQueuePlatform({ builtins: { phoenix: (_event, ctx) => ({ type: "ok", data: ctx.fn.version }) } })
    await platform.deploy("phoenix", { version: "1.0.0" })
    expect((await platform.result(await platform.enqueue("phoenix"))).text).toBe('"1.0.0"')
    await platform.registry.deleteFunction({ namespace: "default", name: "phoenix" })
    const orphan = await platform.enqueue("phoenix")
    expect((await platform.result(orphan)).failure).toBe("not_found FUNCTION_DELETED")
    await platform.deploy("phoenix", { version: "2.0.0" })
    expect((await platform.result(await platform.enqueue("phoenix"))).text).toBe('"2.0.0"')
  }, 60_000)
})
