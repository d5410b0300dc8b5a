/** What the client makes of a stream's messages, sent by a peer as the wire describes them: docs/protocol.md#streaming. */
import { type CloudEvent, errorBody, errorHeaderLines, FnError, Header, headerLine } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { until } from "@fn/testing"
import { describe, expect, jest, test } from "@jest/globals"
import type { ReceivedCall } from "../test/peer.js"
import { type Platform, startPlatform } from "../test/platform.js"
import type { EventStream } from "./index.js"

jest.setTimeout(30_000)

const WINDOW = 64
/** Where the peer takes credit. */
const CREDIT = "_INBOX.peer"
const event = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const

/** The host's end of a stream. */
class Yielding {
  readonly call: ReceivedCall
  #seq = 0

  constructor(call: ReceivedCall) {
    this.call = call
  }

  /** Events whose data is their place in the stream. */
  yield(count: number = 1): void {
    for (let n = 0; n < count; n++) this.yieldAs(this.#seq + 1)
  }

  yieldAs(seq: number, data: string = String(seq - 1)): void {
    this.#seq = seq
    const lines = ["ce-id", "ce-source", "ce-type"].map((name) => headerLine(name, "x")).join("") + headerLine("ce-specversion", "1.0")
    this.call.raw(lines + headerLine("content-type", "application/json") + headerLine(Header.seq, seq), data, CREDIT)
  }

  end(error?: FnError, seq: number = this.#seq + 1): void {
    const end = error === undefined ? "ok" : error.code === "cancelled" ? "cancelled" : "error"
    const lines = headerLine(Header.seq, seq) + headerLine(Header.end, end) + headerLine(Header.events, this.#seq)
    this.call.raw(error ? lines + errorHeaderLines(error) : lines, error ? errorBody(error) : "")
  }
}

/** A client, and a function `stream` of a peer; `opened` gives the host's end of the first call. */
async function startStreaming(options: Parameters<typeof startPlatform>[0] = {}): Promise<Streaming> {
  const platform = await startPlatform(options)
  await platform.deploy("stream")
  const grants: number[] = []
  const hostNc = await platform.server.connect(options.user)
  hostNc.subscribe(CREDIT, { callback: (_error, msg) => void grants.push(Number(msg.headers?.get(Header.credit))) })
  await hostNc.flush()
  let open: (host: Yielding) => void = () => undefined
  const opened = new Promise<Yielding>((resolve) => {
    open = resolve
  })
  await platform.peer.serve("function.js.stream", (call) => open(new Yielding(call)))
  return { platform, opened, grants, hostNc, [Symbol.asyncDispose]: () => platform[Symbol.asyncDispose]() }
}

interface Streaming extends AsyncDisposable {
  readonly platform: Platform
  readonly opened: Promise<Yielding>
  /** `Fn-Credit` of what the caller granted. */
  readonly grants: number[]
  readonly hostNc: NatsConnection
}

async function take(stream: EventStream, count: number): Promise<unknown[]> {
  const data: unknown[] = []
  while (data.length < count) data.push(((await stream.next()).value as CloudEvent).data)
  return data
}

describe("R-IV-5: a stream", () => {
  test.concurrent("asks for one, and gives the events as they come", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event, { timeoutMs: 20_000 })
    const host = await streaming.opened
    expect(host.call.headers.get(Header.accept)?.split(" ")).toEqual(expect.arrayContaining(["stream", "started"]))
    expect(stream.invocationId).toBe(host.call.invocationId)
    host.yield()
    expect(await stream.next()).toMatchObject({ done: false, value: { type: "x", data: 0 } })
    const second = stream.next()
    host.yield()
    expect((await second).value?.data).toBe(1)
    host.end()
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(streaming.platform.peer.cancelled).toEqual([])
  })

  test.concurrent("grants credit as events are taken, in halves of the window, and none while nobody takes them", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(WINDOW)
    expect(await take(stream, WINDOW / 2 - 1)).toHaveLength(WINDOW / 2 - 1)
    await streaming.platform.nc.flush()
    await streaming.hostNc.flush()
    expect(streaming.grants).toEqual([])
    await take(stream, 1)
    await until(() => streaming.grants.length > 0, { name: "credit" })
    expect(streaming.grants).toEqual([WINDOW / 2])
    host.yield(WINDOW / 2)
    expect(await take(stream, WINDOW)).toEqual(Array.from({ length: WINDOW }, (_, n) => n + WINDOW / 2))
    await until(() => streaming.grants.length === 3, { name: "all credit to be back" })
  })

  test.concurrent("loses nothing silently: a gap is STREAM_BROKEN, after what came before, and the function is told", async () => {
    await using streaming = await startStreaming()
    const { platform } = streaming
    const stream = platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(2)
    host.yieldAs(4)
    host.yield()
    expect(await take(stream, 2)).toEqual([0, 1])
    await expect(stream.next()).rejects.toMatchObject({ code: "unavailable", reason: "STREAM_BROKEN" })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await until(() => platform.peer.cancelled.length > 0, { name: "the cancel" })
    expect(platform.peer.cancelled).toEqual([`function.cancel.default.${host.call.invocationId}`])
  })

  test.concurrent("an end with another number than the next one is a gap, too", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield()
    host.end(undefined, 3)
    await take(stream, 1)
    await expect(stream.next()).rejects.toMatchObject({ reason: "STREAM_BROKEN" })
  })

  test.concurrent("holds a window of events at most: a host that sends more breaks the stream", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(WINDOW + 1)
    await until(() => streaming.platform.peer.cancelled.length > 0, { name: "the cancel" })
    await expect(take(stream, WINDOW + 2)).rejects.toMatchObject({ reason: "STREAM_BROKEN" })
  })

  test.concurrent("ends with the function's error, after the events before it", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(3)
    host.end(FnError.terminal("CARD_DECLINED", "no money", { order: 7 }))
    expect(await take(stream, 3)).toEqual([0, 1, 2])
    await expect(stream.next()).rejects.toMatchObject({ reason: "CARD_DECLINED", message: "no money", details: { order: 7 } })
  })

  test.concurrent("break ends the call and tells the function; what comes later is dropped", async () => {
    await using streaming = await startStreaming()
    const { platform } = streaming
    const stream = platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(5)
    const seen: unknown[] = []
    for await (const { data } of stream) {
      seen.push(data)
      if (seen.length === 2) break
    }
    await until(() => platform.peer.cancelled.length > 0, { name: "the cancel" })
    expect(platform.peer.cancelled).toEqual([`function.cancel.default.${host.call.invocationId}`])
    host.yield()
    expect(seen).toEqual([0, 1])
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  test.concurrent("a throw in the loop, disposal and an aborted signal cancel it as well", async () => {
    for (const way of ["throw", "dispose", "abort", "cancel"]) {
      await using streaming = await startStreaming()
      const { platform } = streaming
      const abort = new AbortController()
      const stream = platform.client.stream("stream", event, { signal: abort.signal })
      const host = await streaming.opened
      host.yield(3)
      await take(stream, 1)
      if (way === "throw") {
        const loop = async (): Promise<void> => {
          for await (const _ of stream) throw new Error("mine")
        }
        await expect(loop()).rejects.toThrow("mine")
      } else if (way === "dispose") await stream[Symbol.asyncDispose]()
      else {
        if (way === "abort") abort.abort()
        else stream.cancel("enough")
        await expect(stream.next()).rejects.toMatchObject({ code: "cancelled" })
      }
      expect(await stream.next()).toEqual({ done: true, value: undefined })
      await until(() => platform.peer.cancelled.length > 0, { name: `the cancel after ${way}` })
    }
  })

  test.concurrent("its deadline is for all of it", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event, { timeoutMs: 1_000 })
    const host = await streaming.opened
    host.yield(2)
    expect(await take(stream, 2)).toEqual([0, 1])
    await expect(stream.next()).rejects.toMatchObject({ code: "deadline_exceeded" })
  })

  test.concurrent("what is wrong before it begins is told by the first step", async () => {
    await using streaming = await startStreaming()
    const { client } = streaming.platform
    await expect(client.stream("Not A Name", event).next()).rejects.toMatchObject({ reason: "INVALID_NAME" })
    await expect(client.stream("nobody", event).next()).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
    expect(() => client.stream("stream", { ...event, type: "" })).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })

  test.concurrent("a host that does not stream answers in one reply, and a refusal has no number", async () => {
    await using platform = await startPlatform()
    for (const name of ["several", "refused"]) await platform.deploy(name)
    await platform.peer.serve("function.js.several", (call) => call.events([call.event, { ...call.event, data: undefined }]))
    await platform.peer.serve("function.js.refused", (call) => call.error(FnError.of("QUEUE_FULL", "busy")))
    const seen: CloudEvent[] = []
    for await (const one of platform.client.stream("several", { ...event, data: 1 })) seen.push(one)
    expect(seen.map(({ data }) => data)).toEqual([1, undefined])
    await expect(platform.client.stream("refused", event).next()).rejects.toMatchObject({ reason: "QUEUE_FULL" })
  })

  test.concurrent("data that is not what its type says is BAD_OUTPUT, and the function is told", async () => {
    await using streaming = await startStreaming()
    const { platform } = streaming
    const stream = platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yieldAs(1, "{")
    await expect(stream.next()).rejects.toMatchObject({ reason: "BAD_OUTPUT" })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await until(() => platform.peer.cancelled.length > 0, { name: "the cancel" })
  })

  test.concurrent("a user who may not grant credit learns it, instead of waiting for ever", async () => {
    const users = `{ user: a, password: a }, { user: b, password: b, permissions: { publish: { deny: "${CREDIT}" } } }`
    await using streaming = await startStreaming({
      server: { config: `authorization { users: [${users}] }`, jetstream: false },
      user: { user: "a", password: "a" },
      clientUser: { user: "b", password: "b" },
    })
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(WINDOW)
    await expect(take(stream, WINDOW + 1)).rejects.toMatchObject({ code: "permission_denied", reason: "NATS_PERMISSION" })
  })

  test.concurrent("a user who may answer what it gets (allow_responses) may grant credit", async () => {
    const permissions = 'permissions: { publish: { allow: "function.>" }, allow_responses: { max: 2 } }'
    await using streaming = await startStreaming({
      server: { config: `authorization { users: [{ user: a, password: a }, { user: b, password: b, ${permissions} }] }`, jetstream: false },
      user: { user: "a", password: "a" },
      clientUser: { user: "b", password: "b" },
    })
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    host.yield(WINDOW)
    await take(stream, WINDOW)
    await until(() => streaming.grants.length === 2, { name: "all credit to be back" })
  })

  test.concurrent("steps asked for ahead are served in order, and all end with it", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    const host = await streaming.opened
    const steps = [stream.next(), stream.next(), stream.next(), stream.next()]
    host.yield(2)
    host.end()
    const taken = await Promise.all(steps)
    expect(taken.map(({ done, value }) => [done, value?.data])).toEqual([
      [false, 0],
      [false, 1],
      [true, undefined],
      [true, undefined],
    ])
  })

  test.concurrent("ends as cancelled when the client is closed", async () => {
    await using streaming = await startStreaming()
    const stream = streaming.platform.client.stream("stream", event)
    await streaming.opened
    const step = expect(stream.next()).rejects.toMatchObject({ code: "cancelled" })
    await streaming.platform.client.close()
    await step
  })
})

describe("R-IV-4: onStarted", () => {
  test.concurrent("hears once of the host that started the call, before its result", async () => {
    await using platform = await startPlatform()
    await platform.deploy("slow")
    const calls: ReceivedCall[] = []
    await platform.peer.serve("function.js.slow", (call) => {
      calls.push(call)
      call.start()
      call.start()
    })
    const started: unknown[] = []
    const result = platform.client.invoke("slow", event, { onStarted: (told) => void started.push(told) })
    await until(() => started.length > 0, { name: "the started message" })
    const [call] = calls as [ReceivedCall]
    expect(started).toEqual([{ host: platform.peer.host, invocationId: call.invocationId }])
    call.events([call.event])
    expect(await result).toHaveLength(1)
    expect(started).toHaveLength(1)
  })

  test.concurrent("what it throws cancels the call", async () => {
    await using platform = await startPlatform()
    await platform.deploy("slow")
    await platform.peer.serve("function.js.slow", (call) => call.start())
    const onStarted = (): never => {
      throw FnError.terminal("MINE", "I do not like it")
    }
    await expect(platform.client.invoke("slow", event, { onStarted })).rejects.toMatchObject({ reason: "MINE" })
    await until(() => platform.peer.cancelled.length > 0, { name: "the cancel" })
  })
})
