import { createLogger, FnError, headerBlock, headerLine } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { startFixture, until } from "../../test/support.js"
import { publishRaw, type RawMsg, rawHeaders } from "./raw.js"
import { RECONNECT_WAIT_MS, ReplyInbox } from "./reply-inbox.js"

const bytes = (text: string): Uint8Array => Buffer.from(text)

async function failureOf(promise: Promise<unknown>): Promise<FnError> {
  try {
    await promise
  } catch (thrown) {
    if (FnError.is(thrown)) return thrown
    throw thrown
  }
  throw new Error("it should have failed")
}

describe("ReplyInbox.request", () => {
  test("returns the reply with its headers, for many requests at once", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("echo", {
      callback: (_refused, msg) => publishRaw(nc, msg.reply ?? "", msg.data, { headerBlock: rawHeaders(msg) }),
    })
    using inbox = new ReplyInbox(await fixture.connect())
    const replies = await Promise.all(
      Array.from({ length: 500 }, (_, i) => inbox.request("echo", { data: `body ${i}`, lines: headerLine("Number", i), timeoutMs: 5_000 })),
    )
    expect(replies.map((reply) => reply.string())).toEqual(replies.map((_, i) => `body ${i}`))
    expect(replies.map((reply) => reply.headers?.get("Number"))).toEqual(replies.map((_, i) => String(i)))
    expect(inbox.size).toBe(0)
  })

  test("fails with NO_HOST at once when nobody listens", async () => {
    await using fixture = await startFixture()
    using inbox = new ReplyInbox(await fixture.connect())
    const error = await failureOf(inbox.request("nobody.here", { timeoutMs: 60_000 }))
    expect(error).toMatchObject({ code: "unavailable", reason: "NO_HOST" })
    expect(error.message).toContain("nobody.here")
  })

  test("fails with deadline_exceeded when the reply is late, and the late reply harms nobody", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const asked: RawMsg[] = []
    nc.subscribe("slow", { callback: (_refused, msg) => void asked.push(msg) })
    using inbox = new ReplyInbox(await fixture.connect())
    const error = await failureOf(inbox.request("slow", { timeoutMs: 30 }))
    expect(error).toMatchObject({ code: "deadline_exceeded", reason: "DEADLINE_EXCEEDED" })
    asked[0]?.respond("too late")
    nc.subscribe("quick", { callback: (_refused, msg) => void msg.respond("in time") })
    await nc.flush()
    expect((await inbox.request("quick", { timeoutMs: 5_000 })).string()).toBe("in time")
  })

  test("a signal ends it with cancelled, before and while it waits", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("silent", { callback: () => undefined })
    using inbox = new ReplyInbox(nc)
    const controller = new AbortController()
    const pending = failureOf(inbox.request("silent", { timeoutMs: 60_000, signal: controller.signal }))
    controller.abort()
    expect(await pending).toMatchObject({ code: "cancelled" })
    expect(await failureOf(inbox.request("silent", { timeoutMs: 60_000, signal: controller.signal }))).toMatchObject({ code: "cancelled" })
    expect(inbox.size).toBe(0)
  })

  test("a payload over the server's limit fails with PAYLOAD_TOO_LARGE naming it", async () => {
    await using fixture = await startFixture({ maxPayload: 10_000 })
    using inbox = new ReplyInbox(await fixture.connect())
    const error = await failureOf(inbox.request("any", { data: new Uint8Array(10_001), timeoutMs: 1_000 }))
    expect(error).toMatchObject({ code: "resource_exhausted", reason: "PAYLOAD_TOO_LARGE", details: { limitBytes: 10_000 } })
    expect(error.message).toContain("10000")
    expect(inbox.size).toBe(0)
  })

  test("a subject the user may not publish to fails with NATS_PERMISSION at once", async () => {
    const config = `authorization { users: [ { user: u, password: p, permissions: { publish: ["allowed"], subscribe: ">" } } ] }`
    await using fixture = await startFixture({ config })
    using inbox = new ReplyInbox(await fixture.connect({ user: "u", password: "p" }))
    expect(await failureOf(inbox.request("forbidden", { timeoutMs: 60_000 }))).toMatchObject({ reason: "NATS_PERMISSION" })
  })

  test("an inbox the user may not subscribe to fails with NATS_PERMISSION, and works with the prefix that is allowed", async () => {
    const config = `authorization { users: [ { user: u, password: p, permissions: { publish: ">", subscribe: ["_INBOX_u.>", "echo"] } } ] }`
    await using fixture = await startFixture({ config })
    using refused = new ReplyInbox(await fixture.connect({ user: "u", password: "p" }))
    expect(await failureOf(refused.request("echo", { timeoutMs: 60_000 }))).toMatchObject({ reason: "NATS_PERMISSION" })

    const nc = await fixture.connect({ user: "u", password: "p", inboxPrefix: "_INBOX_u" })
    nc.subscribe("echo", { callback: (_refused, msg) => void msg.respond(msg.data) })
    using allowed = new ReplyInbox(nc)
    expect((await allowed.request("echo", { data: "hi", timeoutMs: 5_000 })).string()).toBe("hi")
  })
})

describe("ReplyInbox and lost connections", () => {
  test("calls in flight at a disconnect fail at once with DISCONNECTED", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("silent", { callback: () => undefined })
    using inbox = new ReplyInbox(nc)
    const calls = Array.from({ length: 20 }, () => failureOf(inbox.request("silent", { timeoutMs: 60_000 })))
    await nc.flush()
    const killed = performance.now()
    await fixture.server.kill()
    const errors = await Promise.all(calls)
    expect(errors.map((error) => [error.code, error.reason])).toEqual(errors.map(() => ["unavailable", "DISCONNECTED"]))
    expect(performance.now() - killed).toBeLessThan(1_500)
    expect(inbox.connected).toBe(false)
  })

  test("a call made while disconnected waits for the connection and then runs", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("echo", { callback: (_refused, msg) => void msg.respond(msg.data) })
    using inbox = new ReplyInbox(nc)
    expect((await inbox.request("echo", { data: "before", timeoutMs: 5_000 })).string()).toBe("before")
    await fixture.server.kill()
    await until(() => !inbox.connected, "the disconnect to be noticed")
    const waiting = inbox.request("echo", { data: "after", timeoutMs: 30_000 })
    await fixture.restart()
    expect((await waiting).string()).toBe("after")
  })

  test("a call made while disconnected fails with DISCONNECTED after its time-out, at most two seconds", async () => {
    await using fixture = await startFixture()
    using inbox = new ReplyInbox(await fixture.connect())
    await fixture.server.kill()
    await until(() => !inbox.connected, "the disconnect to be noticed")
    const began = performance.now()
    expect(await failureOf(inbox.request("any", { timeoutMs: 50 }))).toMatchObject({ reason: "DISCONNECTED" })
    expect(performance.now() - began).toBeLessThan(RECONNECT_WAIT_MS)
    expect(await failureOf(inbox.request("any", { timeoutMs: 60_000 }))).toMatchObject({ reason: "DISCONNECTED" })
    const tookMs = performance.now() - began
    expect(tookMs).toBeGreaterThan(RECONNECT_WAIT_MS)
    expect(tookMs).toBeLessThan(2 * RECONNECT_WAIT_MS)
  })

  test("a closed connection fails every call, waiting or new", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("silent", { callback: () => undefined })
    using inbox = new ReplyInbox(nc)
    const pending = failureOf(inbox.request("silent", { timeoutMs: 60_000 }))
    await nc.close()
    expect(await pending).toMatchObject({ reason: "DISCONNECTED" })
    expect(await failureOf(inbox.request("silent", { timeoutMs: 60_000 }))).toMatchObject({ reason: "DISCONNECTED" })
  })

  test("disposing fails who still waits and lets nobody in", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    nc.subscribe("silent", { callback: () => undefined })
    const inbox = new ReplyInbox(nc)
    const pending = failureOf(inbox.request("silent", { timeoutMs: 60_000 }))
    inbox.dispose()
    inbox.dispose()
    expect(await pending).toMatchObject({ reason: "DISCONNECTED" })
    expect(() => inbox.open({ onMessage: () => undefined })).toThrow(FnError)
  })
})

describe("ReplyInbox.open", () => {
  test("hears every message until it is closed", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    using inbox = new ReplyInbox(nc)
    const heard: string[] = []
    const token = inbox.open({ onMessage: (msg) => heard.push(msg.string()) })
    const subject = inbox.subjectOf(token)
    const other = inbox.open({ onMessage: () => heard.push("another's") })
    for (const text of ["one", "two", "three"]) nc.publish(subject, text)
    await nc.flush()
    inbox.close(token)
    nc.publish(subject, "four")
    await nc.flush()
    expect(heard).toEqual(["one", "two", "three"])
    inbox.close(other)
    expect(inbox.size).toBe(0)
  })

  test("a callback that throws is logged and the connection goes on reading", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const logged: string[] = []
    using inbox = new ReplyInbox(nc, { logger: createLogger((_level, message, fields) => logged.push(`${message}: ${fields.error}`)) })
    const token = inbox.open({
      onMessage: () => {
        throw new Error("a bug in a callback")
      },
    })
    nc.publish(inbox.subjectOf(token))
    await nc.flush()
    expect(logged).toEqual(["a reply callback threw: a bug in a callback"])
    nc.subscribe("echo", { callback: (_refused, msg) => void msg.respond(msg.data) })
    expect((await inbox.request("echo", { data: "still here", timeoutMs: 5_000 })).string()).toBe("still here")
  })

  test("onFailed closes the entry at a disconnect; without it the entry hears on after the reconnect", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    using inbox = new ReplyInbox(nc)
    const failures: string[] = []
    const heard: string[] = []
    inbox.open({ onMessage: () => undefined, onFailed: (error) => failures.push(error.reason) })
    inbox.open({
      onMessage: () => undefined,
      onFailed: () => {
        throw new Error("a bug in a callback")
      },
    })
    const subject = inbox.subjectOf(inbox.open({ onMessage: (msg) => heard.push(msg.string()) }))
    await fixture.restart()
    await inbox.untilConnected(10_000)
    expect(failures).toEqual(["DISCONNECTED"])
    expect(inbox.size).toBe(1)
    nc.publish(subject, "after")
    await nc.flush()
    expect(heard).toEqual(["after"])
  })

  test("a number is used again under another subject: what still comes to the old one is nobody's", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    using inbox = new ReplyInbox(nc)
    const heard: string[] = []
    const listener = { onMessage: (msg: RawMsg) => heard.push(msg.string()) }
    const before: string[] = []
    for (let n = 0; n < 100; n++) {
      const token = inbox.open(listener)
      before.push(inbox.subjectOf(token))
      inbox.close(token)
      inbox.close(token)
    }
    const subject = inbox.subjectOf(inbox.open(listener))
    expect(new Set([...before, subject]).size).toBe(101)
    for (const old of before) nc.publish(old, "late")
    nc.publish(subject, "in time")
    await nc.flush()
    expect(heard).toEqual(["in time"])
    expect(inbox.size).toBe(1)
  })

  test("the subject of a quiet close is the next listener's", async () => {
    await using fixture = await startFixture()
    using inbox = new ReplyInbox(await fixture.connect())
    const first = inbox.open({ onMessage: () => undefined })
    const subject = inbox.subjectOf(first)
    inbox.close(first, { isQuiet: true })
    const second = inbox.open({ onMessage: () => undefined })
    expect([second, inbox.subjectOf(second)]).toEqual([first, subject])
    inbox.close(second)
    expect(() => inbox.subjectOf(second)).toThrow(expect.objectContaining({ reason: "INTERNAL" }))
  })

  test("one that opens anew when it fails is not failed again", async () => {
    await using fixture = await startFixture()
    using inbox = new ReplyInbox(await fixture.connect())
    let failures = 0
    const listener = { onMessage: () => undefined, onFailed: () => void (++failures < 10 && inbox.open(listener)) }
    inbox.open(listener)
    await fixture.restart()
    await inbox.untilConnected(10_000)
    expect([failures, inbox.size]).toEqual([1, 1])
  })

  test("a message to a subject that is no number of ours is dropped", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    using inbox = new ReplyInbox(nc)
    const heard: RawMsg[] = []
    const token = inbox.open({ onMessage: (msg) => heard.push(msg) })
    const subject = inbox.subjectOf(token)
    const prefix = subject.slice(0, subject.lastIndexOf(".") + 1)
    for (const last of ["x", "-1", `${token}x`, "99999", "1e0"]) publishRaw(nc, prefix + last, bytes("?"), { headerBlock: headerBlock("") })
    await nc.flush()
    expect(heard).toEqual([])
  })
})
