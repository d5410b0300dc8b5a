import { randomBytes } from "node:crypto"
import { BATCH_TYPE, encodeBatch, Header, headerLine, newId, type WireEvent } from "@fn/core"
import { findMessage, requestApi } from "@fn/nats"
import { CLAIM_CHECK_BYTES, MAX_PAYLOAD_BYTES, payloadLines } from "@fn/queue"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import type { ReceivedCall } from "../test/peer.js"
import { type DurablePlatform, startDurablePlatform, startPlatform } from "../test/platform.js"

const BUCKET = "function-PAYLOADS"
const asked = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const
const large = new Uint8Array(randomBytes(CLAIM_CHECK_BYTES))

/** Name of the object that a message's headers name. */
function nameIn(headers: ReadonlyMap<string, string>): string {
  const ref = headers.get(Header.payloadRef) ?? ""
  expect(ref.startsWith(`obj:${BUCKET}/`)).toBe(true)
  return ref.slice(`obj:${BUCKET}/`.length)
}

async function gone(platform: DurablePlatform, name: string): Promise<void> {
  await until(() => platform.queue.payloads.get(name).then(...notThere), { name: `${name} to be deleted` })
}
const notThere = [() => false, (error: { reason?: string }) => error.reason === "PAYLOAD_NOT_FOUND"] as const

/** Lines of a binary event without data. */
function eventLines(data: string): string {
  return `${headerLine("ce-id", "2")}${headerLine("ce-source", "/f")}${headerLine("ce-type", "test.large")}${headerLine("ce-specversion", "1.0")}${data}`
}

describe("R-IV-9: events too large for a message", () => {
  test("a call's data of 256 KiB is stored, named in the message, and deleted when the call has ended", async () => {
    await using platform = await startDurablePlatform()
    const { client, peer, queue } = platform
    await platform.deploy("resize")
    let seen: Uint8Array | undefined
    await peer.serve("function.js.resize", (call) => {
      void queue.payloads.get(nameIn(call.headers)).then((data) => {
        seen = data
        call.events([])
      })
    })
    expect(await client.invoke("resize", { ...asked, datacontenttype: "image/png", data: large })).toEqual([])
    const [call] = peer.calls as [ReceivedCall]
    expect(nameIn(call.headers)).toBe(`${call.invocationId}.in`)
    expect(call.event).toMatchObject({ attributes: { ...asked, datacontenttype: "image/png" }, data: undefined })
    expect(Object.fromEntries(call.headers)).toMatchObject({
      [Header.payloadSize]: String(large.length),
      [Header.payloadType]: "image/png",
      [Header.accept]: "started payload-ref",
    })
    expect(Buffer.compare(seen ?? Buffer.alloc(0), large)).toBe(0)
    await gone(platform, `${call.invocationId}.in`)
  }, 20_000)

  test("data just below stays in the message", async () => {
    await using platform = await startDurablePlatform()
    await platform.deploy("resize")
    await platform.peer.serve("function.js.resize", (call) => call.events([]))
    await platform.client.invoke("resize", { ...asked, data: large.subarray(1) })
    expect(platform.peer.calls[0]?.event.data).toHaveLength(CLAIM_CHECK_BYTES - 1)
    expect(platform.peer.calls[0]?.headers.has(Header.payloadRef)).toBe(false)
  })

  test("a message over the server's limit is stored apart, however small its data", async () => {
    await using platform = await startDurablePlatform({ server: { maxPayload: 65_536 } })
    await platform.deploy("resize")
    await platform.peer.serve("function.js.resize", (call) => call.events([]))
    await platform.client.invoke("resize", { ...asked, data: large.subarray(0, 65_500) })
    expect(platform.peer.calls[0]?.headers.get(Header.payloadSize)).toBe("65500")
  })

  test("a call that ends without an answer leaves no object behind", async () => {
    await using platform = await startDurablePlatform()
    const { client, peer } = platform
    await platform.deploy("resize")
    await peer.serve("function.js.resize", () => undefined)
    await expect(client.invoke("resize", { ...asked, data: large }, { timeoutMs: 400 })).rejects.toMatchObject({
      code: "deadline_exceeded",
    })
    await gone(platform, nameIn(peer.calls[0]?.headers ?? new Map()))
  }, 20_000)

  test("data of more than 64 MiB is refused before anything is stored", async () => {
    await using platform = await startDurablePlatform()
    const { client } = platform
    await platform.deploy("resize")
    const wire: WireEvent = { attributes: asked, data: new Uint8Array(MAX_PAYLOAD_BYTES + 1) }
    const expected = { code: "resource_exhausted", reason: "PAYLOAD_TOO_LARGE", retryable: false }
    await expect(client.invokeWire("resize", wire)).rejects.toMatchObject(expected)
    await expect(client.invokeAsyncWire("resize", wire)).rejects.toMatchObject(expected)
    await expect(client.invokeWire("resize", wire, { idempotencyKey: "k" })).rejects.toMatchObject(expected)
  }, 20_000)

  test("where nothing can be stored, a message carries what the server takes", async () => {
    await using platform = await startPlatform()
    await platform.deploy("resize")
    await platform.peer.serve("function.js.resize", (call) => call.events([]))
    await platform.client.invoke("resize", { ...asked, data: large })
    expect(platform.peer.calls[0]?.event.data).toHaveLength(large.length)
    await expect(platform.client.invoke("resize", { ...asked, data: new Uint8Array(1_100_000) })).rejects.toMatchObject({
      reason: "PAYLOAD_TOO_LARGE",
      details: { limitBytes: 1_048_576 },
    })
  }, 20_000)

  test("a stored invocation names its object, which stays until a host has finished", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("resize")
    const id = await client.invokeAsync("resize", { ...asked, data: large })
    const stored = await queue.take("resize")
    expect(nameIn(stored.headers)).toBe(`${id}.in`)
    expect(stored.event.data).toBeUndefined()
    expect(Buffer.compare(await queue.payloads.get(`${id}.in`), large)).toBe(0)
  }, 20_000)

  test("one that the queue refuses leaves no object behind, and none that is large may wait for longer than a day", async () => {
    await using platform = await startDurablePlatform({ setup: { maxPending: 1 } })
    const { client, queue } = platform
    await platform.deploy("resize")
    await client.invokeAsync("resize", asked)
    await expect(client.invokeAsync("resize", { ...asked, data: large })).rejects.toMatchObject({ reason: "QUEUE_FULL" })
    await until(async () => (await objectsOf(platform)).length === 0, { name: "its object to be deleted" })
    const { state } = await requestApi<{ state: { last_seq: number } }>(queue.access.inbox, `STREAM.INFO.OBJ_${BUCKET}`)
    expect(state.last_seq).toBeGreaterThan(0)
    await expect(client.invokeAsync("resize", { ...asked, data: large }, { delayMs: 90_000_000 })).rejects.toMatchObject({
      reason: "PAYLOAD_TOO_LARGE",
    })
    expect(await queue.waiting("resize")).toHaveLength(1)
  }, 20_000)

  test("who calls with one key at the same time uploads an object each, and only the one that is named stays", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("resize")
    const calls = [1, 2, 3].map(() => client.invokeAsync("resize", { ...asked, data: large }, { idempotencyKey: "k" }))
    const [id] = await Promise.all(calls)
    const stored = await queue.take("resize")
    const name = nameIn(stored.headers)
    expect(name).toMatch(new RegExp(`^${id}\\.[A-Za-z0-9_-]{22}\\.in$`))
    await until(async () => (await objectsOf(platform)).length === 1, { name: "one object" })
    expect(Buffer.compare(await queue.payloads.get(name), large)).toBe(0)
  }, 20_000)
})

describe("R-IV-9: replies and results too large for a message", () => {
  test("a reply's data is read from its object, which is deleted then", async () => {
    await using platform = await startDurablePlatform()
    const { client, peer, queue } = platform
    await platform.deploy("render")
    await peer.serve("function.js.render", (call) => {
      const name = `${call.invocationId}.out`
      void queue.payloads.put(name, large).then(() => {
        const where = payloadLines({ bucket: BUCKET, name }, large.length, "image/png")
        call.raw(headerLine(Header.events, 1) + eventLines(where), "")
      })
    })
    const [event] = await client.invoke("render", asked)
    expect(event).toMatchObject({ id: "2", type: "test.large", datacontenttype: "image/png" })
    expect(Buffer.compare(event?.data as Uint8Array, large)).toBe(0)
    await gone(platform, `${peer.calls[0]?.invocationId}.out`)
  }, 20_000)

  test("a batch that is stored apart is read as the batch it is", async () => {
    await using platform = await startDurablePlatform()
    const { client, peer, queue } = platform
    await platform.deploy("render")
    const events: WireEvent[] = [1, 2].map((n) => ({ attributes: { ...asked, id: `${n}` }, data: large }))
    await peer.serve("function.js.render", (call) => {
      const name = `${call.invocationId}.out`
      const batch = Buffer.from(encodeBatch(events))
      void queue.payloads.put(name, batch).then(() => {
        call.raw(headerLine(Header.events, 2) + payloadLines({ bucket: BUCKET, name }, batch.length, BATCH_TYPE), "")
      })
    })
    const got = await client.invokeWire("render", { attributes: asked, data: undefined })
    expect(got.map(({ attributes }) => attributes.id)).toEqual(["1", "2"])
    expect(got.map(({ data }) => data?.length)).toEqual([large.length, large.length])
  }, 20_000)

  test("a result's data stays for the next who asks", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    await queue.payloads.put(`${id}.out`, large)
    const lines = payloadLines({ bucket: BUCKET, name: `${id}.out` }, large.length)
    await queue.succeed(id, [{ attributes: { ...asked, datacontenttype: "image/png" }, data: undefined }], { lines })
    for (let reads = 0; reads < 2; reads++) {
      const [event] = await client.result(id)
      expect(Buffer.compare(event?.data as Uint8Array, large)).toBe(0)
    }
    expect(await client.status(id)).toMatchObject({ status: "succeeded" })
  }, 20_000)

  test.each([
    ["whose object is gone", `obj:${BUCKET}/gone.out`, "PAYLOAD_NOT_FOUND"],
    ["in somebody else's bucket", "obj:function-ARTIFACTS-default/x", "BAD_OUTPUT"],
    ["that is no reference", "https://example.com/x", "BAD_OUTPUT"],
  ])("a reply %s fails", async (_case, ref, reason) => {
    await using platform = await startDurablePlatform()
    await platform.deploy("render")
    await platform.peer.serve("function.js.render", (call) => call.raw(eventLines(headerLine(Header.payloadRef, ref)), ""))
    await expect(platform.client.invoke("render", asked)).rejects.toMatchObject({ reason })
  })
})

/** Names of the objects in the bucket. */
async function objectsOf({ queue }: DurablePlatform): Promise<string[]> {
  const names: string[] = []
  for (let from = 1; ; ) {
    const meta = await findMessage(queue.access.inbox, `OBJ_${BUCKET}`, { nextOf: `$O.${BUCKET}.M.>`, from })
    if (!meta) return names
    const { name, deleted } = JSON.parse(Buffer.from(meta.data).toString()) as { name: string; deleted?: boolean }
    if (!deleted) names.push(name)
    from = meta.seq + 1
  }
}
