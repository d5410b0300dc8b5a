import { type CloudEvent, FnError, Header, headerLine, type Instruments, newId, noopInstruments } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { CloudEvent as SdkEvent } from "cloudevents"
import { ALL_CODES, echo, startPeer } from "../test/peer.js"
import { startPlatform } from "../test/platform.js"

const event = { specversion: "1.0", id: "1", source: "/test", type: "test.asked", time: "2026-11-20T10:00:00Z" } as const

describe("R-IV-1: a call", () => {
  test.concurrent("takes no reply that names another invocation: its subject may have been another call's", async () => {
    await using platform = await startPlatform()
    await platform.deploy("twice")
    await platform.peer.serve("function.js.twice", (call) => {
      call.raw(headerLine(Header.invocationId, newId()) + headerLine(Header.events, 0), "")
      call.events([call.event])
    })
    for (let n = 0; n < 3; n++) expect(await platform.client.invoke("twice", { ...event, data: n })).toMatchObject([{ data: n }])
    expect(new Set(platform.peer.calls.map(({ reply }) => reply)).size).toBe(1)
  })

  test.concurrent("carries the event in binary mode, with the headers a host needs, and gives the reply's event", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    const asked = { ...event, subject: "größe 10%", partition: 7, data: { text: "häh?", n: [1, 2] } }
    const events = await platform.client.invoke("echo", asked, { timeoutMs: 5_000 })
    expect(events).toEqual([{ ...asked, partition: "7", datacontenttype: "application/json" }])
    const { revision } = await platform.registry.getFunction({ namespace: "default", name: "echo" })
    const [call] = platform.peer.calls
    expect(call?.headers.get(Header.invocationId)).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(call?.headers.get(Header.revision)).toBe(String(revision))
    expect(call?.headers.get(Header.accept)).toBe("started payload-ref")
    expect(call?.headers.has(Header.version)).toBe(false)
    expect(Number(call?.headers.get(Header.timeoutMs))).toBeGreaterThan(4_000)
    expect(Number(call?.headers.get(Header.timeoutMs))).toBeLessThanOrEqual(5_000)
  })

  test.concurrent("without a time-out leaves it to the function's own", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await platform.client.invoke("echo", event)
    expect(platform.peer.calls[0]?.headers.has(Header.timeoutMs)).toBe(false)
  })

  test.concurrent("takes an SDK event, and bytes stay bytes", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    const bytes = Buffer.from([0, 255, 13, 10, 0])
    const sdk = new SdkEvent({ id: "2", source: "/sdk", type: "test.sdk", datacontenttype: "image/png", data: bytes })
    const [reply] = await platform.client.invoke("echo", sdk)
    expect(Buffer.from(reply?.data as Uint8Array)).toEqual(bytes)
    expect(reply).toMatchObject({ id: "2", source: "/sdk", type: "test.sdk", datacontenttype: "image/png" })
  })

  test.concurrent("fills in what an event leaves out, and makes an event of bare data", async () => {
    await using platform = await startPlatform({ client: { source: "/shop" } })
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    const { client } = platform
    const [partial] = await client.invoke("echo", { type: "order.placed", data: { cents: 5 } })
    expect(partial).toMatchObject({ type: "order.placed", source: "/shop", specversion: "1.0", data: { cents: 5 } })
    const [bare] = await client.invoke("echo", { type: "is data here", cents: 5 })
    expect(bare).toMatchObject({ type: "com.fn.invoke", source: "/shop", data: { type: "is data here", cents: 5 } })
    const [named] = await client.invoke("echo", { type: "a", data: 1 }, { type: "order.raw", source: "/other" })
    expect(named).toMatchObject({ type: "order.raw", source: "/other", data: { type: "a", data: 1 } })
    const [text] = await client.invoke("echo", "hello")
    expect(text?.data).toBe("hello")
    const [nothing] = await client.invoke("echo", undefined)
    expect(nothing && "data" in nothing).toBe(false)
  })

  test.concurrent("gives no events, one structured, or several from a batch", async () => {
    await using platform = await startPlatform()
    for (const name of ["none", "structured", "several"]) await platform.deploy(name)
    const { peer, client } = platform
    await peer.serve("function.js.none", (call) => call.events([]))
    await peer.serve("function.js.structured", (call) => call.events([call.event], "structured"))
    await peer.serve("function.js.several", (call) => call.events([call.event, { ...call.event, data: undefined }]))
    expect(await client.invoke("none", event)).toEqual([])
    expect(await client.invoke("structured", { ...event, data: 1 })).toMatchObject([{ id: "1", data: 1 }])
    const several = await client.invoke("several", { ...event, data: { a: 1 } })
    expect(several.map(({ data }: CloudEvent) => data)).toEqual([{ a: 1 }, undefined])
  })

  test.concurrent("goes to the namespace and version that the ref or the options name", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo", { namespace: "shop", language: "go" })
    await platform.peer.serve("function.go.shop.echo", echo)
    const { client, peer } = platform
    await client.invoke("shop/echo@1.2.0", event)
    await client.invoke("shop/echo@1.2.0", event, { version: "stable" })
    await client.invoke({ namespace: "shop", name: "echo" }, event)
    expect(peer.calls.map(({ headers }) => headers.get(Header.version))).toEqual(["1.2.0", "stable", undefined])
  })

  test.concurrent("reads the function's record once, however many calls there are", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    let reads = 0
    const { findFunction } = platform.registry
    platform.registry.findFunction = (ref) => {
      reads++
      return findFunction.call(platform.registry, ref)
    }
    await Promise.all(Array.from({ length: 20 }, () => platform.client.invoke("echo", event)))
    await platform.client.invoke("echo", event)
    expect(reads).toBe(1)
  })

  test.concurrent("after a deploy carries the new revision", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await platform.client.invoke("echo", event)
    await platform.deploy("echo")
    const { revision } = await platform.registry.getFunction({ namespace: "default", name: "echo" })
    await until(
      async () => {
        await platform.client.invoke("echo", event)
        return platform.peer.calls.at(-1)?.headers.get(Header.revision) === String(revision)
      },
      { name: "a call with the new revision" },
    )
  })
})

describe("errors of a call", () => {
  test.concurrent.each(ALL_CODES)("an answered %s keeps code, reason, message and details", async (code) => {
    await using platform = await startPlatform()
    await platform.deploy("fails")
    const sent = new FnError(code, "naïve — 100 %", { reason: "CARD_DECLINED", details: { field: "a" }, retryable: true, errorId: "e1" })
    await platform.peer.serve("function.js.fails", (call) => call.error(sent))
    const result = await platform.client.tryInvoke("fails", event)
    expect(result.ok).toBe(false)
    expect(!result.ok && result.error.toData()).toEqual(sent.toData())
  })

  test.concurrent.each([
    ["a payload without content type", "", "hello"],
    ["a batch that is no array", "content-type: application/cloudevents-batch+json\r\n", "{}"],
    ["structured junk", "content-type: application/cloudevents+json\r\n", "{"],
    ["an event without id", "ce-type: a\r\nce-source: b\r\nce-specversion: 1.0\r\n", ""],
    [
      "data that is not what it says",
      "ce-id: 1\r\nce-type: a\r\nce-source: b\r\nce-specversion: 1.0\r\ncontent-type: application/json\r\n",
      "{",
    ],
  ])("a reply that is no event fails as BAD_OUTPUT: %s", async (_name, lines, body) => {
    await using platform = await startPlatform()
    await platform.deploy("odd")
    await platform.peer.serve("function.js.odd", (call) => call.raw(lines, body))
    await expect(platform.client.invoke("odd", event)).rejects.toMatchObject({ code: "failed_precondition", reason: "BAD_OUTPUT" })
  })

  test.concurrent.each([
    ["no name", "", "INVALID_NAME"],
    ["a dot", "a.b", "INVALID_NAME"],
    ["a space", "a b", "INVALID_NAME"],
    ["a wildcard", "*", "INVALID_NAME"],
    ["a subject", "$JS.API.>", "INVALID_NAME"],
    ["a language as namespace", "js/a", "INVALID_NAME"],
    ["a bad version", "a@1.0.0+b", "INVALID_NAME"],
  ])("a ref with %s is refused before anything is sent", async (_name, ref, reason) => {
    await using platform = await startPlatform()
    await expect(platform.client.invoke(ref, event)).rejects.toMatchObject({ code: "invalid_argument", reason })
  })

  test.concurrent.each([
    ["no id", { ...event, id: "" }],
    ["another specversion", { ...event, specversion: "0.3" }],
    ["a time that is none", { ...event, time: "yesterday" }],
    ["an upper-case extension", { ...event, traceParent: "x" }],
    ["an object as extension", { ...event, ext: {} }],
    ["data that JSON does not have", { ...event, data: () => 1 }],
  ])("an event with %s is refused before anything is sent", async (_name, bad) => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await expect(platform.client.invoke("echo", bad)).rejects.toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT" })
    expect(platform.peer.calls).toHaveLength(0)
  })

  test.concurrent("SEC-3: a payload over the server's limit fails before it is sent, naming the limit", async () => {
    await using platform = await startPlatform({ server: { maxPayload: 65_536 } })
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    const failed = await platform.client.tryInvoke("echo", { ...event, datacontenttype: "a/b", data: Buffer.alloc(65_500) })
    expect(!failed.ok && failed.error).toMatchObject({
      code: "resource_exhausted",
      reason: "PAYLOAD_TOO_LARGE",
      details: { limitBytes: 65_536 },
    })
    expect(!failed.ok && failed.error.message).toContain("65536")
    expect(platform.peer.calls).toHaveLength(0)
    await platform.client.invoke("echo", { ...event, datacontenttype: "a/b", data: Buffer.alloc(60_000) })
  })

  test.concurrent.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a time-out of %s is refused", async (timeoutMs) => {
    await using platform = await startPlatform()
    await expect(platform.client.invoke("a", event, { timeoutMs })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
  })
})

describe("deadline and cancellation", () => {
  test.concurrent("a call without a reply fails with deadline_exceeded at its time-out, not before", async () => {
    await using platform = await startPlatform()
    await platform.deploy("silent")
    await platform.peer.serve("function.js.silent", () => undefined)
    const began = performance.now()
    const failed = await platform.client.tryInvoke("silent", event, { timeoutMs: 150 })
    expect(!failed.ok && failed.error).toMatchObject({ code: "deadline_exceeded", reason: "DEADLINE_EXCEEDED" })
    expect(performance.now() - began).toBeGreaterThanOrEqual(150)
  })

  test.concurrent("IV-5: an aborted signal fails the call as cancelled at once and tells the host which invocation it was", async () => {
    await using platform = await startPlatform()
    await platform.deploy("silent", { namespace: "shop" })
    const abort = new AbortController()
    await platform.peer.serve("function.js.shop.silent", () => abort.abort(new Error("user left")))
    const failed = await platform.client.tryInvoke("shop/silent", event, { signal: abort.signal })
    expect(!failed.ok && failed.error).toMatchObject({ code: "cancelled", reason: "CANCELLED", message: "user left" })
    const [call] = platform.peer.calls
    await until(() => platform.peer.cancelled.includes(`function.cancel.shop.${call?.invocationId}`), { name: "the cancel message" })
  })

  test.concurrent("a signal that was aborted before sends nothing", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await expect(platform.client.invoke("echo", event, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" })
    expect(platform.peer.calls).toHaveLength(0)
  })

  test.concurrent("AbortSignal.timeout counts as a deadline", async () => {
    await using platform = await startPlatform()
    await platform.deploy("silent")
    await platform.peer.serve("function.js.silent", () => undefined)
    await expect(platform.client.invoke("silent", event, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      code: "deadline_exceeded",
    })
  })

  test.concurrent("startCall gives the id at once and can be cancelled without a signal", async () => {
    await using platform = await startPlatform()
    await platform.deploy("silent")
    await platform.peer.serve("function.js.silent", () => undefined)
    const call = platform.client.startCall("silent", { attributes: { ...event }, data: undefined })
    await until(() => platform.peer.calls[0], { name: "the call to arrive" })
    expect(platform.peer.calls[0]?.invocationId).toBe(call.invocationId)
    call.cancel()
    call.cancel()
    await expect(call.events).rejects.toMatchObject({ code: "cancelled" })
    await until(() => platform.peer.cancelled.length === 1, { name: "one cancel message" })
  })
})

describe("discovery", () => {
  test.concurrent("an unknown function fails with FUNCTION_NOT_FOUND, and is found once it is deployed", async () => {
    await using platform = await startPlatform()
    await expect(platform.client.invoke("late", event)).rejects.toMatchObject({ code: "not_found", reason: "FUNCTION_NOT_FOUND" })
    await platform.deploy("late")
    await platform.peer.serve("function.js.late", echo)
    expect(await platform.client.invoke("late", event)).toHaveLength(1)
  })

  test.concurrent("a function that was deleted while it was known fails with FUNCTION_NOT_FOUND", async () => {
    await using platform = await startPlatform()
    await platform.deploy("gone")
    await expect(platform.client.invoke("gone", event)).rejects.toMatchObject({ reason: "NO_HOST" })
    await platform.registry.deleteFunction({ namespace: "default", name: "gone" })
    await expect(platform.client.invoke("gone", event)).rejects.toMatchObject({ code: "not_found", reason: "FUNCTION_NOT_FOUND" })
  })

  test.concurrent("NO_HOST says why each host cannot run it", async () => {
    await using platform = await startPlatform()
    await platform.deploy("heavy")
    const error = FnError.of("ISOLATION_UNAVAILABLE", "no cgroups here").toData()
    platform.peer.refusals.set("default/heavy", error)
    await using other = await startPeer(await platform.server.connect(), { host: "other" })
    const failed = await platform.client.tryInvoke("heavy", event)
    expect(!failed.ok && failed.error).toMatchObject({ code: "unavailable", reason: "NO_HOST" })
    expect(!failed.ok && failed.error.message).toContain(`${platform.peer.host}: ISOLATION_UNAVAILABLE: no cgroups here`)
    expect(!failed.ok && failed.error.details?.hosts).toEqual(
      expect.arrayContaining([
        { host: platform.peer.host, reason: "ISOLATION_UNAVAILABLE", message: "no cgroups here" },
        { host: other.host, reason: "FUNCTION_NOT_FOUND", message: expect.any(String) },
      ]),
    )
  })

  test.concurrent("NO_HOST without any host says so", async () => {
    await using platform = await startPlatform()
    await platform.deploy("lonely")
    await platform.peer[Symbol.asyncDispose]()
    await expect(platform.client.invoke("lonely", event)).rejects.toMatchObject({
      reason: "NO_HOST",
      message: expect.stringContaining("no runtime-service is connected"),
    })
  })

  test.concurrent("a call that nobody took goes out again when a host says it serves the function", async () => {
    await using platform = await startPlatform()
    await platform.deploy("coming")
    const { client, peer } = platform
    peer.onQuestion = async () => {
      peer.onQuestion = undefined
      await peer.serve("function.js.coming", echo)
    }
    expect(await client.invoke("coming", event)).toHaveLength(1)
  })

  test.concurrent("a function that moved to another language is found there", async () => {
    await using platform = await startPlatform()
    const { registry, client, peer } = platform
    const ref = { namespace: "default", name: "moved" }
    await platform.deploy("moved")
    await expect(client.invoke("moved", event)).rejects.toMatchObject({ reason: "NO_HOST" })
    await registry.deleteFunction(ref)
    await platform.deploy("moved", { language: "go" })
    await peer.serve("function.go.moved", echo)
    expect(await client.invoke("moved", event)).toHaveLength(1)
  })
})

describe("connection", () => {
  test.concurrent("a call in flight fails with DISCONNECTED when the connection goes", async () => {
    await using platform = await startPlatform()
    await platform.deploy("silent")
    await platform.peer.serve("function.js.silent", () => undefined)
    const call = platform.client.tryInvoke("silent", event)
    await until(() => platform.peer.calls.length === 1, { name: "the call to arrive" })
    await platform.server.kill()
    const failed = await call
    expect(!failed.ok && failed.error).toMatchObject({ code: "unavailable", reason: "DISCONNECTED" })
  })

  test.concurrent("a call made while disconnected fails with DISCONNECTED after min(timeout, 2 s)", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await platform.client.invoke("echo", event)
    await platform.server.kill()
    await expect(platform.client.invoke("echo", event, { timeoutMs: 100 })).rejects.toMatchObject({ reason: "DISCONNECTED" })
    const began = performance.now()
    await expect(platform.client.invoke("echo", event)).rejects.toMatchObject({ reason: "DISCONNECTED" })
    expect(performance.now() - began).toBeGreaterThan(1_500)
    expect(performance.now() - began).toBeLessThan(4_000)
  })

  test.concurrent("a call made while disconnected goes out when the server is back in time", async () => {
    await using platform = await startPlatform()
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await platform.client.invoke("echo", event)
    await platform.server.kill()
    const back = platform.server.restart()
    // The peer subscribes again by itself; until then there are no responders, which the client sits out.
    const result = await platform.client.tryInvoke("echo", event)
    await back
    if (!result.ok) expect(result.error.code).toBe("unavailable")
    await until(async () => (await platform.client.tryInvoke("echo", event)).ok, { name: "a call after the restart" })
  })

  test.concurrent("a user who may not publish to the function hears so at once", async () => {
    const permissions =
      'authorization { users: [{ user: a, password: a }, { user: b, password: b, permissions: { publish: { deny: "function.js.>" } } }] }'
    await using platform = await startPlatform({
      server: { config: permissions, jetstream: false },
      user: { user: "a", password: "a" },
      clientUser: { user: "b", password: "b" },
    })
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await expect(platform.client.invoke("echo", event)).rejects.toMatchObject({ code: "permission_denied", reason: "NATS_PERMISSION" })
  })
})

describe("lifecycle", () => {
  test.concurrent("drain lets calls finish and refuses new ones; close cancels; both may be called again", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("slow")
    await peer.serve("function.js.slow", () => undefined)
    const slow = client.invoke("slow", event)
    await until(() => peer.calls[0], { name: "the call to arrive" })
    const draining = client.drain()
    await expect(client.invoke("slow", event)).rejects.toMatchObject({ code: "unavailable", retryable: false })
    peer.calls[0]?.events([])
    expect(await slow).toEqual([])
    await draining
    await client.close()
    await client.drain()
    expect(await client.closed).toBeUndefined()
  })

  test.concurrent("a drain whose grace is over cancels what is left, at the host too", async () => {
    await using platform = await startPlatform()
    const { client, peer } = platform
    await platform.deploy("slow")
    await peer.serve("function.js.slow", () => undefined)
    const slow = client.tryInvoke("slow", event)
    await until(() => peer.calls[0], { name: "the call to arrive" })
    await client.drain({ graceMs: 20 })
    const failed = await slow
    expect(!failed.ok && failed.error).toMatchObject({ code: "cancelled", message: "the client was closed" })
    await until(() => peer.cancelled.length === 1, { name: "the cancel message" })
    expect(platform.nc.isClosed()).toBe(false)
  })

  test.concurrent("OB-1: instruments hear of every call, unknown functions under one name", async () => {
    const heard: string[] = []
    const instruments: Instruments = { ...noopInstruments, invocation: (name, code, ms) => heard.push(`${name} ${code} ${ms >= 0}`) }
    await using platform = await startPlatform({ client: { instruments } })
    await platform.deploy("echo")
    await platform.peer.serve("function.js.echo", echo)
    await platform.client.invoke("echo", event)
    await platform.client.tryInvoke("made-up", event)
    expect(heard).toEqual(["default/echo ok true", "unknown not_found true"])
  })
})
