import { encodeStructured, errorBody, errorHeaderLines, FnError, Header, headerLine, newId, noopLogger } from "@fn/core"
import { findMessage, ReplyInbox } from "@fn/nats"
import { Payloads, payloadLines, type QueueAccess, queueNames } from "@fn/queue"
import { setupPlatform } from "@fn/registry"
import { startTestServer, type TestServer } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { CallbackHandler, type CallbackHandlerOptions } from "../../src/callbacks/callback-handler.js"
import { createCallbackSender } from "../../src/callbacks/callback-queue.js"
import type { CallbackRequest, CallbackSender } from "../../src/callbacks/callback-sender.js"
import { HttpPolicy } from "../../src/callbacks/http-policy.js"
import type { HandlerDelivery, HandlerOutcome } from "../../src/callbacks/queue-handler.js"
import { startReceiver } from "./receiver.js"

const REF = { namespace: "shop", name: "order" }
const SUBJECT = "function.queue.shop.=callback"
const OPEN = new HttpPolicy({ allow: ["*:*"], allowPrivate: true })

interface Letter {
  readonly lines: string
  readonly data: Uint8Array
}

describe("deliveries of results to callbacks", () => {
  let server: TestServer
  let access: QueueAccess
  let sender: CallbackSender
  let payloads: Payloads

  beforeAll(async () => {
    server = await startTestServer()
    const nc = await server.connect()
    await setupPlatform(nc)
    access = { nc, inbox: new ReplyInbox(nc), names: queueNames() }
    sender = createCallbackSender(access)
    payloads = new Payloads(access)
  }, 30_000)
  afterAll(async () => server[Symbol.asyncDispose]())

  function handler(options: Partial<CallbackHandlerOptions> = {}): CallbackHandler {
    return new CallbackHandler({
      access,
      payloads,
      policy: OPEN,
      knows: () => true,
      crossNamespace: false,
      logger: noopLogger,
      ...options,
    })
  }

  /** A result as hosts store it. */
  function result(id: string, lines: string, data: string | Uint8Array = ""): CallbackRequest["result"] {
    const head = headerLine(Header.invocationId, id) + headerLine(Header.attempt, 2) + headerLine(Header.version, "1.2.0")
    return { lines: head + lines, data: Buffer.from(data) }
  }

  const binary = (id: string): CallbackRequest["result"] =>
    result(
      id,
      `${headerLine(Header.events, 1)}ce-id: e1\r\nce-source: /s\r\nce-type: done\r\nce-specversion: 1.0\r\nce-datacontenttype: application/json\r\n`,
      '{"n":12345678901234567890}',
    )

  /** Stores the delivery, then runs what was stored, as a worker would. */
  async function deliver(
    request: Partial<CallbackRequest> & { callback: string },
    run: CallbackHandler = handler(),
    more: Partial<HandlerDelivery> = {},
  ): Promise<{ outcome: HandlerOutcome; id: string; seq: number }> {
    const id = request.invocationId ?? newId()
    await sender.send({ ref: REF, invocationId: id, hops: 0, result: binary(id), ...request })
    const stored = await findMessage(access.inbox, access.names.queue, { lastOf: SUBJECT })
    if (!stored) throw new Error("the delivery is not in the queue")
    const { lines, data, seq } = stored
    const signal = new AbortController().signal
    return { outcome: await run.run({ namespace: "shop", lines, data, seq, attempt: 1, signal, ...more }), id, seq }
  }

  async function deadLetter(): Promise<Letter & { header: (name: string) => string | undefined }> {
    const stored = await findMessage(access.inbox, access.names.deadLetters, { lastOf: "function.dlq.shop.order" })
    if (!stored) throw new Error("there is no dead letter")
    return { ...stored, header: (name) => new RegExp(`^${name}: (.*)\r$`, "m").exec(stored.lines)?.[1] }
  }

  test("R-IV-8: an address gets the result as one structured CloudEvent, with the invocation id as idempotency key", async () => {
    await using receiver = await startReceiver((response) => response.writeHead(204).end())
    const { outcome, id } = await deliver({ callback: `${receiver.url}/hook?a=b` })
    expect(outcome).toEqual({ kind: "done" })
    expect(receiver.received.length).toBe(1)
    const [post] = receiver.received
    expect(post).toMatchObject({
      method: "POST",
      path: "/hook?a=b",
      headers: { "content-type": "application/cloudevents+json", "idempotency-key": id },
    })
    expect(JSON.parse(post?.body ?? "")).toMatchObject({
      specversion: "1.0",
      id,
      source: "/fn/shop/order",
      type: "fn.invocation.succeeded",
      fninvocationid: id,
      datacontenttype: "application/json",
      data: {
        invocationId: id,
        function: "shop/order",
        version: "1.2.0",
        status: "succeeded",
        attempts: 2,
        events: [{ id: "e1", type: "done", data: {} }],
      },
    })
    // What a JSON parser would round went through as it was.
    expect(post?.body).toContain('"n":12345678901234567890')
  })

  test("R-IV-8: a failure is told with its error, and what became of the invocation", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const error = FnError.of("FUNCTION_TIMEOUT", "too slöw", { details: { after: 5 } })
    const id = newId()
    await deliver({
      callback: receiver.url,
      invocationId: id,
      result: { ...result(id, errorHeaderLines(error)), data: errorBody(error) },
    })
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({
      type: "fn.invocation.failed",
      data: {
        status: "timed_out",
        error: { code: "deadline_exceeded", reason: "FUNCTION_TIMEOUT", message: "too slöw", details: { after: 5 } },
      },
    })
  })

  test("no event, several, and a structured one are all a list of events", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const one = { specversion: "1.0", id: "e1", source: "/s", type: "t", data: { a: 1 } }
    const shapes: [string, string][] = [
      [headerLine(Header.events, 0), ""],
      [headerLine(Header.contentType, "application/cloudevents-batch+json"), JSON.stringify([one, one])],
      [headerLine(Header.contentType, "application/cloudevents+json"), JSON.stringify(one)],
    ]
    for (const [lines, body] of shapes) {
      const id = newId()
      await deliver({ callback: receiver.url, invocationId: id, result: result(id, lines, body) })
    }
    expect(receiver.received.map(({ body }) => JSON.parse(body).data.events)).toEqual([[], [one, one], [one]])
  })

  test("R-IV-9: a result that is stored apart is delivered whole", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const id = newId()
    const event = { attributes: { specversion: "1.0", id: "e1", source: "/s", type: "t" }, data: Buffer.alloc(2_000_000, "x") }
    const body = Buffer.from(encodeStructured({ ...event, attributes: { ...event.attributes, datacontenttype: "text/plain" } }))
    await payloads.put(`${id}.part.out`, body)
    const where = { bucket: access.names.payloads, name: `${id}.part.out` }
    const lines = headerLine(Header.events, 1) + payloadLines(where, body.length, "application/cloudevents+json")
    const { outcome } = await deliver({ callback: receiver.url, invocationId: id, result: result(id, lines) })
    expect(outcome.kind).toBe("done")
    expect(JSON.parse(receiver.received[0]?.body ?? "").data.events[0].data.length).toBe(2_000_000)
  })

  test("R-IV-8: a receiver that is busy or away is tried again, later each time, then the delivery is a dead letter", async () => {
    await using receiver = await startReceiver((response) => response.writeHead(503).end("busy"))
    const retry = { attempts: 3, initialMs: 1_000, maxMs: 10_000 }
    const run = handler({ retry })
    const first = await deliver({ callback: receiver.url }, run)
    expect(first.outcome).toMatchObject({ kind: "retry", error: { reason: "CALLBACK_FAILED" } })
    const second = await deliver({ callback: receiver.url }, run, { attempt: 2 })
    const delays = [first, second].map(({ outcome }) => (outcome.kind === "retry" ? outcome.afterMs : 0))
    expect(delays[0]).toBeGreaterThanOrEqual(950)
    expect(delays[0]).toBeLessThanOrEqual(1_050)
    expect(delays[1]).toBeGreaterThanOrEqual(1_900)
    const last = await deliver({ callback: receiver.url }, run, { attempt: 3 })
    expect(last.outcome).toMatchObject({ kind: "gave-up", error: { reason: "CALLBACK_FAILED" } })
    const letter = await deadLetter()
    expect(letter.header(Header.dlqReason)).toBe("CALLBACK_FAILED")
    expect(letter.header(Header.dlqAttempts)).toBe("3")
    expect(letter.header(Header.dlqError)).toContain("503")
    // A redrive puts it back where it came from, and it is the same delivery then.
    expect(letter.header(Header.dlqSubject)).toBe(SUBJECT)
    expect(letter.header(Header.callback)).toBe(receiver.url)
    expect(letter.header(Header.invocationId)).toBe(last.id)
  })

  test("R-IV-8: nobody there is tried again", async () => {
    const gone = await startReceiver((response) => response.end())
    await gone[Symbol.asyncDispose]()
    expect((await deliver({ callback: gone.url })).outcome).toMatchObject({ kind: "retry", error: { retryable: true } })
  })

  test("R-IV-8: Retry-After puts the next attempt off", async () => {
    await using receiver = await startReceiver((response) => response.writeHead(429, { "retry-after": "60" }).end())
    expect((await deliver({ callback: receiver.url })).outcome).toMatchObject({ kind: "retry", afterMs: 60_000 })
  })

  test("R-IV-8: an answer that no repetition changes is a dead letter at once", async () => {
    await using receiver = await startReceiver((response) => response.writeHead(410).end())
    expect((await deliver({ callback: receiver.url })).outcome).toMatchObject({ kind: "gave-up", error: { details: { status: 410 } } })
    expect((await deadLetter()).header(Header.dlqError)).toContain("410")
  })

  test("SEC-1: a redirect is not followed", async () => {
    await using inside = await startReceiver((response) => response.end())
    await using receiver = await startReceiver((response) => response.writeHead(307, { location: inside.url }).end())
    expect((await deliver({ callback: receiver.url })).outcome).toMatchObject({ kind: "gave-up", error: { reason: "CALLBACK_FAILED" } })
    expect(inside.received).toEqual([])
  })

  test("an answer with an endless body is taken by its status", async () => {
    await using receiver = await startReceiver((response) => {
      response.writeHead(200)
      const more = (): void => void (response.destroyed || response.write(Buffer.alloc(65_536), () => setImmediate(more)))
      more()
    })
    expect((await deliver({ callback: receiver.url })).outcome).toEqual({ kind: "done" })
  })

  test("a receiver that never answers is given up when the host closes, for another to try", async () => {
    const closing = new AbortController()
    await using receiver = await startReceiver(() => closing.abort())
    const { outcome } = await deliver({ callback: receiver.url }, handler(), { signal: closing.signal })
    expect(outcome).toMatchObject({ kind: "retry", afterMs: 0 })
  })

  test("SEC-1: an address the operator does not allow is refused, nothing is sent, and the delivery is a dead letter", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const policies = [
      new HttpPolicy(),
      new HttpPolicy({ allow: ["*"] }),
      new HttpPolicy({ allow: ["hooks.example.com"], allowPrivate: true }),
    ]
    for (const policy of policies) {
      const { outcome } = await deliver({ callback: receiver.url }, handler({ policy }))
      expect(outcome).toMatchObject({ kind: "gave-up", error: { reason: "CALLBACK_REFUSED" } })
      expect((await deadLetter()).header(Header.dlqReason)).toBe("CALLBACK_REFUSED")
    }
    expect(receiver.received).toEqual([])
  })

  test("SEC-1: a name that resolves to the inside is refused when it is connected to", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const policy = new HttpPolicy({ allow: [`hooks.test:${receiver.port}`], resolve: async () => [{ address: "127.0.0.1", family: 4 }] })
    const { outcome } = await deliver({ callback: `http://hooks.test:${receiver.port}/` }, handler({ policy }))
    expect(outcome).toMatchObject({ kind: "gave-up", error: { reason: "CALLBACK_REFUSED" } })
    expect(receiver.received).toEqual([])
  })

  test("SEC-1: what is connected to is the address that was checked, whatever the name says a moment later", async () => {
    await using receiver = await startReceiver((response) => response.end())
    let asked = 0
    const policy = new HttpPolicy({
      allow: [`hooks.test:${receiver.port}`],
      allowPrivate: true,
      resolve: async () => (++asked === 1 ? [{ address: "127.0.0.1", family: 4 }] : [{ address: "127.0.0.2", family: 4 }]),
    })
    expect((await deliver({ callback: `http://hooks.test:${receiver.port}/` }, handler({ policy }))).outcome).toEqual({ kind: "done" })
    expect([asked, receiver.received.length]).toEqual([1, 1])
  })

  test.each(["", "nowhere", "ftp://127.0.0.1/", "event:", "function:NO", `http://127.0.0.1/${"x".repeat(3_000)}`, "https://exämple.com/"])(
    "R-IV-8: a callback that can never work is a dead letter: %s",
    async (callback) => {
      const { outcome } = await deliver({ callback })
      expect(outcome).toMatchObject({ kind: "gave-up", error: { reason: "CALLBACK_REFUSED" } })
    },
  )

  test("R-IV-8: an event subject gets it, below the namespace's own", async () => {
    const heard = access.nc.subscribe("event.shop.com.example.done", { max: 1 })
    const { outcome, id } = await deliver({ callback: "event:com.example.done", hops: 2 })
    expect(outcome).toEqual({ kind: "done" })
    for await (const msg of heard) {
      expect(msg.headers?.get("ce-type")).toBe("fn.invocation.succeeded")
      expect(msg.headers?.get("ce-id")).toBe(id)
      expect(msg.headers?.get("Fn-Hops")).toBe("3")
      expect(msg.json()).toMatchObject({ invocationId: id, status: "succeeded" })
    }
  })

  test("R-IV-8: a function gets it as a durable invocation, once however often it is delivered", async () => {
    const request = { callback: "function:next", invocationId: newId(), hops: 1 }
    expect((await deliver(request)).outcome).toEqual({ kind: "done" })
    const first = await findMessage(access.inbox, access.names.queue, { lastOf: "function.queue.shop.next" })
    expect((await deliver(request)).outcome).toEqual({ kind: "done" })
    const second = await findMessage(access.inbox, access.names.queue, { lastOf: "function.queue.shop.next" })
    expect(second?.seq).toBe(first?.seq)
    expect(first?.lines).toContain(headerLine(Header.hops, 2))
    expect(first?.lines).toContain("ce-type: fn.invocation.succeeded")
    expect(JSON.parse(Buffer.from(first?.data ?? "").toString())).toMatchObject({ invocationId: request.invocationId })
  })

  test("R-IV-9: a function gets a large result by claim check", async () => {
    const id = newId()
    const large = result(
      id,
      "ce-id: e1\r\nce-source: /s\r\nce-type: t\r\nce-specversion: 1.0\r\nce-datacontenttype: text/plain\r\n",
      "x".repeat(250_000),
    )
    const escaped = { ...large, data: Buffer.from('"'.repeat(250_000)) }
    await deliver({ callback: "function:next", invocationId: id, result: escaped })
    const queued = await findMessage(access.inbox, access.names.queue, { lastOf: "function.queue.shop.next" })
    expect(queued?.data.length).toBe(0)
    const name = /^Fn-Payload-Ref: obj:function-PAYLOADS\/(.*)\r$/m.exec(queued?.lines ?? "")?.[1] ?? ""
    const stored = JSON.parse(Buffer.from(await payloads.get(name)).toString()) as { events: { data: string }[] }
    expect(stored.events[0]?.data.length).toBe(250_000)
  })

  test("SEC-1: a function of another namespace is refused unless the operator allows it, and so is one nobody knows", async () => {
    expect((await deliver({ callback: "function:other/next" })).outcome).toMatchObject({ error: { reason: "CALLBACK_REFUSED" } })
    expect((await deliver({ callback: "function:other/next" }, handler({ crossNamespace: true }))).outcome.kind).toBe("done")
    expect((await deliver({ callback: "function:next" }, handler({ knows: () => false }))).outcome).toMatchObject({
      error: { reason: "CALLBACK_REFUSED" },
    })
  })

  test("a cycle of callbacks ends after sixteen functions", async () => {
    expect((await deliver({ callback: "function:next", hops: 15 })).outcome.kind).toBe("done")
    expect((await deliver({ callback: "function:next", hops: 16 })).outcome).toMatchObject({ error: { reason: "CALLBACK_REFUSED" } })
  })

  test("a delivery is stored once however often it is sent", async () => {
    const request = { ref: REF, invocationId: newId(), callback: "event:t", hops: 0, result: binary(newId()) }
    await sender.send(request)
    const first = await findMessage(access.inbox, access.names.queue, { lastOf: SUBJECT })
    await sender.send(request)
    expect((await findMessage(access.inbox, access.names.queue, { lastOf: SUBJECT }))?.seq).toBe(first?.seq)
  })

  test("a message that is no delivery, or speaks for another namespace, is given up and never acted on", async () => {
    await using receiver = await startReceiver((response) => response.end())
    const signal = new AbortController().signal
    const base = { namespace: "shop", data: new Uint8Array(0), seq: 1, attempt: 1, signal }
    const forged = headerLine(Header.fn, "other/order") + headerLine(Header.invocationId, "x") + headerLine(Header.callback, receiver.url)
    for (const lines of ["", forged]) expect((await handler().run({ ...base, lines })).kind).toBe("gave-up")
    expect(receiver.received).toEqual([])
  })
})
