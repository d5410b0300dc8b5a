import { Header, headerBlock, headerLine, MAX_HOPS, newId, readHeaderBlock } from "@fn/core"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { openQueue } from "../test/support.js"
import { enqueue, type InvocationSettings, invocationLines, keyedInvocationId, sequenceId, takeInvocationHeader } from "./invocation.js"

type Mutable = { -readonly [Key in keyof InvocationSettings]?: InvocationSettings[Key] }

/** What the headers in `lines` say, and the names of those that are not ours. */
function read(lines: string): { settings: Mutable; others: string[] } {
  const settings: Mutable = {}
  const others: string[] = []
  readHeaderBlock(headerBlock(lines), (name, value) => {
    if (!takeInvocationHeader(settings, name, value)) others.push(name)
  })
  return { settings, others }
}

const printable = fc.stringMatching(/^[\x21-\x7e]{1,40}$/)
const positive = fc.integer({ min: 1, max: 2 ** 50 })
const settingsOf = fc.record(
  {
    invocationId: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
    version: printable,
    timeoutMs: positive,
    notBefore: positive,
    maxAgeMs: positive,
    callback: printable,
    replyTo: printable,
    keyed: fc.constant(true as const),
    spilled: fc.constant(true as const),
    hops: fc.integer({ min: 1, max: MAX_HOPS }),
  },
  { requiredKeys: ["invocationId"] },
)

describe("headers of a queued invocation", () => {
  test("say what they were made of, and nothing else", () => {
    fc.assert(
      fc.property(settingsOf, (settings) => {
        const { settings: back, others } = read(invocationLines(settings))
        expect(back).toEqual(settings)
        expect(others).toEqual(["Nats-Msg-Id"])
      }),
    )
  })

  test("never break a reader, whatever somebody wrote into them, and leave an event's own alone", () => {
    const name = fc.oneof(fc.constantFrom(...Object.values(Header)), fc.stringMatching(/^ce-[a-z]{1,8}$/))
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), (headers) => {
        const lines = headers.map(([header, value]) => headerLine(header, value.replace(/[\r\n]/g, " "))).join("")
        const { settings, others } = read(lines)
        for (const number of [settings.timeoutMs, settings.notBefore, settings.maxAgeMs])
          expect(number === undefined || (Number.isFinite(number) && number > 0)).toBe(true)
        expect(settings.invocationId === undefined || /^[A-Za-z0-9_-]{1,64}$/.test(settings.invocationId)).toBe(true)
        expect(settings.hops === undefined || settings.hops <= MAX_HOPS + 1).toBe(true)
        for (const [header] of headers) if (header.startsWith("ce-")) expect(others).toContain(header)
      }),
    )
  })
})

describe("ids of invocations", () => {
  const ref = { namespace: "default", name: "charge" }

  test("R-IV-10: the same namespace, function and key give the same id, all else another", () => {
    const id = keyedInvocationId(ref, "order-1")
    expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(keyedInvocationId({ ...ref, version: "1.0.0" }, "order-1")).toBe(id)
    const others = [
      keyedInvocationId(ref, "order-2"),
      keyedInvocationId({ ...ref, name: "refund" }, "order-1"),
      keyedInvocationId({ ...ref, namespace: "team" }, "order-1"),
      keyedInvocationId({ namespace: "default", name: "chargeo" }, "rder-1"),
    ]
    expect(new Set([id, ...others]).size).toBe(5)
    expect(newId()).toHaveLength(id.length)
  })

  test("an invocation that was stored without one is named by its place", () => {
    expect(sequenceId(41)).toBe("q41")
  })
})

describe.each(await testServers("the queue"))("enqueue on $server", ({ binary }) => {
  const ref = { namespace: "team", name: "charge" }

  test("R-IV-3: an invocation is in the queue once it resolves, and once only", async () => {
    await using queue = await openQueue({ binary })
    const lines = invocationLines({ invocationId: "one" }) + headerLine("ce-id", "e1")
    const first = await enqueue(queue.access, { ref, lines, data: Buffer.from("event") })
    expect(first).toMatchObject({ stream: "FUNCTION_QUEUE", seq: 1, duplicate: false })
    expect(await enqueue(queue.access, { ref, lines })).toMatchObject({ seq: 1, duplicate: true })
    const stored = await queue.jsm.streams.getMessage("FUNCTION_QUEUE", { seq: 1 })
    expect([stored?.subject, stored?.string(), stored?.header.get("ce-id")]).toEqual(["function.queue.team.charge", "event", "e1"])
  })

  test("R-IV-7: a function that has all it may have in the queue is QUEUE_FULL", async () => {
    await using queue = await openQueue({ binary, maxPending: 1 })
    await enqueue(queue.access, { ref, lines: invocationLines({ invocationId: "one" }) })
    await expect(enqueue(queue.access, { ref, lines: invocationLines({ invocationId: "two" }) })).rejects.toMatchObject({
      code: "resource_exhausted",
      reason: "QUEUE_FULL",
      message: expect.stringContaining("team/charge"),
    })
    await enqueue(queue.access, { ref: { ...ref, name: "other" }, lines: invocationLines({ invocationId: "three" }) })
  })

  test("a queue of another prefix is another queue", async () => {
    await using queue = await openQueue({ binary, prefix: "blue" })
    expect(await enqueue(queue.access, { ref, lines: invocationLines({ invocationId: "one" }) })).toMatchObject({ stream: "blue-QUEUE" })
  })
})
