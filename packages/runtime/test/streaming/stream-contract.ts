import { INSTANCE_STREAM_WINDOW, STREAM_WINDOW } from "@fn/core"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { failure, header, startTestHost, type TestHost } from "../test-host.js"
import { StreamCall, type StreamCallOptions } from "./stream-caller.js"

/** What the fixture `streams` remembers of a call. */
interface Seen {
  readonly yielded: number
  readonly abortedAt?: number
  readonly cleaned?: boolean
}

/** What a streaming function must do on a host, whatever runs it. `deploy` makes the fixture `streams` known as `function.js.streams`. */
export function streamContract(name: string, options: { deploy(host: TestHost): Promise<void>; builtins?: Record<string, never> }): void {
  describe(`R-IV-5: a streaming function, ${name}`, () => {
    let host: TestHost

    beforeAll(async () => {
      host = await startTestHost({ ...(options.builtins ? { builtins: options.builtins } : {}) })
      await options.deploy(host)
    }, 60_000)
    afterAll(async () => host[Symbol.asyncDispose]())

    const call = (type: string, data: unknown, callOptions?: StreamCallOptions): StreamCall =>
      new StreamCall(host.nc, "function.js.streams", { type, data }, callOptions)
    const ask = async (key: string): Promise<Seen> => {
      using asked = call("ask", { key })
      return (await asked.atLeast(1))[0]?.data as Seen
    }

    test("its events arrive while it still runs, and are emitted as they come", async () => {
      const emitted: string[] = []
      const subscription = host.nc.subscribe("event.default.*", { callback: (_error, msg) => void emitted.push(msg.subject) })
      await host.nc.flush()
      using stream = call("steps", { key: "steps" })
      expect((await stream.atLeast(1)).map(({ type, data, seq }) => [type, data, seq])).toEqual([["first", "steps", 1]])
      await until(() => emitted.length === 1, { name: "the first event to be emitted" })
      // Only now may it go on.
      using step = call("step", { key: "steps" })
      const end = await stream.ended()
      expect(stream.messages.map(({ type, seq }) => [type, seq])).toEqual([
        ["first", 1],
        ["second", 2],
        [undefined, 3],
      ])
      expect([end.end, header(end.msg, "Fn-Events"), end.msg.data.length]).toEqual(["ok", "2", 0])
      expect(header(end.msg, "Fn-Invocation-Id")).toBe(stream.invocationId)
      expect(header(stream.events[0]?.msg as never, "Fn-Version")).toBe("0.0.1")
      await step.ended()
      await until(() => emitted.length === 2, { name: "the second event to be emitted" })
      expect(emitted).toEqual(["event.default.first", "event.default.second"])
      subscription.unsubscribe()
    })

    test("a function whose caller grants nothing pauses, and goes on as far as there is credit", async () => {
      using stream = call("endless", { key: "paused" }, { grants: false })
      await stream.atLeast(STREAM_WINDOW)
      // Plenty of turns for everybody: other calls go on beside the one that is held.
      using other = call("count", { n: 2_000 })
      expect((await other.ended()).end).toBe("ok")
      const most = STREAM_WINDOW + INSTANCE_STREAM_WINDOW + 1
      expect((await ask("paused")).yielded).toBeLessThanOrEqual(most)
      expect(stream.messages).toHaveLength(STREAM_WINDOW)
      stream.grant(10)
      await stream.atLeast(STREAM_WINDOW + 10)
      using another = call("count", { n: 2_000 })
      await another.ended()
      expect((await ask("paused")).yielded).toBeLessThanOrEqual(most + 10)
      expect(stream.messages).toHaveLength(STREAM_WINDOW + 10)
      stream.cancel()
      await stream.ended()
    })

    test("a cancel ends it within a second: its signal fires, and it cleans up", async () => {
      using stream = call("endless", { key: "cancelled" })
      await stream.atLeast(500)
      const cancelledAt = Date.now()
      stream.cancel()
      const end = await stream.ended()
      expect([end.end, failure(end.msg)]).toEqual(["cancelled", "cancelled CANCELLED"])
      await until(async () => (await ask("cancelled")).cleaned, { name: "the function to clean up" })
      expect((await ask("cancelled")).abortedAt as number).toBeLessThan(cancelledAt + 1_000)
    })

    test("a function that fails after some events ends the stream with its error", async () => {
      using stream = call("fails", { n: 70 })
      const end = await stream.ended()
      expect(stream.events.map(({ data }) => data)).toEqual(Array.from({ length: 70 }, (_, n) => n))
      expect([end.seq, end.end, failure(end.msg)]).toEqual([71, "error", "unknown FUNCTION_THREW"])
      expect([header(end.msg, "Fn-Events"), end.data]).toEqual(["70", expect.objectContaining({ message: "no luck" })])
    })

    test("the deadline passes also while it waits for credit", async () => {
      using stream = call("endless", { key: "late" }, { grants: false, headers: { "Fn-Timeout-Ms": "300" } })
      const end = await stream.ended()
      expect([end.seq, end.end, failure(end.msg)]).toEqual([STREAM_WINDOW + 1, "error", "deadline_exceeded FUNCTION_TIMEOUT"])
      await until(async () => (await ask("late")).cleaned, { name: "the function to clean up" })
    })

    test("a caller that goes away without a word stops it", async () => {
      const stream = call("endless", { key: "left" })
      await stream.atLeast(100)
      stream[Symbol.dispose]()
      // It may have paused just then; the next event tells the host that nobody is there.
      stream.grant(1)
      await until(async () => (await ask("left")).cleaned, { name: "the function to be stopped" })
      expect(await ask("left")).toMatchObject({ abortedAt: expect.any(Number) })
    })

    test("10 000 events arrive in order, none missing", async () => {
      using stream = call("count", { n: 10_000 })
      expect((await stream.ended()).end).toBe("ok")
      expect(stream.events.map(({ data }) => data)).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
      expect(stream.messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 10_001 }, (_, n) => n + 1))
    }, 60_000)

    test("who does not ask for a stream gets all events in one reply", async () => {
      const attributes = { "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/test", "ce-type": "count" }
      const reply = await host.request("function.js.streams", '{"n":100}', attributes)
      expect([header(reply, "Fn-Events"), header(reply, "Fn-Seq")]).toEqual(["100", undefined])
      expect((reply.json() as { data: number }[]).map(({ data }) => data)).toEqual(Array.from({ length: 100 }, (_, n) => n))
    })
  })
}
