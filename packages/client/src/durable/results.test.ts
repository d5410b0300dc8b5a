import { FnError, Header, newId, type WireEvent } from "@fn/core"
import { type ExecutionRecord, keyedInvocationId, recordExecution } from "@fn/queue"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startDurablePlatform } from "../../test/platform.js"
import { publishLateResult } from "../../test/queue-peer.js"

const asked = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const
const event = { ...asked, data: { n: 1 } }

/** An event that says `text`. */
function said(text: string): WireEvent {
  const attributes = { specversion: "1.0", id: "r", source: "/f", type: "test.said", datacontenttype: "application/json" } as const
  return { attributes, data: Buffer.from(JSON.stringify(text)) }
}

/** Subscriptions of a connection, as its client keeps them. */
function subscriptionsOf(nc: unknown): number {
  return (nc as { protocol: { subscriptions: { size(): number } } }).protocol.subscriptions.size()
}

describe("R-IV-5: result", () => {
  test("that is stored already is given at once, as often as it is asked for", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    await queue.succeed(id, [said("done")])
    expect(await client.result(id)).toMatchObject([{ type: "test.said", data: "done" }])
    expect(await client.tryResult(id)).toMatchObject({ ok: true, events: [{ data: "done" }] })
    expect(await client.resultWire(id)).toMatchObject([{ attributes: { type: "test.said" } }])
  })

  test("that comes while it is waited for reaches everybody who waits, and nothing stays subscribed", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, nc } = platform
    await client.tryResult(newId(), { timeoutMs: 10 })
    const before = subscriptionsOf(nc)
    const ids = Array.from({ length: 200 }, () => newId())
    const waiting = ids.flatMap((id) => [client.result(id), client.result(id)])
    await until(() => subscriptionsOf(nc) === before + ids.length, { name: "one subscription a result" })
    await Promise.all(ids.map((id) => queue.succeed(id, [said(id)])))
    const results = await Promise.all(waiting)
    expect(results.map(([reply]) => reply?.data)).toEqual(ids.flatMap((id) => [id, id]))
    expect(subscriptionsOf(nc)).toBe(before)
  }, 20_000)

  test("of a namespace is asked for in it; no event is a result too", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    await queue.succeed(id, [], { namespace: "shop" })
    expect(await client.result(id, { namespace: "shop" })).toEqual([])
    await expect(client.result(id, { timeoutMs: 50 })).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" })
  })

  test("that is a failure is thrown, as a value with tryResult", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    const failure = FnError.terminal("CARD_DECLINED", "no money", { order: "o1" })
    const waiting = client.tryResult(id)
    await queue.fail(id, failure)
    expect(await waiting).toMatchObject({ ok: false, error: { code: "failed_precondition", reason: "CARD_DECLINED" } })
    await expect(client.result(id)).rejects.toMatchObject({ reason: "CARD_DECLINED", details: { order: "o1" } })
  })

  test("that does not come in time is said to be pending", async () => {
    await using platform = await startDurablePlatform()
    const id = newId()
    await expect(platform.client.result(id, { timeoutMs: 60 })).rejects.toMatchObject({
      code: "deadline_exceeded",
      reason: "DEADLINE_EXCEEDED",
      message: expect.stringContaining("still pending"),
      details: { pending: true, invocationId: id, namespace: "default" },
    })
  })

  test("is no longer waited for when the signal fires, by that caller alone", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    const abort = new AbortController()
    const other = client.result(id)
    const waiting = client.result(id, { signal: abort.signal })
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: "cancelled" })
    await expect(client.result(id, { signal: abort.signal })).rejects.toMatchObject({ code: "cancelled" })
    await queue.succeed(id, [said("done")])
    expect(await other).toMatchObject([{ data: "done" }])
  })

  test.each([
    ["an id with a dot", "a.b", {}],
    ["an id with a wildcard", "*", {}],
    ["a bad namespace", "id", { namespace: "a.b" }],
    ["a time-out of 0", "id", { timeoutMs: 0 }],
  ])("of %s is refused", async (_case, id, options) => {
    await using platform = await startDurablePlatform()
    await expect(platform.client.result(id, options)).rejects.toMatchObject({ code: "invalid_argument" })
  })

  test("stored while the client had no connection is found after the reconnect", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, server } = platform
    const id = newId()
    const waiting = client.result(id, { timeoutMs: 60_000 })
    await client.tryResult(newId(), { timeoutMs: 10 })
    await server.kill()
    await server.restart()
    const other = await server.connect()
    await other.flush()
    await until(() => queue.succeed(id, [said("done")]), { name: "the result to be stored", timeoutMs: 20_000 })
    expect(await waiting).toMatchObject([{ data: "done" }])
  }, 60_000)

  test("of a later attempt that the stream refused is not taken for the result", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    const waiting = client.result(id)
    await client.tryResult(newId(), { timeoutMs: 10 })
    await publishLateResult(queue.access, id, said("late"), 2)
    await queue.succeed(id, [said("first")], { attempt: 2 })
    expect(await waiting).toMatchObject([{ data: "first" }])
  })

  test("of a first attempt that was heard before anything was read is believed once nothing else is stored", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    const [results] = await Promise.all([client.result(id), queue.succeed(id, [said("at once")])])
    expect(results).toMatchObject([{ data: "at once" }])
  })

  test("is waited for in vain where there are no streams, and that is said", async () => {
    await using platform = await startDurablePlatform({ setup: { print: true } })
    await expect(platform.client.result(newId(), { timeoutMs: 200 })).rejects.toMatchObject({ reason: "JETSTREAM_UNAVAILABLE" })
  })

  test("reaches a user who may read it by its id alone, hear nobody's results and list none", async () => {
    const permissions = `authorization { users: [
      { user: a, password: a },
      { user: b, password: b, permissions: {
        publish: ["function.queue.>", "function.cancel.>", "$JS.API.DIRECT.GET.FUNCTION_RESULTS.function.result.>"]
        subscribe: "_INBOX.>"
      } }
    ] }`
    await using platform = await startDurablePlatform({
      server: { config: permissions },
      user: { user: "a", password: "a" },
      clientUser: { user: "b", password: "b" },
    })
    const { client, queue } = platform
    await platform.deploy("charge")
    const id = await client.invokeAsync("charge", event)
    const waiting = client.result(id)
    const keyed = client.invoke("charge", event, { idempotencyKey: "k" })
    await queue.take("charge")
    const { invocationId } = await queue.take("charge")
    await queue.succeed(id, [said("done")])
    await queue.succeed(invocationId, [said("paid")])
    expect(await waiting).toMatchObject([{ data: "done" }])
    expect(await keyed).toMatchObject([{ data: "paid" }])
    expect(await client.cancel(id)).toMatchObject({ status: "succeeded" })
    await expect(client.result(newId(), { timeoutMs: 300 })).rejects.toMatchObject({ details: { pending: true } })
  }, 20_000)

  test("waits end as cancelled when the client closes, and keep a drain waiting", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    const waiting = client.result(id)
    const lost = expect(client.result(newId())).rejects.toMatchObject({ code: "cancelled", message: "the client was closed" })
    await client.tryResult(newId(), { timeoutMs: 10 })
    const draining = client.drain({ graceMs: 500 })
    await expect(client.result(id)).rejects.toMatchObject({ reason: "DISCONNECTED" })
    await queue.succeed(id, [said("done")])
    expect(await waiting).toMatchObject([{ data: "done" }])
    await draining
    await lost
  })
})

describe("R-IV-10: invoke with an idempotency key", () => {
  test("stores one invocation for all who call at the same time, and each gets its result", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    const calls = Array.from({ length: 10 }, () => client.invoke("charge", event, { idempotencyKey: "o1" }))
    const { invocationId, headers } = await queue.take("charge")
    expect(invocationId).toBe(keyedInvocationId({ namespace: "default", name: "charge" }, "o1"))
    expect(headers.get(Header.idempotencyKey)).toBe("1")
    expect(headers.has(Header.timeoutMs)).toBe(false)
    await queue.succeed(invocationId, [said("paid")])
    for (const events of await Promise.all(calls)) expect(events).toMatchObject([{ data: "paid" }])
    expect(await queue.waiting("charge")).toEqual([])
  })

  test("whose result is there already stores nothing", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    const id = keyedInvocationId({ namespace: "default", name: "charge" }, "o1")
    await queue.fail(id, FnError.terminal("CARD_DECLINED", "no money"))
    await expect(client.invoke("charge", event, { idempotencyKey: "o1" })).rejects.toMatchObject({ reason: "CARD_DECLINED" })
    expect(await queue.waiting("charge")).toEqual([])
  })

  test("gives every caller the same result across a restart of the server", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, server } = platform
    await platform.deploy("charge")
    const first = client.invoke("charge", event, { idempotencyKey: "o1", timeoutMs: 60_000 })
    await until(async () => (await queue.waiting("charge")).length === 1, { name: "the invocation to be stored" })
    await server.restart()
    const second = client.invoke("charge", event, { idempotencyKey: "o1", timeoutMs: 60_000 })
    const { invocationId } = await queue.take("charge")
    await queue.succeed(invocationId, [said("paid")])
    expect(await first).toMatchObject([{ data: "paid" }])
    expect(await second).toMatchObject([{ data: "paid" }])
  }, 60_000)

  test("whose wait ends leaves the invocation where it is", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    await platform.deploy("charge")
    await expect(client.invoke("charge", event, { idempotencyKey: "o1", timeoutMs: 300 })).rejects.toMatchObject({
      reason: "DEADLINE_EXCEEDED",
      details: { pending: true },
    })
    const abort = new AbortController()
    const aborted = client.invoke("charge", event, { idempotencyKey: "o1", signal: abort.signal })
    const call = client.startCall("charge", { attributes: asked, data: undefined }, { idempotencyKey: "o1" })
    abort.abort()
    call.cancel("enough")
    await expect(aborted).rejects.toMatchObject({ code: "cancelled" })
    await expect(call.events).rejects.toMatchObject({ code: "cancelled", message: "enough" })
    expect((await queue.waiting("charge")).map(({ invocationId }) => invocationId)).toEqual([call.invocationId])
    expect(platform.peer.cancelled).toEqual([])
  })

  test.each([
    ["an unknown function", "nowhere", { idempotencyKey: "o1" }, "FUNCTION_NOT_FOUND"],
    ["a bad name", "no.name", { idempotencyKey: "o1" }, "INVALID_NAME"],
    ["an empty key", "charge", { idempotencyKey: "" }, "INVALID_REQUEST"],
    ["a bad time-out", "charge", { idempotencyKey: "o1", timeoutMs: -1 }, "INVALID_REQUEST"],
  ])("fails for %s", async (_case, name, options, reason) => {
    await using platform = await startDurablePlatform()
    await platform.deploy("charge")
    await expect(platform.client.invoke(name, event, options)).rejects.toMatchObject({ reason })
  })

  test("fails with QUEUE_FULL when the queue is full", async () => {
    await using platform = await startDurablePlatform({ setup: { maxPending: 1 } })
    await platform.deploy("charge")
    await platform.client.invokeAsync("charge", event)
    await expect(platform.client.invoke("charge", event, { idempotencyKey: "o1" })).rejects.toMatchObject({ reason: "QUEUE_FULL" })
  })
})

describe("R-IV-5: cancel", () => {
  test("is stored, told to the hosts, and resolves with what became of the invocation", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, peer } = platform
    const id = newId()
    const cancelling = client.cancel(id, { namespace: "default" })
    await until(() => peer.cancelled.includes(`function.cancel.default.${id}.queued`), { name: "the hosts to hear of it" })
    await queue.fail(id, FnError.of("CANCELLED", "cancelled by its caller"))
    expect(await cancelling).toEqual({ invocationId: id, status: "cancelled" })
    expect(await queue.storedCancel("default", id)).toBe(true)
  })

  test.each([
    ["succeeded", undefined],
    ["failed", FnError.terminal("X", "no")],
    ["timed_out", FnError.of("FUNCTION_TIMEOUT", "too slow")],
  ] as const)("of one that has %s says so and stores nothing", async (status, error) => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const id = newId()
    await (error ? queue.fail(id, error) : queue.succeed(id, [said("done")]))
    expect(await client.cancel(id)).toEqual({ invocationId: id, status })
    expect(await queue.storedCancel("default", id)).toBe(false)
  })

  test("of one that nobody has met within 3 s is pending, and stays stored", async () => {
    await using platform = await startDurablePlatform()
    const id = newId()
    expect(await platform.client.cancel(id)).toEqual({ invocationId: id, status: "pending" })
    expect(await platform.queue.storedCancel("default", id)).toBe(true)
  }, 20_000)
})

describe("R-IV-5: status", () => {
  test("follows an invocation from the queue to its end", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue, peer } = platform
    await platform.deploy("charge")
    await client.invokeAsync("charge", event)
    const id = await client.invokeAsync("charge", event)
    const pending = { invocationId: id, namespace: "default", status: "pending", queuedAt: expect.stringMatching(/^\d{4}-.*Z$/) }
    expect(await client.status(id)).toEqual(pending)
    expect(await client.status(id, { function: "charge" })).toEqual(pending)
    await expect(client.status(id, { function: "refund" })).rejects.toMatchObject({ reason: "EXECUTION_NOT_FOUND" })
    await queue.take("charge")
    await queue.take("charge")
    peer.running.add(id)
    expect(await client.status(id)).toMatchObject({ status: "running", host: peer.host })
    await queue.succeed(id, [said("done")], { attempt: 2, lines: "Fn-Version: 1.2.0\r\n" })
    expect(await client.status(id)).toMatchObject({ status: "succeeded", attempt: 2, version: "1.2.0" })
  }, 20_000)

  test("of one that failed has its error", async () => {
    await using platform = await startDurablePlatform()
    const id = newId()
    await platform.queue.fail(id, FnError.of("FUNCTION_TIMEOUT", "too slow"))
    expect(await platform.client.status(id)).toMatchObject({ status: "timed_out", error: { reason: "FUNCTION_TIMEOUT" } })
  })

  test("of one that left only its record is that of the record", async () => {
    await using platform = await startDurablePlatform()
    const id = newId()
    const error = { code: "unavailable", reason: "FUNCTION_CRASHED", message: "it died", retryable: true } as const
    const record: ExecutionRecord = {
      schema: 1,
      id,
      namespace: "default",
      name: "charge",
      version: "1.2.0",
      host: "h1",
      status: "failed",
      attempt: 1,
      durable: false,
      endedAt: "2026-11-20T10:00:00.000Z",
      durationMs: 5,
      eventsOut: 0,
      error,
    }
    await recordExecution(platform.queue.access, record)
    const status = await platform.client.status(id)
    expect(status).toMatchObject({ status: "failed", attempt: 1, version: "1.2.0", execution: record })
    expect(status.error?.toData()).toEqual(error)
  })

  test("of one that was stored without an id is found by its sequence", async () => {
    await using platform = await startDurablePlatform()
    const { client, queue } = platform
    const ack = await queue.access.inbox.request("function.queue.default.charge", { data: "{}", timeoutMs: 5_000 })
    const { seq } = ack.json<{ seq: number }>()
    expect(await client.status(`q${seq}`)).toMatchObject({ status: "pending" })
  })

  test("of an id that nobody knows is EXECUTION_NOT_FOUND", async () => {
    await using platform = await startDurablePlatform()
    await expect(platform.client.status(newId())).rejects.toMatchObject({ code: "not_found", reason: "EXECUTION_NOT_FOUND" })
  })
})
