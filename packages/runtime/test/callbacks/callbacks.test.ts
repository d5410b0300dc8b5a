import { headerLine, newId } from "@fn/core"
import { findMessage, ReplyInbox } from "@fn/nats"
import { type ExecutionRecord, enqueue, invocationLines, type QueueAccess, queueNames, redriveDeadLetters } from "@fn/queue"
import { setupPlatform } from "@fn/registry"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { startTestHost, type TestHost } from "../test-host.js"
import { type Receiver, startReceiver } from "./receiver.js"

const WAIT = { timeoutMs: 20_000 }

describe("R-IV-8: callbacks of durable invocations", () => {
  let host: TestHost
  let access: QueueAccess
  const heard: { id: string; data: unknown }[] = []

  beforeAll(async () => {
    host = await startTestHost({
      callbacks: { allow: ["127.0.0.1:*"], allowPrivate: true, retry: { attempts: 3, initialMs: 10, maxMs: 20 } },
      queue: { sweepMs: 200 },
      builtins: {
        work: (event) => ({ type: "done", data: event.data }),
        broken: () => {
          throw new Error("no luck")
        },
        next: (event) => void heard.push({ id: event.id, data: event.data }),
      },
    })
    await setupPlatform(host.nc)
    for (const name of ["work", "next"]) await host.deployBuiltin(name)
    await host.deployBuiltin("broken", { retry: { attempts: 2, initialMs: 1, maxMs: 1 } })
    access = { nc: host.nc, inbox: new ReplyInbox(host.nc), names: queueNames() }
  }, 30_000)
  afterAll(async () => host[Symbol.asyncDispose]())

  async function queue(name: string, callback: string): Promise<string> {
    const invocationId = newId()
    const event = headerLine("content-type", "application/json")
    await enqueue(access, {
      ref: { namespace: "default", name },
      lines: invocationLines({ invocationId, callback }) + event,
      data: Buffer.from('{"n":1}'),
    })
    return invocationId
  }

  async function received(receiver: Receiver, count: number): Promise<Record<string, unknown>[]> {
    await until(() => receiver.received.length >= count, { name: `${count} posts`, ...WAIT })
    return receiver.received.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
  }

  async function deadLetterOf(id: string, name: string): Promise<string> {
    return until(
      async () => {
        const letter = await findMessage(access.inbox, access.names.deadLetters, { lastOf: `function.dlq.default.${name}` })
        return letter?.lines.includes(`Fn-Invocation-Id: ${id}`) && letter.lines.includes("Fn-Dlq-Reason: CALLBACK") && letter.lines
      },
      { name: `dead letter of ${id}`, ...WAIT },
    )
  }

  test("an address hears of a success and of a failure, once each", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const [worked, failed] = [await queue("work", receiver.url), await queue("broken", receiver.url)]
    const events = await received(receiver, 2)
    expect(events.find(({ id }) => id === worked)).toMatchObject({
      type: "fn.invocation.succeeded",
      data: { function: "default/work", version: "0.0.1", attempts: 1, events: [{ type: "done", data: { n: 1 } }] },
    })
    expect(events.find(({ id }) => id === failed)).toMatchObject({
      type: "fn.invocation.failed",
      data: { status: "failed", attempts: 2, error: { reason: "FUNCTION_THREW", message: "no luck" } },
    })
    await until(async () => (await queued()) === undefined, { name: "deliveries to be acknowledged", ...WAIT })
    expect(receiver.received.length).toBe(2)
  }, 30_000)

  async function queued(): Promise<unknown> {
    return findMessage(access.inbox, access.names.queue, { nextOf: access.names.subjects.callbackQueue("default") })
  }

  test("a receiver that is busy hears again until it takes it", async () => {
    let busy = 2
    await using receiver = await startReceiver((response) => response.writeHead(busy-- > 0 ? 503 : 202).end())
    const id = await queue("work", receiver.url)
    const events = await received(receiver, 3)
    expect(new Set(events.map((event) => event.id))).toEqual(new Set([id]))
    await until(async () => (await queued()) === undefined, { name: "the delivery to be acknowledged", ...WAIT })
  }, 30_000)

  test("one that never takes it becomes a dead letter after the attempts there are; redriven it is delivered", async () => {
    let isUp = false
    await using receiver = await startReceiver((response) => response.writeHead(isUp ? 200 : 500).end())
    const id = await queue("work", receiver.url)
    const lines = await deadLetterOf(id, "work")
    expect(lines).toContain("Fn-Dlq-Reason: CALLBACK_FAILED")
    expect(lines).toContain("Fn-Dlq-Attempts: 3")
    expect(lines).toContain("Fn-Dlq-Subject: function.queue.default.=callback")
    expect(receiver.received.length).toBe(3)
    isUp = true
    const redriven = await redriveDeadLetters(access, { namespace: "default", name: "work", reason: "CALLBACK_FAILED" })
    expect(redriven.map(({ invocationId }) => invocationId)).toEqual([id])
    expect((await received(receiver, 4)).map((event) => event.id)).toEqual([id, id, id, id])
  }, 30_000)

  test("a refused callback is a dead letter, and the invocation has run all the same", async () => {
    const id = await queue("work", "https://elsewhere.example/")
    expect(await deadLetterOf(id, "work")).toContain("Fn-Dlq-Reason: CALLBACK_REFUSED")
    const record = await findMessage(access.inbox, access.names.executions, { nextOf: `function.execution.default.work.*.${id}` })
    expect(JSON.parse(Buffer.from(record?.data ?? "").toString()) as ExecutionRecord).toMatchObject({ status: "succeeded", durable: true })
  }, 30_000)

  test("a function is invoked with the result, and an event subject hears it", async () => {
    const subscription = host.nc.subscribe("event.default.order.finished", { max: 1 })
    const [toFunction, toEvent] = [await queue("work", "function:next"), await queue("work", "event:order.finished")]
    await until(() => heard.length > 0, { name: "the function to run", ...WAIT })
    expect(heard).toEqual([{ id: toFunction, data: expect.objectContaining({ invocationId: toFunction, status: "succeeded" }) }])
    for await (const msg of subscription) expect(msg.json()).toMatchObject({ invocationId: toEvent, function: "default/work" })
  }, 30_000)

  test("R-IV-5: a durable execution is recorded when it has ended, with its attempts and when it was queued", async () => {
    const told: string[] = []
    host.nc.subscribe("function.execution.default.broken.running.*", {
      callback: (_error, msg) => void told.push(msg.json<{ attempt: number }>().attempt.toString()),
    })
    await host.nc.flush()
    const id = await queue("broken", "event:any")
    const record = await until(
      () => findMessage(access.inbox, access.names.executions, { nextOf: `function.execution.default.broken.failed.${id}` }),
      { name: "record", ...WAIT },
    )
    const execution = JSON.parse(Buffer.from(record.data).toString()) as ExecutionRecord
    expect(execution).toMatchObject({ id, durable: true, attempt: 2, version: "0.0.1", error: { reason: "FUNCTION_THREW" } })
    expect(Date.parse(execution.queuedAt as string)).toBeLessThanOrEqual(Date.parse(execution.endedAt))
    expect(execution.memoryBytes).toBeGreaterThan(0)
    expect(told).toEqual(["1", "2"])
  }, 30_000)
})
