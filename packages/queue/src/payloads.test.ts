import { randomBytes } from "node:crypto"
import { writeObject } from "@fn/nats"
import { startTestServer, testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { openQueue } from "../test/support.js"
import { queueNames } from "./names.js"
import { MAX_PAYLOAD_BYTES, Payloads } from "./payloads.js"

const SERVERS = await testServers("stored payloads")
const MIB = 1_048_576
const SLOW_MS = 60_000

describe.each(SERVERS)("Payloads on $server", ({ binary }) => {
  test("R-IV-9: data is fetched as it was stored, and deleted without a trace", async () => {
    await using queue = await openQueue({ binary })
    const payloads = new Payloads(queue.access)
    const stream = `OBJ_${queue.access.names.payloads}`
    const data = randomBytes(3 * MIB + 17)
    await payloads.put("one.in", data)
    await payloads.put("empty.in", new Uint8Array(0))
    expect(data.equals(await payloads.get("one.in"))).toBe(true)
    expect(await payloads.get("empty.in")).toEqual(new Uint8Array(0))
    expect(await queue.consumers(stream)).toBe(0)
    for (const name of ["one.in", "empty.in", "one.in", "never.in"]) await payloads.delete(name)
    expect(await queue.messages(stream)).toBe(0)
  })

  test("what is not there is PAYLOAD_NOT_FOUND, what is damaged DIGEST_MISMATCH", async () => {
    await using queue = await openQueue({ binary })
    const payloads = new Payloads(queue.access)
    await expect(payloads.get("never.in")).rejects.toMatchObject({ code: "not_found", reason: "PAYLOAD_NOT_FOUND" })
    await payloads.put("one.in", randomBytes(MIB))
    await queue.jsm.streams.deleteMessage(`OBJ_${queue.access.names.payloads}`, 2)
    await expect(payloads.get("one.in")).rejects.toMatchObject({ code: "data_loss", reason: "DIGEST_MISMATCH" })
  })

  test(
    "R-IV-9: 64 MiB go in and out; more is refused before anything is sent, and not read where somebody else stored it",
    async () => {
      await using queue = await openQueue({ binary })
      const payloads = new Payloads(queue.access)
      const data = Buffer.alloc(MAX_PAYLOAD_BYTES, "0123456789abcdef")
      await payloads.put("largest.in", data)
      expect(data.equals(await payloads.get("largest.in"))).toBe(true)
      await payloads.delete("largest.in")
      const tooMuch = { code: "resource_exhausted", reason: "PAYLOAD_TOO_LARGE", retryable: false }
      await expect(payloads.put("more.in", Buffer.alloc(MAX_PAYLOAD_BYTES + 1))).rejects.toMatchObject(tooMuch)
      expect(await queue.messages(`OBJ_${queue.access.names.payloads}`)).toBe(0)
      const { inbox, names } = queue.access
      const parts = [data, Buffer.alloc(1)]
      await writeObject(inbox, { bucket: names.payloads, name: "more.in" }, parts, { chunkBytes: 524_288 })
      await expect(payloads.get("more.in")).rejects.toMatchObject(tooMuch)
    },
    SLOW_MS,
  )

  test("a bucket without room is STORAGE_FULL, and more than was asked for is not read", async () => {
    await using queue = await openQueue({ binary, maxBytes: 500_000 })
    const payloads = new Payloads(queue.access)
    await expect(payloads.put("one.in", randomBytes(MIB))).rejects.toMatchObject({ reason: "STORAGE_FULL" })
    await payloads.put("two.in", randomBytes(1_000))
    await expect(payloads.get("two.in", { maxBytes: 999 })).rejects.toMatchObject({ reason: "PAYLOAD_TOO_LARGE" })
    expect((await payloads.get("two.in", { maxBytes: 1_000 })).length).toBe(1_000)
  })

  test("a server that takes only small messages gets small ones", async () => {
    await using server = await startTestServer({ binary, config: "max_payload: 4096" })
    await using queue = await openQueue({ binary, server })
    const payloads = new Payloads(queue.access)
    const data = randomBytes(50_000)
    await payloads.put("one.in", data)
    expect(data.equals(await payloads.get("one.in"))).toBe(true)
  })

  test("a platform that was not set up says so", async () => {
    await using queue = await openQueue({ binary })
    const payloads = new Payloads({ ...queue.access, names: queueNames("nobody") })
    await expect(payloads.put("one.in", new Uint8Array(1))).rejects.toMatchObject({ reason: "NOT_SET_UP" })
    await expect(payloads.get("one.in")).rejects.toMatchObject({ reason: "NOT_SET_UP" })
  })
})
