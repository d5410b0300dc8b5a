import { describe, expect, test } from "@jest/globals"
import { z } from "zod"
import { contextOf, FN, initOf } from "../test/context.js"
import { Paid, Placed, Total } from "../test/shop.js"
import { defineEvent, defineFunction, FnError, type StandardSchema } from "./index.js"

const placed = { id: "1", source: "/shop", specversion: "1.0", type: Placed.type, data: { orderId: "o1", tenant: "t", cents: 5 } }
const other = { instance: "other" }

async function thrownBy(run: () => unknown): Promise<FnError> {
  try {
    await run()
  } catch (thrown) {
    if (FnError.is(thrown)) return thrown
    throw thrown
  }
  throw new Error("it did not throw")
}

describe("defineFunction", () => {
  test("R-FN-1: one event in, the handler's events out", async () => {
    const fn = defineFunction({
      name: "charge",
      on: Placed,
      emits: [Paid],
      handler: (event) => Paid.create({ orderId: event.data.orderId, ref: "r1" }, { subject: "o1" }),
    })
    expect(await fn.execute(placed, contextOf())).toMatchObject({ type: Paid.type, subject: "o1", data: { orderId: "o1", ref: "r1" } })
  })

  test("an event of another type is refused before the handler runs", async () => {
    let ran = false
    const fn = defineFunction({
      name: "charge",
      on: Placed,
      handler: () => {
        ran = true
      },
    })
    const error = await thrownBy(() => fn.execute({ ...placed, type: "shop.other" }, contextOf()))
    expect(error).toMatchObject({ code: "invalid_argument", reason: "TYPE_NOT_ACCEPTED" })
    expect(error.message).toContain(Placed.type)
    expect(ran).toBe(false)
  })

  test("a type that ends in * takes everything below it", async () => {
    const fn = defineFunction({ name: "github", on: "com.github.issues.*", handler: (event) => ({ type: "seen", subject: event.type }) })
    expect(await fn.execute({ ...placed, type: "com.github.issues.opened" }, contextOf())).toMatchObject({
      subject: "com.github.issues.opened",
    })
    expect(await thrownBy(() => fn.execute({ ...placed, type: "com.github.push" }, contextOf()))).toMatchObject({
      reason: "TYPE_NOT_ACCEPTED",
    })
  })

  test("data that does not fit names the side and the field, and is not worth a retry", async () => {
    const fn = defineFunction({ name: "charge", on: Placed, handler: () => undefined })
    const bad = { ...placed, data: { ...placed.data, cents: "many" } }
    const error = await thrownBy(() => fn.execute(bad, contextOf()))
    expect(error).toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT", retryable: false })
    expect(error.details).toMatchObject({ side: "receiver", attribute: "data.cents" })
    expect(error.message).toMatch(/checked by the receiver: data\.cents: /)
  })

  test("the handler gets what the schema gives, also from an asynchronous schema", async () => {
    const trimmed = defineEvent(
      "trimmed",
      z.string().transform((text) => text.trim()),
    )
    const looked: StandardSchema<string, { found: string }> = {
      "~standard": { version: 1, vendor: "test", validate: async (value) => ({ value: { found: String(value) } }) },
    }
    const Looked = defineEvent("looked", looked)
    const fn = defineFunction({
      name: "x",
      on: [trimmed, Looked],
      handler: (event) => ({ type: "out", data: Looked.is(event) ? event.data.found : event.data }),
    })
    expect(await fn.execute({ ...placed, type: "trimmed", data: "  a " }, contextOf())).toMatchObject({ data: "a" })
    expect(await fn.execute({ ...placed, type: "looked", data: "b" }, contextOf())).toMatchObject({ data: "b" })
  })

  test.each([
    ["returned", () => ({ type: Total.type, data: { tenant: "t", cents: 1 } })],
    ["returned later", async () => ({ type: Total.type, data: { tenant: "t", cents: 1 } })],
    ["among several", () => [Paid.create({ orderId: "o", ref: "r" }), { type: Total.type }]],
  ])("an undeclared type %s fails for good", async (_how, handler) => {
    const fn = defineFunction({ name: "charge", emits: [Paid], handler: handler as unknown as () => undefined })
    const error = await thrownBy(() => fn.execute(placed, contextOf()))
    expect(error).toMatchObject({ code: "failed_precondition", reason: "TYPE_NOT_EMITTED", retryable: false })
    expect(error.message).toContain(Total.type)
  })

  test("an undeclared type yielded by a generator fails while it is read", async () => {
    const fn = defineFunction({
      name: "charge",
      emits: [Paid],
      async *handler() {
        yield Total.create({ tenant: "t", cents: 1 }) as never
      },
    })
    const output = (await fn.execute(placed, contextOf())) as AsyncIterable<unknown>
    const error = await thrownBy(async () => {
      for await (const _ of output);
    })
    expect(error.reason).toBe("TYPE_NOT_EMITTED")
  })

  test("R-IV-5: a generator, async or not, is asked for no event before it is wanted", async () => {
    let asked = 0
    const paid = { type: Paid.type, data: { orderId: "o", ref: "r" } } as const
    const lazily = defineFunction({
      name: "lazily",
      emits: [Paid],
      *handler() {
        for (;;) {
          asked++
          yield paid
        }
      },
    })
    const later = defineFunction({
      name: "later",
      emits: [Paid],
      async *handler() {
        for (;;) {
          asked++
          yield paid
        }
      },
    })
    for (const fn of [lazily, later]) {
      asked = 0
      const output = (await fn.execute(placed, contextOf())) as AsyncIterable<unknown>
      for await (const _ of output) if (asked === 3) break
      expect(asked).toBe(3)
    }
  })

  test("an undeclared type yielded by a plain generator fails while it is read", async () => {
    const fn = defineFunction({
      name: "charge",
      emits: [Paid],
      *handler() {
        yield Total.create({ tenant: "t", cents: 1 }) as never
      },
    })
    const output = (await fn.execute(placed, contextOf())) as Iterable<unknown>
    expect(await thrownBy(() => [...output])).toMatchObject({ reason: "TYPE_NOT_EMITTED" })
  })

  test("emits [] means nothing at all", async () => {
    const fn = defineFunction({ name: "sink", emits: [], handler: () => ({ type: "x" }) as never })
    expect(await thrownBy(() => fn.execute(placed, contextOf()))).toMatchObject({ reason: "TYPE_NOT_EMITTED" })
  })

  test.each([
    ["made with create", () => Paid.create({ orderId: 1 } as never)],
    ["made by hand", () => ({ type: Paid.type, data: { orderId: 1 } })],
    ["made with create, later", async () => Paid.create({ orderId: 1 } as never)],
  ])("a bad event %s in the handler is the function's fault, not its caller's", async (_how, handler) => {
    const fn = defineFunction({ name: "charge", emits: [Paid], handler: handler as unknown as () => undefined })
    expect(await thrownBy(() => fn.execute(placed, contextOf()))).toMatchObject({
      code: "failed_precondition",
      reason: "BAD_OUTPUT",
      details: { side: "sender", attribute: "data.orderId" },
    })
  })

  test("what the handler throws passes through as it is", async () => {
    const terminal = defineFunction({
      name: "x",
      handler: () => {
        throw FnError.terminal("CARD_DECLINED", "no")
      },
    })
    expect(await thrownBy(() => terminal.execute(placed, contextOf()))).toMatchObject({ reason: "CARD_DECLINED", retryable: false })
    const mistake = defineFunction({ name: "x", handler: () => Promise.reject(new RangeError("oops")) })
    await expect(mistake.execute(placed, contextOf())).rejects.toThrow(RangeError)
  })
})

describe("initialize and shutdown", () => {
  const schema = z.object({ url: z.url(), retries: z.number().default(3) })

  test("the config is checked once, every wrong key named, before setup runs", async () => {
    let ran = false
    const fn = defineFunction({
      name: "charge",
      config: schema,
      setup: () => {
        ran = true
      },
      handler: () => undefined,
    })
    const error = await thrownBy(() => fn.initialize?.(initOf({ url: "no", retries: "x" })))
    expect(error).toMatchObject({ code: "invalid_argument", reason: "INVALID_CONFIG" })
    expect(error.message).toMatch(/url: .*retries: /)
    expect(ran).toBe(false)
  })

  test("setup gets the checked config, the handler its deps, and shutdown disposes them", async () => {
    const disposed: string[] = []
    const fn = defineFunction({
      name: "charge",
      config: schema,
      setup: async ({ config, secrets }) => ({
        greeting: `${config.url} ${config.retries} ${secrets.key}`,
        async [Symbol.asyncDispose]() {
          disposed.push("deps")
        },
      }),
      handler: (_event, ctx) => ({ type: "out", data: [ctx.deps.greeting, ctx.config.retries, ctx.attempt] }),
    })
    await fn.initialize?.({ ...initOf({ url: "http://a" }), secrets: { key: "k" } })
    expect(await fn.execute(placed, contextOf())).toMatchObject({ data: ["http://a 3 k", 3, 1] })
    await fn.shutdown?.()
    expect(disposed).toEqual(["deps"])
    await fn.shutdown?.()
    expect(disposed).toEqual(["deps"])
  })

  test("two instances of one function keep their own deps; ending one leaves the other", async () => {
    const disposed: unknown[] = []
    const fn = defineFunction({
      name: "charge",
      setup: ({ fn }) => ({ of: fn.instance, [Symbol.dispose]: () => void disposed.push(fn.instance) }),
      handler: (_event, ctx) => ({ type: "out", data: ctx.deps.of }),
    })
    await fn.initialize?.(initOf({}))
    await fn.initialize?.({ ...initOf({}), fn: { ...FN, ...other } })
    await fn.shutdown?.(FN)
    expect(disposed).toEqual([FN.instance])
    expect(await fn.execute(placed, contextOf({ fn: { ...FN, ...other } }))).toMatchObject({ data: "other" })
    expect(await thrownBy(() => fn.execute(placed, contextOf()))).toMatchObject({ reason: "INIT_FAILED" })
  })

  test("a function with neither config nor setup runs without being initialized", async () => {
    const fn = defineFunction({ name: "x", handler: (_event, ctx) => ({ type: "out", data: ctx.config }) })
    expect(await fn.execute(placed, contextOf({ config: { a: 1 } }))).toMatchObject({ data: { a: 1 } })
  })
})

describe("toManifest", () => {
  test("tells types and policies as plain JSON in the words of fn.yaml", () => {
    const fn = defineFunction({
      name: "charge",
      on: [Placed, "shop.legacy.*"],
      emits: Paid,
      timeout: "1.5m",
      retry: { maxAttempts: 5, initial: "200ms", factor: 2, max: "10s", jitter: true },
      concurrency: { limit: 10 },
      handler: () => undefined,
    })
    expect(JSON.parse(JSON.stringify(fn.toManifest()))).toEqual({
      name: "charge",
      accepts: [Placed.type, "shop.legacy.*"],
      emits: [Paid.type],
      timeoutMs: 90_000,
      retry: { attempts: 5, initialMs: 200, factor: 2, maxMs: 10_000, jitter: true },
      concurrency: 10,
    })
  })

  test("says nothing of what the author left out", () => {
    expect(defineFunction({ name: "x", emits: [], handler: () => undefined }).toManifest()).toEqual({ name: "x" })
  })

  test.each([
    [{ name: "Bad Name" }, "INVALID_NAME"],
    [{ timeout: "soon" }, "INVALID_DEFINITION"],
    [{ timeout: 0 }, "INVALID_DEFINITION"],
    [{ timeout: -1 }, "INVALID_DEFINITION"],
    [{ concurrency: 0 }, "INVALID_DEFINITION"],
    [{ concurrency: { limit: 1.5 } }, "INVALID_DEFINITION"],
    [{ retry: { maxAttempts: 0 } }, "INVALID_DEFINITION"],
    [{ retry: { factor: 0.5 } }, "INVALID_DEFINITION"],
    [{ retry: { initial: Number.NaN } }, "INVALID_DEFINITION"],
    [{ handler: "none" }, "INVALID_DEFINITION"],
  ])("refuses %j", async (wrong, reason) => {
    const options = { name: "x", handler: () => undefined, ...wrong } as never
    expect(await thrownBy(() => defineFunction(options))).toMatchObject({ code: "invalid_argument", reason })
  })

  test("the config's JSON Schema is told where the library can", () => {
    const withSchema = defineFunction({ name: "x", config: z.object({ url: z.string() }), handler: () => undefined })
    expect(withSchema.configSchema).toMatchObject({ type: "object", properties: { url: { type: "string" } } })
    const untold = defineFunction({ name: "x", config: z.object({ when: z.date() }), handler: () => undefined })
    expect(untold.configSchema).toBeUndefined()
  })
})
