import { FnError, headerLine } from "@fn/core"
import { addDeadLetter, type ExecutionRecord, recordExecution } from "@fn/queue"
import { describe, expect, test } from "@jest/globals"
import { startDurablePlatform } from "../../test/platform.js"

describe("what a client shows an operator", () => {
  test("R-IV-5: executions are listed, and one is found by its invocation's id", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const record: ExecutionRecord = {
      schema: 1,
      id: "one",
      namespace: "default",
      name: "hello",
      host: "host-1",
      status: "succeeded",
      attempt: 1,
      durable: true,
      endedAt: new Date().toISOString(),
      durationMs: 1,
      eventsOut: 1,
    }
    const failed = { ...record, id: "two", namespace: "team", status: "failed" } as const
    for (const each of [record, failed]) await recordExecution(queue.access, each)
    expect(await client.executions.list()).toEqual({ executions: [failed, record], hasMore: false })
    expect((await client.executions.list({ status: "failed" })).executions).toEqual([failed])
    expect(await client.executions.get("one")).toEqual(record)
    expect(await client.executions.get("two", { namespace: "team" })).toEqual(failed)
    await expect(client.executions.get("two")).rejects.toMatchObject({ code: "not_found", reason: "EXECUTION_NOT_FOUND" })
  })

  test("R-IV-8: a dead letter is listed, shown, and sent back under a new id that has a result of its own", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    const id = await client.invokeAsync("charge", { n: 1 })
    const taken = await queue.take("charge")
    const error = FnError.of("FUNCTION_THREW", "broken")
    await queue.fail(id, error)
    const lines = [...taken.headers].filter(([name]) => !name.startsWith("Nats-")).map(([name, value]) => headerLine(name, value))
    const { seq, event } = taken
    const data = event.data ?? new Uint8Array(0)
    await addDeadLetter(queue.access, {
      ref: { namespace: "default", name: "charge" },
      seq,
      lines: lines.join(""),
      data,
      error,
      attempts: 1,
    })

    const { deadLetters } = await client.deadLetters.list({ reason: "FUNCTION_THREW" })
    expect(deadLetters).toMatchObject([{ seq: 1, invocationId: id, error: "broken" }])
    expect(Buffer.from((await client.deadLetters.get(1)).data).toString()).toBe(`{"n":1}`)
    const [redriven] = await client.deadLetters.redrive({ name: "charge" })
    const again = await queue.take("charge")
    expect([again.invocationId, Buffer.from(again.event.data ?? []).toString()]).toEqual([redriven?.invocationId, `{"n":1}`])
    expect(again.event.attributes).toEqual(event.attributes)
    await queue.succeed(again.invocationId, [{ attributes: event.attributes, data: Buffer.from(`"fine"`) }])
    expect(await client.result(again.invocationId)).toMatchObject([{ data: "fine" }])
    await expect(client.result(id)).rejects.toMatchObject({ reason: "FUNCTION_THREW" })
    expect((await client.deadLetters.list()).deadLetters).toEqual([])
  })

  test("R-IV-8: dead letters are purged", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const error = FnError.of("EXPIRED", "too old")
    for (const seq of [1, 2])
      await addDeadLetter(queue.access, {
        ref: { namespace: "default", name: "f" },
        seq,
        lines: "",
        data: Buffer.from("x"),
        error,
        attempts: 0,
      })
    expect(await client.deadLetters.purge({ seq: 1 })).toBe(1)
    expect(await client.deadLetters.purge({ all: true })).toBe(1)
    await expect(client.deadLetters.purge({})).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    await expect(client.deadLetters.get(1)).rejects.toMatchObject({ reason: "DEAD_LETTER_NOT_FOUND" })
  })

  test("OB-1: the queue's depth is that of what was stored", async () => {
    await using platform = await startDurablePlatform()
    const { client } = platform
    await platform.deploy("slow")
    for (let i = 0; i < 3; i++) await client.invokeAsync("slow", { i })
    expect(await client.queue.stats({ name: "slow" })).toMatchObject({
      messages: 3,
      functions: [{ namespace: "default", name: "slow", depth: 3, pending: 3, delivered: 0, hasConsumer: false }],
    })
  })

  test("a closed client shows nothing any more", async () => {
    await using platform = await startDurablePlatform()
    const { client } = platform
    await client.close()
    for (const ask of [
      () => client.executions.list(),
      () => client.executions.get("x"),
      () => client.deadLetters.list(),
      () => client.deadLetters.get(1),
      () => client.deadLetters.redrive({ all: true }),
      () => client.deadLetters.purge({ all: true }),
      () => client.queue.stats(),
    ])
      await expect(ask()).rejects.toMatchObject({ reason: "DISCONNECTED" })
  })
})
