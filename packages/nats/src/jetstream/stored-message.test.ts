import { headerLine } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { serverBinaries, startFixture, until } from "../../test/support.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import { publishAcked } from "./publish.js"
import { deleteMessage, findMessage } from "./stored-message.js"

const SERVERS = await serverBinaries("reading messages of streams")
const WAYS = SERVERS.flatMap(({ server, binary }) => [
  { server, binary, from: "any replica", fromLeader: false },
  { server, binary, from: "the leader", fromLeader: true },
])

test.each(SERVERS)("deleteMessage on $server takes away one message, and does not mind when it is gone", async ({ binary }) => {
  await using fixture = await startFixture({ binary })
  const nc = await fixture.connect()
  const jsm = await jetstreamManager(nc)
  await jsm.streams.add({ name: "KEPT", subjects: ["kept.>"] })
  using inbox = new ReplyInbox(nc)
  for (const data of ["1", "2"]) await publishAcked(inbox, "kept.a", { data })
  for (const seq of [1, 1, 7]) await deleteMessage(inbox, "KEPT", seq)
  expect((await jsm.streams.info("KEPT")).state).toMatchObject({ messages: 1, first_seq: 2 })
  await expect(deleteMessage(inbox, "NOWHERE", 1)).rejects.toMatchObject({ reason: "NOT_SET_UP" })
})

describe.each(WAYS)("findMessage on $server from $from", ({ binary, fromLeader }) => {
  async function openStream() {
    const fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    const jsm = await jetstreamManager(nc)
    await jsm.streams.add({ name: "KEPT", subjects: ["kept.>"], allow_direct: true })
    const inbox = new ReplyInbox(nc)
    const close = async (): Promise<void> => {
      inbox.dispose()
      await fixture[Symbol.asyncDispose]()
    }
    return { fixture, jsm, inbox, [Symbol.asyncDispose]: close }
  }

  test("finds the last of a subject, that of a sequence, and the next of a subject from a sequence on", async () => {
    await using opened = await openStream()
    const { inbox } = opened
    const before = Date.now()
    for (const [subject, data] of [
      ["kept.a.x", "1"],
      ["kept.b.x", "2"],
      ["kept.a.x", "3"],
      ["kept.b.y", "4"],
    ] as const)
      await publishAcked(inbox, subject, { data })
    const find = async (query: Parameters<typeof findMessage>[2]): Promise<unknown> => {
      const found = await findMessage(inbox, "KEPT", query, { fromLeader })
      return found && `${found.seq} ${found.subject} ${Buffer.from(found.data).toString()}`
    }
    expect(await find({ lastOf: "kept.a.x" })).toBe("3 kept.a.x 3")
    expect(await find({ seq: 2 })).toBe("2 kept.b.x 2")
    expect(await find({ nextOf: "kept.a.x" })).toBe("1 kept.a.x 1")
    expect(await find({ nextOf: "kept.a.x", from: 2 })).toBe("3 kept.a.x 3")
    expect(await find({ nextOf: "kept.*.y" })).toBe("4 kept.b.y 4")
    expect(await find({ nextOf: "kept.>", from: 3 })).toBe("3 kept.a.x 3")
    const found = await findMessage(inbox, "KEPT", { seq: 1 }, { fromLeader })
    expect(found?.storedAt).toBeGreaterThanOrEqual(before - 1_000)
    expect(found?.storedAt).toBeLessThanOrEqual(Date.now() + 1_000)
  })

  test("gives undefined for what is not there, or not any more", async () => {
    await using opened = await openStream()
    const { inbox, jsm } = opened
    expect(await findMessage(inbox, "KEPT", { nextOf: "kept.>" }, { fromLeader })).toBeUndefined()
    await publishAcked(inbox, "kept.a", { data: "gone" })
    await publishAcked(inbox, "kept.b", { data: "there" })
    await jsm.streams.deleteMessage("KEPT", 1)
    for (const query of [{ lastOf: "kept.a" }, { seq: 1 }, { seq: 3 }, { nextOf: "kept.a" }, { nextOf: "kept.b", from: 3 }])
      expect(await findMessage(inbox, "KEPT", query, { fromLeader })).toBeUndefined()
    expect(await findMessage(inbox, "KEPT", { nextOf: "kept.>" }, { fromLeader })).toMatchObject({ seq: 2 })
  })

  test("gives the header lines as they were, without the server's own, whatever a publisher called his", async () => {
    await using opened = await openStream()
    const { inbox } = opened
    const own = headerLine("Fn-Test", "one") + headerLine("ce-id", "with: colon") + headerLine("Nats-Service-Error-Code", 500)
    const forged = headerLine("Nats-Sequence", 99) + headerLine("Nats-Subject", "other") + headerLine("Nats-Time-Stamp", "x")
    await publishAcked(inbox, "kept.a", { lines: headerLine("Nats-Msg-Id", "x") + own + forged, data: "body" })
    const found = await findMessage(inbox, "KEPT", { seq: 1 }, { fromLeader })
    expect(found).toMatchObject({ seq: 1, subject: "kept.a", lines: own })
    expect(found?.storedAt).toBeGreaterThan(0)
    // An empty body, and no header at all.
    await publishAcked(inbox, "kept.b")
    expect(await findMessage(inbox, "KEPT", { lastOf: "kept.b" }, { fromLeader })).toMatchObject({ lines: "", data: new Uint8Array(0) })
  })

  test("says that JetStream is not there for it: no stream, no connection", async () => {
    await using opened = await openStream()
    const { inbox, fixture } = opened
    await expect(findMessage(inbox, "NOWHERE", { seq: 1 }, { fromLeader, timeoutMs: 300 })).rejects.toMatchObject({
      // The last where a server before 2.10 is silent.
      reason: expect.stringMatching(/^(JETSTREAM_UNAVAILABLE|NOT_SET_UP|DEADLINE_EXCEEDED)$/),
      message: expect.stringContaining("NOWHERE"),
    })
    await expect(findMessage(inbox, "KEPT", { seq: 1 }, { fromLeader, jsDomain: "elsewhere" })).rejects.toMatchObject({
      reason: "JETSTREAM_UNAVAILABLE",
    })
    await expect(findMessage(inbox, "KEPT", { seq: 1 }, { fromLeader, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "cancelled",
    })
    await fixture.server.kill()
    await until(() => !inbox.connected, "the loss of the connection")
    await expect(findMessage(inbox, "KEPT", { seq: 1 }, { fromLeader, timeoutMs: 50 })).rejects.toMatchObject({ reason: "DISCONNECTED" })
  })
})
