/** What must and must not compile for a client that knows its functions. Checked by `tsc -p tsconfig.test.json`. */
import type { CloudEvent, EventInit, FunctionModule } from "@fn/core"
import { type Client, connectClient } from "./index.js"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function assertTrue<_T extends true>(): void {}

// What defineFunction of @fn/plugin-sdk returns, as far as the client looks at it.
interface Defined<In, Out> extends FunctionModule {
  readonly name: string
  readonly "~types"?: { readonly in: In; readonly out: Out }
}
type Typed<Type extends string, Data> = CloudEvent<Data> & { readonly type: Type; readonly data: Data }
type Init<Type extends string, Data> = EventInit<Data> & { readonly type: Type; readonly data: Data }
type Placed = Typed<"order.placed", { orderId: string; cents: number }>
type Refunded = Typed<"order.refunded", { orderId: string }>

interface Functions {
  /** As `import("./functions.js")` has it: events and other exports stand beside the functions. */
  Placed: { readonly type: "order.placed"; create(data: unknown): unknown }
  limit: number
  charge: Defined<Placed, Init<"order.paid", { ref: string }>>
  audit: Defined<Placed | Refunded, Init<"audit.total", number> | Init<"audit.note", string>>
  sink: Defined<CloudEvent, never>
  anything: Defined<CloudEvent, EventInit>
  byName: Defined<CloudEvent & { readonly type: "push" }, EventInit & { readonly type: "label" }> & { readonly name: "by-name" }
  bare: (event: CloudEvent) => undefined
}
declare const client: Client<Functions>
const placed: Init<"order.placed", { orderId: string; cents: number }> = { type: "order.placed", data: { orderId: "o1", cents: 5 } }

export async function typed(): Promise<void> {
  const [paid] = await client.invoke("charge", placed)
  assertTrue<Equal<NonNullable<typeof paid>["data"], { ref: string }>>()
  assertTrue<Equal<NonNullable<typeof paid>["type"], "order.paid">>()
  await client.invoke("charge@1.2.0", placed, { timeoutMs: 1_000 })
  await client.invoke("shop/charge", placed)
  await client.invoke("shop/charge@stable", placed)
  await client.invoke("charge", { orderId: "o1", cents: 5 }, { type: "order.placed" })
  await client.invoke("audit", { type: "order.refunded", data: { orderId: "o1" } })
  await client.invoke("audit", { orderId: "o1" }, { type: "order.refunded" })

  const [note] = await client.invoke("audit", placed)
  if (note?.type === "audit.note") assertTrue<Equal<typeof note.data, string>>()
  const none = await client.invoke("sink", { type: "x" })
  assertTrue<Equal<typeof none, never[]>>()
  const some = await client.invoke("anything", { type: "x", data: 1 })
  assertTrue<Equal<(typeof some)[number]["data"], unknown>>()
  const labels = await client.invoke("by-name", { type: "push" })
  assertTrue<Equal<(typeof labels)[number]["type"], "label">>()
  await client.invoke("bare", { type: "x" })

  const result = await client.tryInvoke("charge", placed)
  if (result.ok) assertTrue<Equal<(typeof result.events)[number]["data"], { ref: string }>>()
  else result.error.reason satisfies string

  // @ts-expect-error no such function
  await client.invoke("refund", placed)
  // @ts-expect-error an export that is no function
  await client.invoke("Placed", placed)
  // @ts-expect-error the export's name, where the function has another
  await client.invoke("byName", { type: "push" })
  // @ts-expect-error another type of event
  await client.invoke("charge", { type: "order.refunded", data: { orderId: "o1" } })
  // @ts-expect-error a field is missing
  await client.invoke("charge", { type: "order.placed", data: { orderId: "o1" } })
  // @ts-expect-error bare data without its type
  await client.invoke("charge", { orderId: "o1", cents: 5 })
  // @ts-expect-error data of another type
  await client.invoke("audit", { orderId: 1 }, { type: "order.refunded" })
  // @ts-expect-error a type it does not take
  await client.invoke("charge", {}, { type: "order.refunded" })
  // @ts-expect-error the same for tryInvoke
  await client.tryInvoke("charge", { type: "x" })
}

export async function streamed(): Promise<void> {
  for await (const paid of client.stream("charge", placed)) assertTrue<Equal<typeof paid.data, { ref: string }>>()
  for await (const event of client.stream("audit", { orderId: "o1" }, { type: "order.refunded", timeoutMs: 1_000 }))
    if (event.type === "audit.note") assertTrue<Equal<typeof event.data, string>>()
  const step = await client.stream("charge", placed).next()
  if (!step.done) assertTrue<Equal<typeof step.value.type, "order.paid">>()
  await using stream = client.stream("anything", { type: "x" })
  stream.invocationId satisfies string
  // @ts-expect-error no such function
  client.stream("refund", placed)
  // @ts-expect-error a field is missing
  client.stream("charge", { type: "order.placed", data: { orderId: "o1" } })
  // @ts-expect-error a stream is never a durable call
  client.stream("charge", placed, { idempotencyKey: "k" })
}

export async function durable(): Promise<void> {
  const id = await client.invokeAsync("charge", placed, { idempotencyKey: "o1", delayMs: 1_000, callback: "event:shop.charged" })
  assertTrue<Equal<typeof id, string>>()
  await client.invokeAsync("shop/charge@stable", { orderId: "o1", cents: 5 }, { type: "order.placed", at: new Date() })
  const [paid] = await client.result<"charge">(id)
  assertTrue<Equal<NonNullable<typeof paid>["data"], { ref: string }>>()
  const [one] = await client.result(id)
  one satisfies CloudEvent | undefined
  const tried = await client.tryResult<"audit">(id, { namespace: "shop", timeoutMs: 5_000 })
  const audited = tried.ok ? tried.events[0] : undefined
  if (audited?.type === "audit.note") assertTrue<Equal<typeof audited.data, string>>()
  const { status } = await client.cancel(id)
  status satisfies "cancelled" | "succeeded" | "failed" | "timed_out" | "pending"
  const [again] = await client.invoke("charge", placed, { idempotencyKey: "o1" })
  assertTrue<Equal<NonNullable<typeof again>["type"], "order.paid">>()

  // @ts-expect-error no such function
  await client.invokeAsync("refund", placed)
  // @ts-expect-error another type of event
  await client.invokeAsync("charge", { type: "order.refunded", data: { orderId: "o1" } })
  // @ts-expect-error bare data without its type
  await client.invokeAsync("charge", { orderId: "o1", cents: 5 })
  // @ts-expect-error no such function
  await client.result<"refund">(id)
  // @ts-expect-error a time is a Date or a text
  await client.invokeAsync("charge", placed, { at: 5 })
}

export async function broadcasts(): Promise<void> {
  const [answer] = await client.broadcast("charge", placed, { expect: 2, timeoutMs: 1_000 })
  if (answer?.ok) assertTrue<Equal<(typeof answer.events)[number]["data"], { ref: string }>>()
  else answer?.error.reason satisfies string | undefined
  await client.broadcast("shop/charge@stable", { orderId: "o1", cents: 5 }, { type: "order.placed" })

  // @ts-expect-error no such function
  await client.broadcast("refund", placed)
  // @ts-expect-error bare data without its type
  await client.broadcast("charge", { orderId: "o1", cents: 5 })
}

export async function untyped(): Promise<void> {
  const open = await connectClient({ servers: "nats://127.0.0.1:4222" })
  const events = await open.invoke("any/function@1.0.0", { whatever: 1 })
  assertTrue<Equal<typeof events, CloudEvent[]>>()
  await open.invoke("x", "data", { type: "a.type" })
  const results = await open.result(await open.invokeAsync("x", "data"))
  assertTrue<Equal<typeof results, CloudEvent[]>>()
  const known = await connectClient<Functions>({ servers: "nats://127.0.0.1:4222" })
  // @ts-expect-error no such function
  await known.invoke("x", {})
  // @ts-expect-error a file is named by its path
  await connectClient({ credsFile: 1 })
}
