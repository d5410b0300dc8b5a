/** What must and must not compile. Checked by `tsc -p tsconfig.test.json`; every `@ts-expect-error` is a guarantee. */
import { z } from "zod"
import { Paid, Placed, Total } from "../test/shop.js"
import { type CloudEvent, defineFunction, type EventInit, type Handler } from "./index.js"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<Expected>(_value: Expected): void {}
function assertTrue<_T extends true>(): void {}

const order = { orderId: "o1", tenant: "t", cents: 1 }

// ── events ────────────────────────────────────────────────────────────
Placed.create(order)
Placed.create(order, { subject: "orders/o1", traceparent: "00-…" })
// @ts-expect-error wrong payload
Placed.create({ orderId: 1 })
// @ts-expect-error a field is missing
Placed.create({ orderId: "o1", tenant: "t" })
// @ts-expect-error the type is the definition's
Placed.create(order, { type: "other" })

// ── the handler knows its event ───────────────────────────────────────
defineFunction({
  name: "typed",
  on: Placed,
  emits: [Paid],
  handler(event, ctx) {
    expectType<string>(event.data.orderId)
    expectType<"shop.order.placed.v1">(event.type)
    expectType<AbortSignal>(ctx.signal)
    // @ts-expect-error no such field
    event.data.nope
    return Paid.create({ orderId: event.data.orderId, ref: "r" })
  },
})

defineFunction({
  name: "union",
  on: [Placed, Paid],
  emits: Total,
  async *handler(event) {
    // @ts-expect-error only one of the two has cents
    event.data.cents
    if (Placed.is(event)) yield Total.create({ tenant: event.data.tenant, cents: event.data.cents })
    if (event.type === "shop.order.paid.v1") expectType<string>(event.data.ref)
  },
})

defineFunction({
  name: "any-event",
  handler(event) {
    assertTrue<Equal<typeof event, CloudEvent>>()
    return { type: "anything", data: event.data }
  },
})

defineFunction({
  name: "by-name",
  on: ["com.github.issues.opened", "com.github.push"],
  emits: ["triage.labelled", "triage.noise.*"],
  handler(event) {
    expectType<"com.github.issues.opened" | "com.github.push">(event.type)
    if (event.type === "com.github.push") return { type: "triage.noise.push" }
    return [{ type: "triage.labelled", data: event.data }]
  },
})

// ── emits is a type ───────────────────────────────────────────────────
const total = Total.create({ tenant: "t", cents: 1 })
const paid = Paid.create({ orderId: "o", ref: "r" })
// @ts-expect-error emits an undeclared type
defineFunction({ name: "y", on: Placed, emits: [Paid], handler: (e) => Total.create({ tenant: e.data.tenant, cents: 1 }) })
// @ts-expect-error one of several is undeclared
defineFunction({ name: "y", emits: [Paid], handler: () => [paid, total] })
// @ts-expect-error a promise is held to it too
defineFunction({ name: "y", emits: [Paid], handler: async () => total })
defineFunction({
  name: "y",
  emits: [Paid],
  // @ts-expect-error and so is a generator
  async *handler() {
    yield total
  },
})
defineFunction({
  name: "y",
  emits: [Paid, Total],
  async *handler(_event, ctx) {
    // What a stream's consumer ends, this ends.
    while (!ctx.signal.aborted) yield total
    yield paid
  },
})
defineFunction({
  name: "y",
  emits: [Paid],
  *handler() {
    yield paid
  },
})
// @ts-expect-error a plain generator is held to it as well
defineFunction({ name: "y", emits: [Paid], handler: () => [total][Symbol.iterator]() })
defineFunction({
  name: "y",
  // @ts-expect-error a string is no event, yielded neither
  async *handler() {
    yield "hello"
  },
})
// @ts-expect-error data of the declared type is wrong
defineFunction({ name: "y", emits: [Paid], handler: () => ({ type: "shop.order.paid.v1", data: { orderId: 1 } }) })
defineFunction({ name: "y", emits: [Paid], handler: () => ({ type: "shop.order.paid.v1", data: { orderId: "o", ref: "r" } }) })
// @ts-expect-error a string is no event
defineFunction({ name: "y", handler: () => "hello" })
defineFunction({ name: "nothing", emits: [Paid], handler: () => undefined })
defineFunction({ name: "no-return", emits: [], handler: () => {} })
// @ts-expect-error it declares that it emits nothing
defineFunction({ name: "nothing", emits: [], handler: () => paid })

// ── config and deps ───────────────────────────────────────────────────
defineFunction({
  name: "configured",
  config: z.object({ bankUrl: z.url(), retries: z.number().default(3) }),
  setup: ({ config }) => {
    expectType<number>(config.retries)
    return { bank: new URL(config.bankUrl) }
  },
  handler(_event, ctx) {
    expectType<URL>(ctx.deps.bank)
    expectType<string>(ctx.config.bankUrl)
    // @ts-expect-error not in the schema
    ctx.config.nope
  },
})
defineFunction({
  name: "async-setup",
  setup: async () => new Map<string, number>(),
  handler(_event, ctx) {
    expectType<number | undefined>(ctx.deps.get("a"))
  },
})

// ── policies ──────────────────────────────────────────────────────────
defineFunction({
  name: "policies",
  timeout: "30s",
  retry: { maxAttempts: 5, initial: "200ms", factor: 2, max: 10_000, jitter: true },
  concurrency: { limit: 10 },
  handler() {},
})
// @ts-expect-error no duration
defineFunction({ name: "x", timeout: "soon", handler() {} })
// @ts-expect-error no such unit
defineFunction({ name: "x", timeout: "3weeks", handler() {} })
// @ts-expect-error unknown policy
defineFunction({ name: "x", concurrency: { limit: 1, key: "data.nope" }, handler() {} })
// @ts-expect-error unknown option
defineFunction({ name: "x", timeoutMs: 5, handler() {} })
// @ts-expect-error no handler
defineFunction({ name: "x" })

// ── what a typed client reads ─────────────────────────────────────────
const audit = defineFunction({ name: "audit", on: [Placed, Paid], emits: Total, handler: () => undefined })
assertTrue<Equal<typeof audit.name, "audit">>()
type Audit = NonNullable<(typeof audit)["~types"]>
assertTrue<Equal<Audit["in"]["type"], "shop.order.placed.v1" | "shop.order.paid.v1">>()
assertTrue<Equal<Audit["out"]["data"], { tenant: string; cents: number }>>()

// ── the bare form ─────────────────────────────────────────────────────
const bare: Handler = (event, ctx): EventInit => ({ type: "hello", data: `${event.type} ${ctx.attempt}` })
expectType<Handler>(bare)
