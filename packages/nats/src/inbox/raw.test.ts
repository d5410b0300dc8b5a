import { headerBlock, headerLine, readHeaderBlock } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { headers, type Msg } from "@nats-io/transport-node"
import { startFixture } from "../../test/support.js"
import { isNoResponders, publishRaw, rawHeaders, subjectNumber } from "./raw.js"
import { isReplySubject } from "./reply-subject.js"

/** The message as it would be if the client kept its bytes elsewhere. */
function withoutLayout(msg: Msg): Msg {
  const { subject, reply, data, headers: parsed } = msg
  return { subject, reply, data, headers: parsed, string: () => msg.string() } as unknown as Msg
}

function linesOf(msg: Msg): [string, string][] {
  const lines: [string, string][] = []
  const block = rawHeaders(msg)
  if (block) readHeaderBlock(block, (name, value) => lines.push([name, value]))
  return lines
}

describe("raw messages", () => {
  test("header bytes come out as the client would parse them, by its layout and by its public API", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const heard: Msg[] = []
    nc.subscribe("in", { callback: (_refused, msg) => void heard.push(msg) })
    const sent = headers()
    sent.set("ce-id", "1")
    sent.append("Twice", "a")
    sent.append("Twice", "b")
    nc.publish("in", "body", { headers: sent })
    nc.publish("in", "none")
    publishRaw(nc, "in", Buffer.from("raw"), { headerBlock: headerBlock(headerLine("Fn-Version", "1.2.0")), reply: "_INBOX.x" })
    await nc.flush()

    const [parsed, none, raw] = heard as [Msg, Msg, Msg]
    const expected = [
      ["ce-id", "1"],
      ["Twice", "a"],
      ["Twice", "b"],
    ]
    expect(linesOf(parsed)).toEqual(expected)
    expect(linesOf(withoutLayout(parsed))).toEqual(expected)
    expect(rawHeaders(none)).toBeUndefined()
    expect(rawHeaders(withoutLayout(none))).toBeUndefined()
    expect(raw.headers?.get("Fn-Version")).toBe("1.2.0")
    expect(raw.string()).toBe("raw")
    expect(raw.reply).toBe("_INBOX.x")
  })

  test("a message's header block can be passed on as it is", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const heard: Msg[] = []
    nc.subscribe("first", { callback: (_refused, msg) => publishRaw(nc, "second", msg.data, { headerBlock: rawHeaders(msg) }) })
    nc.subscribe("second", { callback: (_refused, msg) => void heard.push(msg) })
    publishRaw(nc, "first", "data", { headerBlock: headerBlock(headerLine("A", "1") + headerLine("B", "2")) })
    await nc.flush()
    await nc.flush()
    expect(linesOf(heard[0] as Msg)).toEqual([
      ["A", "1"],
      ["B", "2"],
    ])
    expect(heard[0]?.string()).toBe("data")
  })

  test("only the server's own notice counts as no responders", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const heard: Msg[] = []
    nc.subscribe("_INBOX.mine", { callback: (_refused, msg) => void heard.push(msg) })
    nc.publish("nobody", "", { reply: "_INBOX.mine" })
    await nc.flush()
    publishRaw(nc, "_INBOX.mine", undefined, { headerBlock: headerBlock(headerLine("Status", 503)) })
    publishRaw(nc, "_INBOX.mine", undefined)
    nc.publish("_INBOX.mine", "503", { headers: headers(503, "custom") })
    await nc.flush()
    expect(heard.map(isNoResponders)).toEqual([true, false, false, false])
    expect(heard.map((msg) => isNoResponders(withoutLayout(msg)))).toEqual([true, false, false, false])
    expect(Buffer.from(rawHeaders(withoutLayout(heard[0] as Msg)) ?? []).toString()).toMatch(/^NATS\/1\.0 503/)
  })

  test("the number at the end of a subject is read either way", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const heard: Msg[] = []
    nc.subscribe("n.*", { callback: (_refused, msg) => void heard.push(msg) })
    for (const last of ["0", "7", "4294967296123", "x7"]) nc.publish(`n.${last}`)
    await nc.flush()
    expect(heard.map((msg) => subjectNumber(msg, 2))).toEqual([0, 7, 4294967296123, Number.NaN])
    expect(heard.map((msg) => subjectNumber(withoutLayout(msg), 2))).toEqual([0, 7, 4294967296123, Number.NaN])
  })

  test("publishing on a closed connection fails with DISCONNECTED", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    await nc.close()
    expect(() => publishRaw(nc, "any", "x")).toThrow(expect.objectContaining({ reason: "DISCONNECTED" }))
  })
})

describe("isReplySubject", () => {
  test.each([
    ["_INBOX.abc.1", true],
    ["_INBOX_worker.1", true],
    ["_R_.abc", true],
    ["$KV.functions.f.default.hello", false],
    ["$JS.API.STREAM.DELETE.KV_functions", false],
    ["function.js.hello", false],
    ["event.default.x", false],
    ["", false],
    [undefined, false],
  ])("%p: %p", (subject, expected) => {
    expect(isReplySubject(subject)).toBe(expected)
  })
})
