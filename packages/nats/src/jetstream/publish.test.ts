import { headerLine } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { DiscardPolicy, jetstreamManager } from "@nats-io/jetstream"
import { freeze, serverBinaries, startFixture, until } from "../../test/support.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import { publishAcked } from "./publish.js"

const SLOW_MS = 30_000
const SERVERS = await serverBinaries("publishing into streams")

const messageId = (id: string): string => headerLine("Nats-Msg-Id", id)
const expectedLast = (seq: number): string => headerLine("Nats-Expected-Last-Subject-Sequence", seq)

describe.each(SERVERS)("publishAcked on $server", ({ binary }) => {
  /** A server with a stream of the subjects `kept.>`, and an inbox. */
  async function openStream(config: { maxPerSubject?: number } = {}) {
    const fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    const jsm = await jetstreamManager(nc)
    const { maxPerSubject = -1 } = config
    await jsm.streams.add({
      name: "KEPT",
      subjects: ["kept.>"],
      discard: DiscardPolicy.New,
      max_msgs_per_subject: maxPerSubject,
      discard_new_per_subject: maxPerSubject > 0,
    })
    const inbox = new ReplyInbox(nc)
    const close = async (): Promise<void> => {
      inbox.dispose()
      await fixture[Symbol.asyncDispose]()
    }
    return { fixture, nc, jsm, inbox, [Symbol.asyncDispose]: close }
  }

  test("resolves with the place of the message once it is stored, headers and body as sent", async () => {
    await using opened = await openStream()
    const { inbox, jsm } = opened
    expect(await publishAcked(inbox, "kept.a", { data: "one" })).toEqual({ stream: "KEPT", seq: 1, duplicate: false })
    expect(await publishAcked(inbox, "kept.b", { lines: headerLine("Fn-Test", "2"), data: Buffer.from("two") })).toMatchObject({ seq: 2 })
    const stored = await jsm.streams.getMessage("KEPT", { seq: 2 })
    expect([stored?.subject, stored?.string(), stored?.header.get("Fn-Test")]).toEqual(["kept.b", "two", "2"])
  })

  test("a message id is stored once, and the second publish says that it was one", async () => {
    await using opened = await openStream()
    const { inbox, jsm } = opened
    const first = await publishAcked(inbox, "kept.a", { lines: messageId("x") })
    expect(await publishAcked(inbox, "kept.a", { lines: messageId("x") })).toEqual({ ...first, duplicate: true })
    expect((await jsm.streams.info("KEPT")).state.messages).toBe(1)
  })

  test("a sequence that is not the expected one is STALE_REVISION, at once even if it may repeat", async () => {
    await using opened = await openStream()
    const { inbox } = opened
    await publishAcked(inbox, "kept.a", { lines: expectedLast(0) })
    const began = performance.now()
    await expect(publishAcked(inbox, "kept.a", { lines: expectedLast(0), repeat: true, timeoutMs: 20_000 })).rejects.toMatchObject({
      code: "aborted",
      reason: "STALE_REVISION",
    })
    expect(performance.now() - began).toBeLessThan(15_000)
    await publishAcked(inbox, "kept.a", { lines: expectedLast(1) })
  })

  test("where no stream takes the subject it is JETSTREAM_UNAVAILABLE, at once or after the time for repeats", async () => {
    await using opened = await openStream()
    const { inbox, jsm } = opened
    const unavailable = { code: "unavailable", reason: "JETSTREAM_UNAVAILABLE", message: expect.stringContaining("nowhere.a") }
    await expect(publishAcked(inbox, "nowhere.a", { timeoutMs: 20_000 })).rejects.toMatchObject(unavailable)
    await expect(publishAcked(inbox, "nowhere.a", { lines: messageId("x"), repeat: true, timeoutMs: 300 })).rejects.toMatchObject(
      unavailable,
    )
    const pending = publishAcked(inbox, "nowhere.a", { lines: messageId("x"), repeat: true, timeoutMs: 20_000 })
    await jsm.streams.add({ name: "LATE", subjects: ["nowhere.>"] })
    expect(await pending).toEqual({ stream: "LATE", seq: 1, duplicate: false })
  })

  test("a subject that has all it may have is STORAGE_FULL, at once, while another has room", async () => {
    await using opened = await openStream({ maxPerSubject: 2 })
    const { inbox } = opened
    for (const id of ["1", "2"]) await publishAcked(inbox, "kept.a", { lines: messageId(id) })
    const third = publishAcked(inbox, "kept.a", { lines: messageId("3"), repeat: true, timeoutMs: 20_000 })
    await expect(third).rejects.toMatchObject({ code: "resource_exhausted", reason: "STORAGE_FULL" })
    await publishAcked(inbox, "kept.b", { lines: messageId("4") })
  })

  test("a message over the server's limit is PAYLOAD_TOO_LARGE, and what a stream refuses for its own limit too", async () => {
    await using opened = await openStream()
    const { inbox, jsm } = opened
    await expect(publishAcked(inbox, "kept.a", { data: new Uint8Array(1_100_000) })).rejects.toMatchObject({ reason: "PAYLOAD_TOO_LARGE" })
    await jsm.streams.update("KEPT", { max_msg_size: 100 })
    await expect(publishAcked(inbox, "kept.a", { data: new Uint8Array(200) })).rejects.toMatchObject({ reason: "PAYLOAD_TOO_LARGE" })
  })

  test("something that answers without being a stream is not believed", async () => {
    await using opened = await openStream()
    const { inbox, nc } = opened
    nc.subscribe("echo.*", { callback: (_error, msg) => void msg.respond(msg.data) })
    for (const data of ["not json", "{}", `{"stream":1,"seq":1}`, "null"])
      await expect(publishAcked(inbox, "echo.a", { data })).rejects.toMatchObject({ reason: "JETSTREAM_UNAVAILABLE" })
  })

  test(
    "without a connection it is DISCONNECTED; a repeating one outlives a restart of the server and is stored once",
    async () => {
      await using opened = await openStream()
      const { inbox, jsm, fixture } = opened
      await publishAcked(inbox, "kept.a", { lines: messageId("before") })
      await fixture.server.kill()
      await until(() => !inbox.connected, "the loss of the connection")
      await expect(publishAcked(inbox, "kept.a", { timeoutMs: 100 })).rejects.toMatchObject({ code: "unavailable", reason: "DISCONNECTED" })
      const pending = publishAcked(inbox, "kept.a", { lines: messageId("during"), repeat: true, timeoutMs: 20_000 })
      await fixture.restart()
      expect(await pending).toMatchObject({ stream: "KEPT", seq: 2, duplicate: false })
      expect(await publishAcked(inbox, "kept.a", { lines: messageId("before") })).toMatchObject({ seq: 1, duplicate: true })
      expect((await jsm.streams.info("KEPT")).state.messages).toBe(2)
    },
    SLOW_MS,
  )

  test(
    "a server that is silent is deadline_exceeded; once it answers again, the repeat finds its first try stored",
    async () => {
      await using opened = await openStream()
      const { inbox, jsm, fixture } = opened
      await freeze(fixture.server.pid)
      try {
        await expect(publishAcked(inbox, "kept.a", { timeoutMs: 100 })).rejects.toMatchObject({ code: "deadline_exceeded" })
        const pending = publishAcked(inbox, "kept.b", { lines: messageId("x"), repeat: true, timeoutMs: 20_000 })
        const timer = setTimeout(() => process.kill(fixture.server.pid, "SIGCONT"), 2_300)
        try {
          expect(await pending).toMatchObject({ stream: "KEPT", duplicate: true })
        } finally {
          clearTimeout(timer)
        }
      } finally {
        process.kill(fixture.server.pid, "SIGCONT")
      }
      expect((await jsm.streams.getMessage("KEPT", { last_by_subj: "kept.b" }))?.subject).toBe("kept.b")
      expect((await jsm.streams.info("KEPT", { subjects_filter: "kept.b" })).state.subjects).toEqual({ "kept.b": 1 })
    },
    SLOW_MS,
  )

  test("a signal ends it with cancelled, between repeats too", async () => {
    await using opened = await openStream()
    const { inbox } = opened
    await expect(publishAcked(inbox, "kept.a", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" })
    const stop = new AbortController()
    const pending = publishAcked(inbox, "nowhere.a", { lines: messageId("x"), repeat: true, timeoutMs: 20_000, signal: stop.signal })
    stop.abort()
    await expect(pending).rejects.toMatchObject({ code: "cancelled" })
  })
})
