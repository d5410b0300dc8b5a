import { newId } from "@fn/core"
import { requestApi } from "@fn/nats"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type OpenQueue, openQueue } from "../test/support.js"
import { enqueue, invocationLines } from "./invocation.js"
import { consumerName, queueNames } from "./names.js"
import { queueStats } from "./queue-stats.js"

const SERVERS = await testServers("how the queue stands")

async function fill(queue: OpenQueue, namespace: string, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await enqueue(queue.access, { ref: { namespace, name }, lines: invocationLines({ invocationId: newId() }), data: Buffer.from("event") })
  }
}

/** A consumer as hosts make it. */
async function addConsumer(queue: OpenQueue, namespace: string, name: string): Promise<string> {
  const { inbox, names } = queue.access
  const consumer = consumerName({ namespace, name })
  const subject = names.subjects.queue({ namespace, name })
  const config = { name: consumer, durable_name: consumer, filter_subject: subject, ack_policy: "explicit", ack_wait: 60e9, max_deliver: 5 }
  await requestApi(inbox, `CONSUMER.CREATE.${names.queue}.${consumer}.${subject}`, { body: { stream_name: names.queue, config } })
  return consumer
}

/** Takes `count` messages as a host does, and says how to answer. */
async function pull(queue: OpenQueue, consumer: string, count: number): Promise<((answer: string) => Promise<unknown>)[]> {
  const { nc, access } = queue
  const answers: ((answer: string) => Promise<unknown>)[] = []
  for (let i = 0; i < count; i++) {
    const msg = await nc.request(`$JS.API.CONSUMER.MSG.NEXT.${access.names.queue}.${consumer}`, `{"batch":1,"expires":5000000000}`, {
      noMux: true,
      timeout: 5_000,
    })
    answers.push((answer) => nc.request(msg.reply ?? "", answer))
  }
  return answers
}

describe.each(SERVERS)("queueStats on $server", ({ binary }) => {
  test("OB-1: says of each function what waits, what is delivered and what came again", async () => {
    await using queue = await openQueue({ binary })
    await fill(queue, "default", "busy", 5)
    await fill(queue, "team", "idle", 2)
    const consumer = await addConsumer(queue, "default", "busy")
    await addConsumer(queue, "default", "done")
    const [first, second, third] = await pull(queue, consumer, 3)
    await first?.("+ACK")
    await second?.("-NAK")
    const [again] = await pull(queue, consumer, 1)
    expect([again, third].every((answer) => answer !== undefined)).toBe(true)
    const stats = await queueStats(queue.access)
    expect(stats).toMatchObject({ messages: 6, maxBytes: 1_073_741_824 })
    expect(stats.bytes).toBeGreaterThan(6 * 50)
    const age = { oldestAt: expect.stringMatching(/^20\d\d-.*Z$/), oldestAgeMs: expect.any(Number) }
    expect(stats.functions).toEqual([
      { namespace: "default", name: "busy", depth: 4, delivered: 2, pending: 2, redelivered: 1, hasConsumer: true, ...age },
      { namespace: "default", name: "done", depth: 0, delivered: 0, pending: 0, redelivered: 0, hasConsumer: true },
      { namespace: "team", name: "idle", depth: 2, delivered: 0, pending: 2, redelivered: 0, hasConsumer: false, ...age },
    ])
  })

  test("is asked of one namespace, one function, or all", async () => {
    await using queue = await openQueue({ binary })
    for (const [namespace, name] of [
      ["default", "a"],
      ["default", "b"],
      ["team", "a"],
    ] as const)
      await fill(queue, namespace, name, 1)
    await addConsumer(queue, "team", "a")
    const asked = async (filter: { namespace?: string; name?: string }): Promise<string[]> =>
      (await queueStats(queue.access, filter)).functions.map(({ namespace, name }) => `${namespace}/${name}`)
    expect(await asked({})).toEqual(["default/a", "default/b", "team/a"])
    expect(await asked({ namespace: "default" })).toEqual(["default/a", "default/b"])
    expect(await asked({ name: "a" })).toEqual(["default/a", "team/a"])
    expect(await asked({ namespace: "team", name: "a" })).toEqual(["team/a"])
    expect(await asked({ namespace: "team", name: "nobody" })).toEqual([])
    expect((await queueStats(queue.access, { name: "nobody" })).messages).toBe(3)
    await expect(asked({ name: "No Name" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
  })

  test("an empty queue has nothing, and one that is not there is NOT_SET_UP", async () => {
    await using queue = await openQueue({ binary })
    expect(await queueStats(queue.access)).toEqual({ functions: [], messages: 0, bytes: 0, maxBytes: 1_073_741_824 })
    await expect(queueStats({ ...queue.access, names: queueNames("nobody") })).rejects.toMatchObject({ reason: "NOT_SET_UP" })
  })

  test("more consumers and functions than one answer of the server holds are all there", async () => {
    await using queue = await openQueue({ binary })
    const names = Array.from({ length: 300 }, (_, i) => `f${String(i).padStart(3, "0")}`)
    // Some at a time: each has a file on the server's disk.
    for (let at = 0; at < names.length; at += 20) {
      const some = names.slice(at, at + 20)
      await Promise.all(some.map((name) => fill(queue, "default", name, 1)))
      await Promise.all(some.map((name) => addConsumer(queue, "default", name)))
    }
    const { functions } = await queueStats(queue.access)
    expect(functions.map(({ name }) => name)).toEqual(names)
    expect(functions.every(({ hasConsumer, depth, oldestAt }) => hasConsumer && depth === 1 && oldestAt !== undefined)).toBe(true)
  }, 60_000)
})
