import { FnError, Header } from "@fn/core"
import { keyedInvocationId } from "@fn/queue"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startDurablePlatform } from "../../test/platform.js"
import { connectClient } from "../index.js"

const asked = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const
const event = { ...asked, data: { n: 1 } }

describe("R-IV-5: invokeAsync", () => {
  test("stores the event with what a host needs, and gives the id once the stream has it", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge", { namespace: "shop" })
    const id = await client.invokeAsync("shop/charge@stable", event)
    expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/)
    const [stored] = await queue.waiting("shop/charge")
    expect(stored).toMatchObject({ invocationId: id, subject: "function.queue.shop.charge", event: { attributes: asked } })
    expect(JSON.parse(Buffer.from(stored?.event.data ?? []).toString())).toEqual({ n: 1 })
    expect(Object.fromEntries(stored?.headers ?? [])).toMatchObject({ [Header.version]: "stable", [Header.accept]: "payload-ref" })
    for (const header of [Header.timeoutMs, Header.notBefore, Header.maxAgeMs, Header.callback, Header.idempotencyKey])
      expect(stored?.headers.has(header)).toBe(false)
  })

  test("carries delay, age, time-out and callback", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    const before = Date.now()
    const at = new Date(before + 60_000)
    await client.invokeAsync("charge", event, { delayMs: 5_000, maxAgeMs: 600_000, timeoutMs: 1_500, callback: "event:shop.charged" })
    await client.invokeAsync("charge", event, { at, callback: "function:shop/notify" })
    await client.invokeAsync("charge", event, { at: at.toISOString(), callback: "https://example.com/hook?a=1" })
    const [delayed, later, iso] = await queue.waiting("charge")
    expect(Object.fromEntries(delayed?.headers ?? [])).toMatchObject({
      [Header.maxAgeMs]: "600000",
      [Header.timeoutMs]: "1500",
      [Header.callback]: "event:shop.charged",
    })
    expect(Number(delayed?.headers.get(Header.notBefore))).toBeGreaterThanOrEqual(before + 5_000)
    expect(Number(delayed?.headers.get(Header.notBefore))).toBeLessThanOrEqual(Date.now() + 5_000)
    expect(later?.headers.get(Header.notBefore)).toBe(String(at.getTime()))
    expect(iso?.headers.get(Header.notBefore)).toBe(String(at.getTime()))
  })

  test("a time that has passed is no delay", async () => {
    await using platform = await startDurablePlatform()
    await platform.deploy("charge")
    await platform.client.invokeAsync("charge", event, { at: new Date(Date.now() - 1_000) })
    await platform.client.invokeAsync("charge", event, { delayMs: 0 })
    const stored = await platform.queue.waiting("charge")
    expect(stored.map(({ headers }) => headers.has(Header.notBefore))).toEqual([false, false])
  })

  test.each([
    ["a negative delay", { delayMs: -1 }],
    ["a delay of more than 30 days", { delayMs: 31 * 86_400_000 }],
    ["delay and time", { delayMs: 1, at: new Date() }],
    ["a time that is none", { at: "tomorrow" }],
    ["a time of NaN", { at: new Date(Number.NaN) }],
    ["an age of 0", { maxAgeMs: 0 }],
    ["an endless time-out", { timeoutMs: Number.POSITIVE_INFINITY }],
    ["an empty key", { idempotencyKey: "" }],
    ["a key of 2000 characters", { idempotencyKey: "k".repeat(2_000) }],
    ["a callback to a file", { callback: "file:///etc/passwd" }],
    ["a callback without a host", { callback: "https://" }],
    ["a callback to no event", { callback: "event:" }],
    ["a callback of two lines", { callback: "https://x\r\nFn-Version: 1" }],
  ])("refuses %s before anything is sent", async (_case, options) => {
    await using platform = await startDurablePlatform()
    await platform.deploy("charge")
    await expect(platform.client.invokeAsync("charge", event, options)).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    expect(await platform.queue.waiting("charge")).toEqual([])
  })

  test("refuses an unknown function at the door: nothing is stored", async () => {
    await using platform = await startDurablePlatform()
    await expect(platform.client.invokeAsync("nowhere", event)).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
    await expect(platform.client.invokeAsync("charge", event, { callback: "function:no.name" })).rejects.toMatchObject({
      code: "invalid_argument",
    })
    expect(await platform.queue.waiting("nowhere")).toEqual([])
  })

  test("a queue that is full refuses with QUEUE_FULL, which repeating may mend", async () => {
    await using platform = await startDurablePlatform({ setup: { maxPending: 2 } })
    const { client, queue } = platform
    await platform.deploy("charge")
    await platform.deploy("other")
    await client.invokeAsync("charge", event)
    await client.invokeAsync("charge", event)
    await expect(client.invokeAsync("charge", event)).rejects.toMatchObject({
      code: "resource_exhausted",
      reason: "QUEUE_FULL",
      retryable: true,
    })
    await client.invokeAsync("other", event)
    await queue.take("charge")
    await client.invokeAsync("charge", event)
  })

  test("an acknowledgement that does not come is asked for again, and the invocation stored once", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, server } = platform
    await platform.deploy("charge")
    await client.invokeAsync("charge", event)
    await server.freeze()
    const storing = client.invokeAsync("charge", event)
    // Both tries have gone out by then, and the server reads them one after the other.
    const sentBefore = platform.nc.stats().outMsgs
    await until(() => platform.nc.stats().outMsgs > sentBefore + 1, { name: "a second try", timeoutMs: 10_000 })
    server.thaw()
    const id = await storing
    expect((await queue.waiting("charge")).map(({ invocationId }) => invocationId)).toEqual([expect.any(String), id])
  }, 30_000)

  test("made while disconnected it waits for the server for up to two seconds", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, server } = platform
    await platform.deploy("charge")
    await client.invokeAsync("charge", event)
    await server.kill()
    await expect(client.invokeAsync("charge", event)).rejects.toMatchObject({ code: "unavailable", reason: "DISCONNECTED" })
    const storing = client.invokeAsync("charge", event)
    await server.restart()
    await storing
    expect(await queue.waiting("charge")).toHaveLength(2)
  }, 30_000)

  test("without the streams it says that the platform is not there", async () => {
    await using platform = await startDurablePlatform({ setup: { print: true } })
    await platform.deploy("charge")
    await expect(platform.client.invokeAsync("charge", event)).rejects.toMatchObject({
      code: "unavailable",
      reason: "JETSTREAM_UNAVAILABLE",
    })
  }, 20_000)

  test("with a key the id follows from namespace, function and key, and repeats are stored once", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    await platform.deploy("refund")
    const ids = await Promise.all(
      Array.from({ length: 5 }, () => client.invokeAsync("charge", event, { idempotencyKey: "order 1 / größe" })),
    )
    const id = keyedInvocationId({ namespace: "default", name: "charge" }, "order 1 / größe")
    expect(new Set(ids)).toEqual(new Set([id]))
    const stored = await queue.waiting("charge")
    expect(stored.map(({ invocationId, headers }) => [invocationId, headers.get(Header.idempotencyKey)])).toEqual([[id, "1"]])
    expect(await client.invokeAsync("refund", event, { idempotencyKey: "order 1 / größe" })).not.toBe(id)
  })

  test("IV-7: a function's own maxPending holds for every caller, softly: what waits is counted once a second", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, server } = platform
    await platform.deploy("charge", { maxPending: 2 })
    await using other = await connectClient({ nc: await server.connect(), registry: platform.registry })
    await client.invokeAsync("charge", event)
    await client.invokeAsync("charge", event)
    // Its first look is exact.
    await expect(other.invokeAsync("charge", event)).rejects.toMatchObject({ code: "resource_exhausted", reason: "QUEUE_FULL" })
    await expect(other.invoke("charge", event, { idempotencyKey: "k" })).rejects.toMatchObject({ reason: "QUEUE_FULL" })
    await until(async () => (await refusalOf(client.invokeAsync("charge", event)))?.reason === "QUEUE_FULL", { name: "a refusal" })
    const waiting = await queue.waiting("charge")
    for (const _ of waiting) await queue.take("charge")
    await until(async () => (await refusalOf(other.invokeAsync("charge", event))) === undefined, { name: "room" })
  }, 20_000)
})

describe("OB-1: instruments", () => {
  test("hear of stored invocations and of those that were refused", async () => {
    const heard: string[] = []
    const instruments = { invocation: (key: string, code: string) => heard.push(`${key} ${code}`) } as never
    await using platform = await startDurablePlatform({ client: { instruments } })
    await platform.deploy("charge")
    await platform.client.invokeAsync("charge", event)
    await platform.client.invokeAsync("nowhere", event).catch(() => undefined)
    expect(heard).toEqual(["default/charge ok", "unknown not_found"])
  })
})

async function refusalOf(storing: Promise<string>): Promise<FnError | undefined> {
  try {
    await storing
    return undefined
  } catch (thrown) {
    return FnError.from(thrown)
  }
}
