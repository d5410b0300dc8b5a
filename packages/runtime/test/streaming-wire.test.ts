/** What the messages of a stream look like, and what becomes of one that goes wrong: docs/protocol.md#streaming. */
import { STREAM_WINDOW } from "@fn/core"
import { isAlive, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { StreamCall, type StreamCallOptions } from "./streaming/stream-caller.js"
import { failure, header, startTestHost, type TestHost } from "./test-host.js"

jest.setTimeout(30_000)

const numbers = (count: number): { type: string; data: number }[] =>
  Array.from({ length: count }, (_, n) => ({ type: "com.example.counted", data: n }))

describe("R-IV-5: a stream on the wire", () => {
  let host: TestHost
  let cleaned = 0
  let endedWith: unknown

  beforeAll(async () => {
    host = await startTestHost({
      builtins: {
        array: (event) => numbers((event.data as { n: number }).n),
        none: () => undefined,
        one: async () => ({ type: "com.example.one", data: 1 }),
        *generator(event) {
          yield* numbers((event.data as { n: number }).n)
        },
        async *large() {
          try {
            yield { type: "small", data: 1 }
            yield { type: "large", data: "x".repeat(2_000_000) }
          } finally {
            cleaned++
          }
        },
        async *junk() {
          yield { type: "fine", data: 1 }
          yield "text" as never
        },
        async *slow(_event, ctx) {
          yield { type: "first" }
          await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()))
          endedWith = ctx.signal.reason
        },
      },
    })
    for (const name of ["array", "none", "one", "generator", "large", "junk", "slow"]) await host.deployBuiltin(name)
  })
  afterAll(async () => host[Symbol.asyncDispose]())

  const call = (name: string, data: unknown = {}, options?: StreamCallOptions): StreamCall =>
    new StreamCall(host.nc, `function.js.${name}`, { type: "com.example.asked", data }, options)

  test("an event is a message in binary mode that names where credit goes; the end is empty and says how many there were", async () => {
    using stream = call("one")
    const end = await stream.ended()
    const [event] = stream.events
    expect([...(event?.msg.headers?.keys() ?? [])].sort()).toEqual(
      [
        ...["Fn-Attempt", "Fn-Invocation-Id", "Fn-Seq", "Fn-Version"],
        ...["ce-datacontenttype", "ce-id", "ce-source", "ce-specversion", "ce-time", "ce-type"],
      ].sort(),
    )
    expect(event).toMatchObject({ seq: 1, type: "com.example.one", data: 1 })
    expect(event?.msg.reply).toMatch(/^_INBOX\./)
    expect(Object.fromEntries([...(end.msg.headers ?? [])].map(([name, [value]]) => [name, value]))).toEqual({
      "Fn-Invocation-Id": stream.invocationId,
      "Fn-Attempt": "1",
      "Fn-Version": "0.0.1",
      "Fn-Seq": "2",
      "Fn-End": "ok",
      "Fn-Events": "1",
    })
  })

  test("structured mode is there for who asks for it", async () => {
    using stream = call("one", {}, { headers: { "Fn-Accept": "stream, structured" } })
    await stream.ended()
    expect(header(stream.events[0]?.msg as never, "content-type")).toBe("application/cloudevents+json")
    expect(stream.events[0]?.data).toMatchObject({ type: "com.example.one", data: 1, specversion: "1.0" })
  })

  test("a function that answers at once is streamed all the same, as far as there is credit", async () => {
    using nothing = call("none")
    expect((await nothing.ended()).seq).toBe(1)
    for (const name of ["array", "generator"]) {
      using stream = call(name, { n: 100 }, { grants: false })
      await stream.atLeast(STREAM_WINDOW)
      using other = call("one")
      await other.ended()
      expect(stream.messages).toHaveLength(STREAM_WINDOW)
      stream.grant(1_000)
      expect((await stream.ended()).seq).toBe(101)
      expect(stream.events.map(({ data }) => data)).toEqual(numbers(100).map(({ data }) => data))
    }
  })

  test("credit for a million is taken at its word, and 20 000 events still come in order", async () => {
    using stream = call("generator", { n: 20_000 }, { grants: false })
    await stream.atLeast(STREAM_WINDOW)
    stream.grant(1_000_000)
    expect((await stream.ended()).seq).toBe(20_001)
    expect(stream.events.map(({ data }) => data)).toEqual(numbers(20_000).map(({ data }) => data))
  }, 30_000)

  test("what is no credit grants nothing", async () => {
    using stream = call("array", { n: 65 }, { grants: false })
    await stream.atLeast(STREAM_WINDOW)
    for (const count of [0, -5, 1.5, Number.NaN]) stream.grant(count)
    using other = call("one")
    await other.ended()
    expect(stream.messages).toHaveLength(STREAM_WINDOW)
    stream.grant(2)
    expect((await stream.ended()).end).toBe("ok")
  })

  test("an event the server would refuse ends the stream with OUTPUT_LIMIT, and the function with it", async () => {
    using stream = call("large")
    const end = await stream.ended()
    expect([end.seq, end.end, failure(end.msg)]).toEqual([2, "error", "resource_exhausted OUTPUT_LIMIT"])
    await until(() => cleaned === 1, { name: "the function to be ended" })
  })

  test("what is no event ends it with BAD_OUTPUT, after the events before", async () => {
    using stream = call("junk")
    expect(failure((await stream.ended()).msg)).toBe("failed_precondition BAD_OUTPUT")
    expect(stream.events.map(({ type }) => type)).toEqual(["fine"])
  })

  test("a call that is refused ends its stream at once", async () => {
    using badEvent = call("one", {}, { headers: { "ce-specversion": "7" } })
    expect(await badEvent.ended()).toMatchObject({ seq: 1, end: "error" })
    expect(failure((await badEvent.ended()).msg)).toBe("invalid_argument INVALID_EVENT")
    using noVersion = call("one", {}, { headers: { "Fn-Version": "9.9.9" } })
    expect(failure((await noVersion.ended()).msg)).toBe("not_found VERSION_NOT_FOUND")
  })

  test("a started message comes beside the events, without a number of its own", async () => {
    using stream = call("slow", {}, { headers: { "Fn-Accept": "stream started" } })
    await until(() => stream.started.length > 0, { name: "the started message" })
    expect(stream.started).toEqual([host.runtime.host])
    stream.cancel()
    expect(await stream.ended()).toMatchObject({ seq: 2, end: "cancelled" })
    await until(() => endedWith, { name: "the signal" })
    expect(endedWith).toMatchObject({ reason: "CANCELLED" })
  })

  test("a report counts the events that were handed over", async () => {
    using stream = call("array", { n: 3 })
    await stream.ended()
    const reported = await until(() => host.reports.find(({ invocationId }) => invocationId === stream.invocationId), {
      name: "the report",
    })
    expect(reported).toMatchObject({ ok: true, eventsOut: 3 })
  })

  test("a publish without reply subject is answered as any other, whatever it accepts", async () => {
    const result = host.nc.subscribe("function.result.plain-1", { max: 1 })
    await host.request("function.js.none", "{}") // a round trip: the subscription is known to the server
    const { headers } = await import("@nats-io/transport-node")
    const block = headers()
    for (const [name, value] of Object.entries({ "Fn-Accept": "stream", "Fn-Invocation-Id": "plain-1" })) block.set(name, value)
    host.nc.publish("function.js.array", '{"n":2}', { headers: block })
    for await (const msg of result) expect(header(msg, "Fn-Events")).toBe("2")
  })
})

describe("R-IV-5: an endless function whose caller wants one reply", () => {
  test.each(["builtin", "module"])("runs into its deadline as a %s, and harms nobody else", async (runtime) => {
    const source = "export default async function* () { for (;;) { yield { type: 'tick' }; await new Promise(setImmediate) } }"
    const builtin = async function* () {
      for (;;) {
        yield { type: "tick" }
        await new Promise(setImmediate)
      }
    }
    await using host = await startTestHost({ builtins: { endless: builtin, other: () => ({ type: "ok" }) } })
    await host.deployBuiltin("other")
    await (runtime === "builtin" ? host.deployBuiltin("endless") : host.deployModule("endless", source))
    const late = host.request("function.js.endless", "{}", { "Fn-Timeout-Ms": "300" })
    expect(header(await host.request("function.js.other", "{}"), "ce-type")).toBe("ok")
    expect(failure(await late)).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await until(() => host.runtime.status().running === 0, { name: "its slot to be free" })
  })

  test("one that never waits is told that it yields too much", async () => {
    const builtin = async function* () {
      for (;;) yield { type: "tick" }
    }
    await using host = await startTestHost({ builtins: { endless: builtin } })
    await host.deployBuiltin("endless")
    expect(failure(await host.request("function.js.endless", "{}"))).toBe("resource_exhausted OUTPUT_LIMIT")
  })
})

describe("R-IV-5: a stream that breaks", () => {
  const ENDLESS = `let cleaned = false
    export default async function* (event) {
      if (event.data.ask) return yield { type: 'seen', data: { cleaned } }
      try { for (let n = 0; ; n++) yield { type: 'tick', data: n } } finally { cleaned = true }
    }`

  test("a host that loses its connection stops the function", async () => {
    await using host = await startTestHost()
    await host.deployModule("endless", ENDLESS)
    using stream = new StreamCall(host.nc, "function.js.endless", { type: "go", data: {} }, { grants: false })
    await stream.atLeast(STREAM_WINDOW)
    await host.server.restart()
    // What is asked while the connections are down vanishes.
    const cleaned = async (): Promise<boolean> => {
      const seen = (await host.request("function.js.endless", '{"ask":true}', {}, 500)).json() as { cleaned: boolean }
      return seen.cleaned
    }
    await until(cleaned, { name: "the function to clean up", timeoutMs: 20_000 })
  }, 30_000)

  test("a process that dies in the middle ends the stream with FUNCTION_CRASHED", async () => {
    await using host = await startTestHost()
    await host.deployModule("fragile", "export default async function* () { yield { type: 'pid', data: process.pid }; process.exit(3) }")
    using stream = new StreamCall(host.nc, "function.js.fragile", { type: "go", data: {} })
    expect(failure((await stream.ended()).msg)).toBe("unavailable FUNCTION_CRASHED")
  })

  test("a module process that sends more than it has credit for is ended: its function wrote to the socket itself", async () => {
    await using host = await startTestHost()
    await host.deployModule(
      "forger",
      `import { writeSync } from 'node:fs'
       export default async function* () {
         yield { type: 'pid', data: process.pid }
         const head = JSON.stringify({ id: 'x', source: '/x', type: 'forged', specversion: '1.0' })
         const body = Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, head.length, 0, 0, 0, 0]), Buffer.from(head)])
         const frame = Buffer.concat([Buffer.from([0, 0, 0, body.length + 5, 12, 0, 0, 0, 1]), body])
         writeSync(3, Buffer.concat(Array.from({ length: 200 }, () => frame)))
         await new Promise(() => undefined)
       }`,
    )
    using stream = new StreamCall(host.nc, "function.js.forger", { type: "go", data: {} }, { grants: false })
    expect(failure((await stream.ended()).msg)).toBe("unavailable FUNCTION_CRASHED")
    const pid = stream.events[0]?.data as number
    await until(() => !isAlive(pid), { name: "the process to be gone" })
  })
})
