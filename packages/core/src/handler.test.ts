import { describe, expect, test } from "@jest/globals"
import { CreditWindow } from "./credit.js"
import { FnError } from "./errors.js"
import type { EventInit, WireEvent } from "./event/event.js"
import {
  type EventSink,
  ExecutionContext,
  functionFromExports,
  type HandlerOutput,
  handlerError,
  outputToSink,
  outputToWire,
} from "./handler.js"

const fn = { namespace: "shop", name: "charge", version: "1.0.0", instance: "i1" }

describe("R-FN-1: what a module exports", () => {
  const handler = (): void => undefined
  const defined = { execute: handler }

  test("a bare handler as default export", () => {
    expect(functionFromExports({ default: handler }).execute).toBe(handler)
  })

  test("an object with execute as default export, also beside others", () => {
    expect(functionFromExports({ default: defined, other: { execute: handler } })).toBe(defined)
  })

  test("the only defined function, whatever it is called", () => {
    expect(functionFromExports({ charge: defined, helper: handler, VERSION: 1 })).toBe(defined)
  })

  test.each([
    ["nothing", {}],
    ["a default export that is no function", { default: 5 }],
    ["only a bare function under a name", { handler }],
    ["several defined functions", { a: defined, b: { execute: handler } }],
  ])("%s is no function, and says why", (_title, exports) => {
    expect(() => functionFromExports(exports)).toThrow(expect.objectContaining({ code: "failed_precondition", reason: "LOAD_FAILED" }))
  })
})

describe("R-FN-1: what a handler returns", () => {
  const event: EventInit = { type: "t" }

  test("nothing is no events", () => {
    expect(outputToWire(undefined, fn)).toEqual([])
    expect(outputToWire(null, fn)).toEqual([])
    expect(outputToWire([], fn)).toEqual([])
  })

  test("one event, with id, source, specversion and time filled in", async () => {
    const [wire] = (await outputToWire({ type: "t", data: { a: 1 } }, fn)) as [WireEvent]
    expect(wire.attributes).toMatchObject({
      type: "t",
      source: "/functions/shop/charge",
      specversion: "1.0",
      datacontenttype: "application/json",
    })
    expect(wire.attributes.id).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(Date.parse(wire.attributes.time as string)).not.toBeNaN()
    expect(Buffer.from(wire.data as Uint8Array).toString()).toBe('{"a":1}')
  })

  test("what the author filled in stays", () => {
    const own = { id: "7", source: "/mine", specversion: "1.0", type: "t", time: "2026-01-01T00:00:00Z" }
    expect(outputToWire(own as EventInit, fn)).toEqual([{ attributes: own, data: undefined }])
  })

  test("an array, a generator and an async generator, in order", async () => {
    function* many(): Generator<EventInit> {
      yield { type: "a" }
      yield { type: "b" }
    }
    async function* later(): AsyncGenerator<EventInit> {
      yield* many()
    }
    for (const output of [[{ type: "a" }, { type: "b" }], many(), later()]) {
      const wires = await outputToWire(output, fn)
      expect(wires.map((wire) => wire.attributes.type)).toEqual(["a", "b"])
    }
  })

  test.each<[string, unknown]>([
    ["a text", "hello"],
    ["a number", 5],
    ["an object without type", { data: 1 }],
    ["null among events", [event, null]],
    ["a text among events", [event, "x"]],
    ["bytes", new Uint8Array(3)],
    ["an extension that is an object", { ...event, ext: {} }],
    ["data that JSON cannot hold", { ...event, data: 1n }],
  ])("%s is BAD_OUTPUT", (_title, output) => {
    expect(() => outputToWire(output as HandlerOutput, fn)).toThrow(
      expect.objectContaining({ code: "failed_precondition", reason: "BAD_OUTPUT" }),
    )
  })

  test("what an async generator throws is the handler's own failure", async () => {
    async function* failing(): AsyncGenerator<EventInit> {
      yield event
      throw FnError.terminal("MINE", "stop")
    }
    await expect(outputToWire(failing(), fn)).rejects.toMatchObject({ reason: "MINE" })
  })

  test("an endless generator is read until its execution is aborted, others having their turn, or until it is too much", async () => {
    let cleaned = 0
    async function* endless(): AsyncGenerator<EventInit> {
      try {
        for (;;) yield event
      } finally {
        cleaned++
      }
    }
    const context = new ExecutionContext({ invocationId: "id", attempt: 1, deadline: 1_000, fn, config: {} })
    setImmediate(() => context.abort(FnError.of("FUNCTION_TIMEOUT", "late")))
    await expect(outputToWire(endless(), fn, context)).rejects.toMatchObject({ reason: "FUNCTION_TIMEOUT" })
    await expect(outputToWire(endless(), fn)).rejects.toMatchObject({ reason: "OUTPUT_LIMIT" })
    expect(cleaned).toBe(2)
    function* sync(): Generator<EventInit> {
      for (;;) yield event
    }
    expect(() => outputToWire(sync(), fn)).toThrow(expect.objectContaining({ reason: "OUTPUT_LIMIT" }))
  }, 30_000)

  test("a plain throw is FUNCTION_THREW, an FnError stays itself", () => {
    const own = FnError.terminal("MINE", "stop")
    expect(handlerError(own)).toBe(own)
    expect(handlerError(new Error("boom"))).toMatchObject({ code: "unknown", reason: "FUNCTION_THREW", message: "boom" })
  })
})

describe("R-IV-5: output handed over as it comes", () => {
  /** A sink that is ready for `limit` events, and what it got. */
  function sinkOf(limit: number): { written: string[]; credit: CreditWindow; sink: EventSink } {
    const written: string[] = []
    const credit = new CreditWindow(limit)
    const write = ({ attributes }: WireEvent): Promise<void> | undefined => {
      written.push(attributes.type)
      return credit.spend()
    }
    return { written, credit, sink: { write } }
  }
  const all = { type: "one" }

  test.each<[string, () => HandlerOutput | Promise<HandlerOutput>, string[]]>([
    ["nothing", () => undefined, []],
    ["null", () => null, []],
    ["an event", () => all, ["one"]],
    ["a promise of an event", async () => all, ["one"]],
    ["an array", () => [all, { type: "two" }], ["one", "two"]],
    ["a promise of an array", async () => [all, { type: "two" }], ["one", "two"]],
  ])("%s", async (_title, output, expected) => {
    const { written, sink } = sinkOf(10)
    await outputToSink(output(), fn, sink)
    expect(written).toEqual(expected)
  })

  test("a generator, async or not, is asked for its next event only when the sink is ready", async () => {
    let asked = 0
    async function* later(): AsyncGenerator<EventInit> {
      for (; asked < 5; asked++) yield { type: `e${asked}` }
    }
    function* now(): Generator<EventInit> {
      for (; asked < 5; asked++) yield { type: `e${asked}` }
    }
    for (const generate of [later, now]) {
      asked = 0
      const { written, credit, sink } = sinkOf(2)
      const done = outputToSink(generate(), fn, sink)
      await new Promise(setImmediate)
      expect([asked, written]).toEqual([1, ["e0", "e1"]])
      credit.grant(10)
      await done
      expect(written).toEqual(["e0", "e1", "e2", "e3", "e4"])
    }
  })

  test("a sink that is closed ends the generator, whose finally runs", async () => {
    let cleaned = false
    async function* endless(): AsyncGenerator<EventInit> {
      try {
        for (;;) yield all
      } finally {
        cleaned = true
      }
    }
    const { credit, sink } = sinkOf(1)
    const done = outputToSink(endless(), fn, sink)
    credit.close(FnError.of("CANCELLED", "enough"))
    await expect(done).rejects.toMatchObject({ reason: "CANCELLED" })
    expect(cleaned).toBe(true)
  })

  test("what is no event is BAD_OUTPUT, after the events before it", async () => {
    const { written, sink } = sinkOf(10)
    await expect(outputToSink([all, 1] as never, fn, sink)).rejects.toMatchObject({ reason: "BAD_OUTPUT" })
    await expect(outputToSink("text" as never, fn, sink)).rejects.toMatchObject({ reason: "BAD_OUTPUT" })
    expect(written).toEqual(["one"])
  })
})

describe("R-FN-2: the context of an execution", () => {
  const options = { invocationId: "id", attempt: 2, deadline: 1_000, fn, config: { a: 1 } }

  test("carries what the host says and harmless defaults for the rest", () => {
    const ctx = new ExecutionContext(options)
    expect(ctx).toMatchObject({ ...options, secrets: {}, deps: undefined })
    ctx.log.info("x")
    ctx.span.setAttribute("a", 1)
    ctx.metrics.count("n")
  })

  test("the signal is one and the same, and fires with the reason when the execution is aborted", () => {
    const ctx = new ExecutionContext(options)
    const { signal } = ctx
    expect(ctx.signal).toBe(signal)
    expect(signal.aborted).toBe(false)
    ctx.abort("the caller cancelled")
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toBe("the caller cancelled")
  })

  test("a signal asked for after the abort has fired already", () => {
    const ctx = new ExecutionContext(options)
    ctx.abort("too late")
    expect(ctx.signal.aborted).toBe(true)
    expect(ctx.signal.reason).toBe("too late")
  })

  test("the first reason stays, even if it is undefined", () => {
    const ctx = new ExecutionContext(options)
    ctx.abort(undefined)
    ctx.abort("second")
    expect(ctx.signal.aborted).toBe(true)
    expect(ctx.signal.reason).not.toBe("second")
  })
})
