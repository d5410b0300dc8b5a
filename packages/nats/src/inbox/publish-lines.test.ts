import { headerLine } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { startFixture } from "../../test/support.js"
import { publishLines } from "./publish-lines.js"

describe("publishLines", () => {
  test("what it publishes is what the client's own publish would, byte for byte", async () => {
    await using server = await startFixture()
    const nc = await server.connect()
    const received = nc.subscribe("a.>", { max: 4 })
    publishLines(nc, "a.one", headerLine("Fn-X", "1") + headerLine("ce-id", "e1"), Buffer.from("payload"), "_INBOX.reply")
    publishLines(nc, "a.two", "", new Uint8Array(0))
    publishLines(nc, "a.three", headerLine("n", 1), Buffer.from([0, 255, 13, 10]))
    publishLines(nc, "a.grüße", headerLine("n", 2), Buffer.from("x"))
    const seen: unknown[] = []
    for await (const msg of received) seen.push([msg.subject, msg.reply ?? "", msg.headers?.keys(), msg.headers?.get("n"), [...msg.data]])
    expect(seen).toEqual([
      ["a.one", "_INBOX.reply", ["Fn-X", "ce-id"], "", [...Buffer.from("payload")]],
      ["a.two", "", [], "", []],
      ["a.three", "", ["n"], "1", [0, 255, 13, 10]],
      ["a.grüße", "", ["n"], "2", [120]],
    ])
    expect(nc.stats().outMsgs).toBe(4)
  })

  test("a message over max_payload, a bad subject and a closed connection are refused as by the public API", async () => {
    await using server = await startFixture({ maxPayload: 1000 })
    const nc = await server.connect()
    expect(() => publishLines(nc, "a", headerLine("n", 1), new Uint8Array(1000))).toThrow(
      expect.objectContaining({ reason: "PAYLOAD_TOO_LARGE" }),
    )
    expect(() => publishLines(nc, "a b", "", new Uint8Array(0))).toThrow()
    expect(() => publishLines(nc, "", "", new Uint8Array(0))).toThrow()
    await nc.close()
    expect(() => publishLines(nc, "a", "", new Uint8Array(0))).toThrow(expect.objectContaining({ reason: "DISCONNECTED" }))
  })
})
