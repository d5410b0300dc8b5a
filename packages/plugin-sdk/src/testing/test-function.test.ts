import { describe, expect, test } from "@jest/globals"
import { z } from "zod"
import { Paid, Placed } from "../../test/shop.js"
import { defineFunction, FnError, type TypedEvent } from "../index.js"
import { testFunction } from "./index.js"

const order = { orderId: "o1", tenant: "t", cents: 5 }

const charge = defineFunction({
  name: "charge",
  on: Placed,
  emits: [Paid],
  config: z.object({ prefix: z.string() }),
  setup: ({ secrets, log }) => {
    log.info("set up")
    return { key: secrets.key ?? "none" }
  },
  handler(event, ctx) {
    ctx.log.info("charging", { orderId: event.data.orderId })
    return Paid.create({ orderId: event.data.orderId, ref: `${ctx.config.prefix}-${ctx.deps.key}` })
  },
})

async function failure(work: Promise<unknown>): Promise<FnError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!FnError.is(error)) throw new Error(`no FnError: ${String(error)}`)
  return error
}

describe("R-FN-7: testFunction", () => {
  test("runs a function with its config and secrets, and keeps its log", async () => {
    await using tested = await testFunction(charge, { config: { prefix: "p" }, secrets: { key: "k" } })
    const events = await tested.invoke(Placed.create(order))
    expect(events).toMatchObject([{ type: Paid.type, data: { orderId: "o1", ref: "p-k" }, source: "/functions/default/charge" }])
    const [paid] = events
    const typed: TypedEvent<"shop.order.paid.v1", { orderId: string; ref: string }> | undefined = paid
    expect(typed?.data.ref).toBe("p-k")
    expect(tested.logs).toEqual([
      { level: "info", message: "set up", fields: {} },
      { level: "info", message: "charging", fields: { orderId: "o1" } },
    ])
  })

  test("bare data becomes an event of the one type it takes", async () => {
    await using tested = await testFunction(charge, { config: { prefix: "p" } })
    expect(await tested.invoke(order)).toHaveLength(1)
    expect(await failure(tested.invoke({ ...order, cents: "x" }))).toMatchObject({ reason: "INVALID_EVENT" })
    expect(await failure(tested.invoke(order, { type: "other" }))).toMatchObject({ reason: "TYPE_NOT_ACCEPTED" })
  })

  test("R-IV-5: collects what a generator yields, until its time is over", async () => {
    let cleaned = false
    const ticks = defineFunction({
      name: "ticks",
      async *handler(event) {
        try {
          for (let n = 0; n < (event.data as number); n++) yield { type: "tick", data: n } as const
        } finally {
          cleaned = true
        }
      },
    })
    await using tested = await testFunction(ticks)
    expect((await tested.invoke(3)).map(({ data }) => data)).toEqual([0, 1, 2])
    cleaned = false
    const endless = failure(tested.invoke(Number.MAX_SAFE_INTEGER, { timeoutMs: 20 }))
    expect(await endless).toMatchObject({ reason: expect.stringMatching(/^(FUNCTION_TIMEOUT|OUTPUT_LIMIT)$/) })
    while (!cleaned) await new Promise(setImmediate)
  })

  test("data crosses the wire, as it will in production", async () => {
    await using tested = await testFunction((event) => ({ type: "seen", data: { got: event.data, at: new Date(0), none: undefined } }))
    const [seen] = await tested.invoke({ at: new Date(0), none: undefined })
    expect(seen?.data).toEqual({ got: { at: "1970-01-01T00:00:00.000Z" }, at: "1970-01-01T00:00:00.000Z" })
    const [text] = await tested.invoke("hello")
    expect(text?.data).toMatchObject({ got: "hello" })
  })

  test("a wrong config fails the test's setup; a setup that throws, too", async () => {
    expect(await failure(testFunction(charge, { config: {} }))).toMatchObject({ reason: "INVALID_CONFIG" })
    const broken = defineFunction({
      name: "x",
      setup: () => {
        throw new Error("no database")
      },
      handler: () => undefined,
    })
    expect(await failure(testFunction(broken))).toMatchObject({ reason: "INIT_FAILED", message: "no database" })
  })

  test("errors are what a caller gets", async () => {
    await using plain = await testFunction(() => {
      throw new TypeError("oops")
    })
    expect(await failure(plain.invoke(1))).toMatchObject({ code: "unknown", reason: "FUNCTION_THREW", message: "oops" })
    await using odd = await testFunction((() => "text") as never)
    expect(await failure(odd.invoke(1))).toMatchObject({ reason: "BAD_OUTPUT" })
  })

  test("timeoutMs and signal reach the handler, and end an invocation that ignores them", async () => {
    let aborted: unknown
    await using deaf = await testFunction(async (_event, ctx) => {
      ctx.signal.addEventListener("abort", () => {
        aborted = ctx.signal.reason
      })
      await new Promise(() => undefined)
    })
    expect(await failure(deaf.invoke(1, { timeoutMs: 20 }))).toMatchObject({ code: "deadline_exceeded", reason: "FUNCTION_TIMEOUT" })
    expect(FnError.is(aborted) && aborted.reason).toBe("FUNCTION_TIMEOUT")
    const aborter = new AbortController()
    const pending = failure(deaf.invoke(1, { signal: aborter.signal }))
    aborter.abort()
    expect(await pending).toMatchObject({ code: "cancelled" })
    expect(await failure(deaf.invoke(1, { signal: aborter.signal }))).toMatchObject({ code: "cancelled" })
  })

  test("ctx.signal fires when the execution is over, so that nothing it started outlives it", async () => {
    let signal: AbortSignal | undefined
    await using tested = await testFunction((_event, ctx) => {
      signal = ctx.signal
    })
    await tested.invoke(1)
    expect(signal?.aborted).toBe(true)
  })

  test("dispose runs the function's shutdown", async () => {
    const disposed: string[] = []
    const fn = defineFunction({
      name: "x",
      setup: () => ({ [Symbol.dispose]: () => void disposed.push("x") }),
      handler: () => undefined,
    })
    {
      await using tested = await testFunction(fn)
      await tested.invoke(1)
    }
    expect(disposed).toEqual(["x"])
  })
})

describe("strict", () => {
  test("a handler that gives the same events twice passes, whatever its ids and times", async () => {
    await using tested = await testFunction(charge, { config: { prefix: "p" }, strict: true })
    expect(await tested.invoke(Placed.create(order))).toHaveLength(1)
    expect(tested.logs.filter(({ message }) => message === "charging")).toHaveLength(2)
  })

  test("a handler that counts is caught, with both outputs", async () => {
    let count = 0
    await using tested = await testFunction(() => ({ type: "counted", data: ++count }), { strict: true })
    const error = await failure(tested.invoke(1))
    expect(error.reason).toBe("NOT_IDEMPOTENT")
    expect(error.details).toMatchObject({ first: [{ data: 1 }], second: [{ data: 2 }] })
  })

  test("a handler that fails the second time is caught", async () => {
    const seen = new Set<string>()
    await using tested = await testFunction(
      (event) => {
        if (seen.has(event.id)) throw new Error("already there")
        seen.add(event.id)
      },
      { strict: true },
    )
    expect((await failure(tested.invoke(1))).message).toMatch(/not idempotent.*already there/)
  })

  test("a handler that changes its event or its config is caught", async () => {
    await using event = await testFunction(
      (event) => {
        ;(event.data as { a: { b: number } }).a.b = 2
      },
      { strict: true },
    )
    expect((await failure(event.invoke({ a: { b: 1 } }))).message).toMatch(/read only/)
    const config = { list: [1] }
    await using configured = await testFunction((_event, ctx) => void (ctx.config.list as number[]).push(2), { strict: true, config })
    expect((await failure(configured.invoke(1))).message).toMatch(/not extensible/)
    config.list.push(3) // the test's own stays its own
  })

  test("bytes go in unfrozen and unshared", async () => {
    await using tested = await testFunction((event) => ({ type: "bytes", data: event.data }), { strict: true })
    const [out] = await tested.invoke({ type: "b", datacontenttype: "application/octet-stream", data: Buffer.from([1, 2]) })
    expect(Buffer.from(out?.data as Uint8Array)).toEqual(Buffer.from([1, 2]))
  })
})
