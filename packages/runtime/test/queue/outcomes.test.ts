import { Header, headerLine, STRUCTURED_TYPE } from "@fn/core"
import { publishAcked, requestApi } from "@fn/nats"
import { sequenceId } from "@fn/queue"
import { testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startQueuePlatform } from "./support.js"

const numberOf = (event: { data?: unknown }): number => (event.data as { n: number }).n

describe.each(await testServers("outcomes of queued invocations"))("R-IV-6: what was stored in the queue, on $server:", ({ binary }) => {
  test("it runs, its result is read by its id, and nothing is left of it in the queue", async () => {
    await using platform = await startQueuePlatform({
      binary,
      builtins: { double: (event, ctx) => ({ type: "doubled", data: { n: numberOf(event) * 2, attempt: ctx.attempt } }) },
    })
    await platform.deploy("double")
    const id = await platform.enqueue("double", { data: '{"n":21}' })
    const result = await platform.result(id)
    expect(JSON.parse(result.text)).toEqual({ n: 42, attempt: 1 })
    expect(result.headers.get("ce-type")).toBe("doubled")
    expect(result.headers.get(Header.attempt)).toBe("1")
    expect(result.headers.get(Header.version)).toBe("0.0.1")
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
    expect(await platform.records("double")).toEqual(["succeeded 1"])
  }, 60_000)

  test("a result is what a sync caller gets: nothing, one event in the question's mode, or a batch", async () => {
    await using platform = await startQueuePlatform({
      binary,
      builtins: { some: (event) => Array.from({ length: numberOf(event) }, (_, at) => ({ type: "item", data: at })) },
    })
    await platform.deploy("some")
    const none = await platform.result(await platform.enqueue("some", { data: '{"n":0}' }))
    expect([none.headers.get(Header.events), none.text]).toEqual(["0", ""])
    const event = JSON.stringify({ specversion: "1.0", id: "1", source: "test", type: "asked", data: { n: 1 } })
    const structured = await platform.result(
      await platform.enqueue("some", { data: event, lines: headerLine(Header.contentType, STRUCTURED_TYPE) }),
    )
    expect(JSON.parse(structured.text)).toMatchObject({ type: "item", data: 0 })
    const batch = await platform.result(await platform.enqueue("some", { data: '{"n":3}' }))
    expect((JSON.parse(batch.text) as { data: number }[]).map(({ data }) => data)).toEqual([0, 1, 2])
    const synced = await platform.nc.request("function.js.some", '{"n":3}', { timeout: 10_000 })
    expect((synced.json() as { data: number }[]).map(({ data }) => data)).toEqual([0, 1, 2])
  }, 60_000)

  test("many run at once, no more than there are slots", async () => {
    let running = 0
    let most = 0
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        wait: async () => {
          most = Math.max(most, ++running)
          await new Promise((resolve) => setTimeout(resolve, 5))
          running--
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("wait", { concurrency: 3 })
    const ids = await Promise.all(Array.from({ length: 40 }, () => platform.enqueue("wait")))
    for (const id of ids) expect((await platform.result(id)).failure).toBeUndefined()
    expect(most).toBe(3)
    await until(async () => (await platform.records("wait")).length === 40, { name: "every record" })
  }, 60_000)
})

describe("R-IV-6: what was stored in the queue", () => {
  test("without an invocation id it has one of its place in the queue", async () => {
    await using platform = await startQueuePlatform({ builtins: { id: (_event, ctx) => ({ type: "id", data: ctx.invocationId }) } })
    await platform.deploy("id")
    const { seq } = await publishAcked(platform.access.inbox, "function.queue.default.id", { data: "{}" })
    const result = await platform.result(sequenceId(seq))
    expect(result.text).toBe(`"q${seq}"`)
  }, 60_000)

  test("a message that is no event fails for good, and is kept with its reason", async () => {
    await using platform = await startQueuePlatform({ builtins: { never: () => undefined } })
    await platform.deploy("never")
    const id = await platform.enqueue("never", { lines: headerLine("ce-type", "half.an.event") })
    expect((await platform.result(id)).failure).toBe("invalid_argument INVALID_EVENT")
    const [letter] = await platform.deadLetters("never")
    expect(letter?.headers.get(Header.dlqReason)).toBe("INVALID_EVENT")
    expect(letter?.headers.get("ce-type")).toBe("half.an.event")
  }, 60_000)

  test("its events go out live, and into a stream that keeps them once, though an attempt is repeated", async () => {
    await using platform = await startQueuePlatform({
      builtins: { emit: () => [{ type: "kept.one" }, { type: "live.two" }] },
    })
    const stream = { name: "EVENTS", subjects: ["event.default.kept.>"], storage: "memory", retention: "limits", allow_direct: true }
    await requestApi(platform.access.inbox, "STREAM.CREATE.EVENTS", { body: stream })
    await platform.deploy("emit")
    const live: string[] = []
    platform.nc.subscribe("event.>", { callback: (_error, msg) => void live.push(msg.subject) })
    await platform.nc.flush()
    const id = await platform.enqueue("emit")
    await platform.result(id)
    // The same id in a message of its own: its attempt emits the same events.
    await publishAcked(platform.access.inbox, "function.queue.default.emit", { data: "{}", lines: headerLine(Header.invocationId, id) })
    await until(async () => (await platform.depth()) === 0, { name: "both to have run" })
    await until(() => live.length === 4, { name: "the events of both" })
    expect(live.sort()).toEqual(["event.default.kept.one", "event.default.kept.one", "event.default.live.two", "event.default.live.two"])
    const kept = await platform.messages("EVENTS", "event.default.kept.>")
    expect(kept.map(({ headers }) => headers.get(Header.invocationId))).toEqual([id])
  }, 60_000)

  test("a result larger than a message is a failure that says so, and is not tried again", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      builtins: {
        large: () => {
          runs++
          return { type: "large", data: "x".repeat(1_100_000) }
        },
      },
    })
    await platform.deploy("large")
    expect((await platform.result(await platform.enqueue("large"))).failure).toBe("resource_exhausted OUTPUT_LIMIT")
    expect(runs).toBe(1)
  }, 60_000)

  test("SEC-4: its result goes to an inbox it names too, and to nothing else", async () => {
    await using platform = await startQueuePlatform({ builtins: { ok: () => ({ type: "ok" }) } })
    await platform.deploy("ok")
    const heard: string[] = []
    const callback = (_error: unknown, msg: { subject: string }): void => void heard.push(msg.subject)
    platform.nc.subscribe("_INBOX.mine", { callback })
    platform.nc.subscribe("event.default.forged", { callback })
    await platform.nc.flush()
    await platform.result(await platform.enqueue("ok", { lines: headerLine(Header.replyTo, "event.default.forged") }))
    await platform.result(await platform.enqueue("ok", { lines: headerLine(Header.replyTo, "_INBOX.mine") }))
    await until(() => heard.length > 0, { name: "the answer" })
    expect(heard).toEqual(["_INBOX.mine"])
  }, 60_000)

  test("a module runs it in a process of its own", async () => {
    await using platform = await startQueuePlatform()
    const source = `export default (event, ctx) => ({ type: "sum", data: event.data.n + ctx.attempt })`
    await platform.registry.deploy(
      { name: "sum", language: "js", runtime: "module" },
      { artifact: Buffer.from(source), awaitServed: false },
    )
    expect((await platform.result(await platform.enqueue("sum", { data: '{"n":41}' }), 40_000)).text).toBe("42")
  }, 90_000)

  test("R-IV-5: that it runs is told while it does", async () => {
    await using platform = await startQueuePlatform({ builtins: { told: (_event, ctx) => ({ type: "ok", data: ctx.attempt }) } })
    await platform.deploy("told")
    const running: string[] = []
    platform.nc.subscribe("function.execution.*.*.running.*", { callback: (_error, msg) => void running.push(msg.string()) })
    await platform.nc.flush()
    const id = await platform.enqueue("told")
    await platform.result(id)
    expect(running.map((text) => JSON.parse(text))).toMatchObject([{ id, name: "told", attempt: 1, durable: true, version: "0.0.1" }])
  }, 60_000)
})
