import { randomBytes } from "node:crypto"
import { decodeBatch, newId } from "@fn/core"
import { findMessage, ReplyInbox, requestApi } from "@fn/nats"
import { enqueue, findResult, invocationLines, Payloads, payloadLines, type QueueAccess, queueNames, redriveDeadLetters } from "@fn/queue"
import { setupPlatform } from "@fn/registry"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import type { Msg } from "@nats-io/transport-node"
import { failure, header, startTestHost, type TestHost } from "../test-host.js"

const BUCKET = "function-PAYLOADS"
const LARGE = 2_000_000
const MODULE = `export default (event) => ({ type: "copy", datacontenttype: event.datacontenttype, data: event.data })`

describe("R-IV-9: events too large for a message", () => {
  let host: TestHost
  let access: QueueAccess
  let payloads: Payloads
  const running: string[] = []
  let broken = false

  beforeAll(async () => {
    host = await startTestHost({
      limits: { payloadBytes: 5_000_000 },
      queue: { sweepMs: 200 },
      builtins: {
        copy: (event) => ({ type: "copy", ...(event.datacontenttype ? { datacontenttype: event.datacontenttype } : {}), data: event.data }),
        size: (event) => ({ type: "size", data: { bytes: (event.data as Uint8Array).length, id: event.id } }),
        two: (event) => [
          { type: "one", data: event.data },
          { type: "two", data: event.data },
        ],
        flaky: (event, ctx) => {
          if (ctx.attempt === 1) throw new Error("not yet")
          return { type: "size", data: { bytes: (event.data as Uint8Array).length, attempt: ctx.attempt } }
        },
        mended: (event) => {
          if (broken) throw new TypeError("no luck")
          return { type: "size", data: { bytes: (event.data as Uint8Array).length } }
        },
        wide: () => ({ type: "wide", wide: "x".repeat(2_000_000) }),
        hold: async (event, ctx) => {
          running.push(event.id)
          await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
        },
      },
    })
    await setupPlatform(host.nc)
    for (const name of ["copy", "size", "two", "hold", "wide"]) await host.deployBuiltin(name)
    await host.deployBuiltin("flaky", { retry: { attempts: 3, initialMs: 1, maxMs: 1, jitter: false } })
    await host.deployBuiltin("mended", { retry: { attempts: 1 } })
    await host.deployModule("apart", MODULE)
    access = { nc: host.nc, inbox: new ReplyInbox(host.nc), names: queueNames() }
    payloads = new Payloads(access)
  }, 30_000)
  afterAll(async () => host[Symbol.asyncDispose]())

  /** Headers of a binary event whose data is stored apart. */
  function headers(id: string, sizeBytes: number, more: Record<string, string> = {}): Record<string, string> {
    return {
      "Fn-Invocation-Id": id,
      "Fn-Payload-Ref": `obj:${BUCKET}/${id}.in`,
      "Fn-Payload-Size": String(sizeBytes),
      "ce-id": "e1",
      "ce-source": "/test",
      "ce-type": "large",
      "ce-specversion": "1.0",
      "ce-datacontenttype": "application/octet-stream",
      ...more,
    }
  }

  async function put(data: Uint8Array, name = newId()): Promise<string> {
    await payloads.put(`${name}.in`, data)
    return name
  }

  /** Names of the objects there are. */
  async function objects(): Promise<string[]> {
    const { state } = await requestApi<{ state: { subjects?: Record<string, number> } }>(access.inbox, `STREAM.INFO.OBJ_${BUCKET}`, {
      body: { subjects_filter: `$O.${BUCKET}.M.>` },
    })
    return Object.keys(state.subjects ?? {}).map((subject) =>
      Buffer.from(subject.slice(subject.lastIndexOf(".") + 1), "base64url").toString("utf8"),
    )
  }

  async function bodyOf(reply: Msg): Promise<Uint8Array> {
    const name = /^obj:function-PAYLOADS\/(.*)$/.exec(header(reply, "Fn-Payload-Ref") ?? "")?.[1]
    expect([name !== undefined, reply.data.length]).toEqual([true, 0])
    const body = await payloads.get(name as string)
    expect(header(reply, "Fn-Payload-Size")).toBe(String(body.length))
    return body
  }

  async function gone(id: string): Promise<void> {
    await until(async () => !(await objects()).some((name) => name.startsWith(id) && name.endsWith(".in")), { name: "event data deleted" })
  }

  test("data that is stored apart comes to the function, and is gone when the call is over", async () => {
    const data = randomBytes(LARGE)
    const id = await put(data)
    const reply = await host.request("function.js.size", "", headers(id, LARGE))
    expect(reply.json()).toEqual({ bytes: LARGE, id: "e1" })
    await gone(id)
  })

  test("a large reply is stored apart for a caller who can read it so, whole, with the event's headers in the message", async () => {
    const data = randomBytes(LARGE)
    for (const name of ["copy", "apart"]) {
      const id = await put(data)
      const reply = await host.request(`function.js.${name}`, "", headers(id, LARGE, { "Fn-Accept": "payload-ref" }))
      expect([header(reply, "ce-type"), header(reply, "Fn-Events"), header(reply, "Fn-Payload-Type")]).toEqual([
        "copy",
        "1",
        "application/octet-stream",
      ])
      expect(Buffer.compare(await bodyOf(reply), data)).toBe(0)
      await gone(id)
    }
  })

  test("several large events are a batch that is stored apart, one in structured mode a structured event", async () => {
    const data = randomBytes(LARGE / 2)
    const batch = await host.request("function.js.two", "", headers(await put(data), data.length, { "Fn-Accept": "payload-ref" }))
    expect(header(batch, "Fn-Payload-Type")).toBe("application/cloudevents-batch+json")
    expect(decodeBatch(await bodyOf(batch)).map(({ data: bytes }) => Buffer.compare(bytes as Uint8Array, data))).toEqual([0, 0])
    const structured = await host.request(
      "function.js.copy",
      "",
      headers(await put(data), data.length, { "Fn-Accept": "structured payload-ref" }),
    )
    expect(header(structured, "Fn-Payload-Type")).toBe("application/cloudevents+json")
    expect(JSON.parse(Buffer.from(await bodyOf(structured)).toString())).toMatchObject({ type: "copy", specversion: "1.0" })
  })

  test("a structured event and a bare payload can be stored apart too", async () => {
    const text = "x".repeat(LARGE)
    const event = Buffer.from(
      JSON.stringify({ specversion: "1.0", id: "s1", source: "/s", type: "t", datacontenttype: "text/plain", data: text }),
    )
    const only = (id: string, size: number, type: string): Record<string, string> => ({
      "Fn-Invocation-Id": id,
      "Fn-Payload-Ref": `obj:${BUCKET}/${id}.in`,
      "Fn-Payload-Size": String(size),
      "Fn-Payload-Type": type,
    })
    const structured = await host.request("function.js.size", "", only(await put(event), event.length, "application/cloudevents+json"))
    expect(structured.json()).toMatchObject({ data: { bytes: LARGE, id: "s1" } })
    const bare = await host.request("function.js.size", "", only(await put(Buffer.from(text)), LARGE, "text/plain"))
    expect(bare.json()).toMatchObject({ bytes: LARGE })
  })

  test("between the claim limit and max_payload a caller who cannot read references gets the data in the message, beyond it OUTPUT_LIMIT", async () => {
    const inline = await host.request("function.js.copy", "", headers(await put(randomBytes(500_000)), 500_000))
    expect([header(inline, "Fn-Payload-Ref"), inline.data.length]).toEqual([undefined, 500_000])
    const apart = await host.request(
      "function.js.copy",
      "",
      headers(await put(randomBytes(500_000)), 500_000, { "Fn-Accept": "payload-ref" }),
    )
    expect((await bodyOf(apart)).length).toBe(500_000)
    const refused = await host.request("function.js.copy", "", headers(await put(randomBytes(LARGE)), LARGE))
    expect(failure(refused)).toBe("resource_exhausted OUTPUT_LIMIT")
  })

  test.each([
    ["another bucket", (id: string) => ({ "Fn-Payload-Ref": `obj:function-ARTIFACTS-default/${id}.in` })],
    ["another invocation's data", () => ({ "Fn-Payload-Ref": `obj:${BUCKET}/${newId()}.in` })],
    ["a result", (id: string) => ({ "Fn-Payload-Ref": `obj:${BUCKET}/${id}.out` })],
    ["a name that only begins like the invocation's", (id: string) => ({ "Fn-Payload-Ref": `obj:${BUCKET}/${id}x.in` })],
    ["a deeper name", (id: string) => ({ "Fn-Payload-Ref": `obj:${BUCKET}/${id}.a.b.in` })],
    ["no reference at all", () => ({ "Fn-Payload-Ref": "http://example.com/" })],
    ["no size", () => ({ "Fn-Payload-Size": "" })],
    ["a size that is none", () => ({ "Fn-Payload-Size": "-1" })],
  ])("SEC-1: %s is refused and nothing of it is touched", async (_name, change) => {
    const id = await put(randomBytes(10))
    const reply = await host.request("function.js.size", "", { ...headers(id, 10), ...change(id) })
    expect(failure(reply)).toBe("invalid_argument INVALID_REQUEST")
    expect(await objects()).toContain(`${id}.in`)
    await payloads.delete(`${id}.in`)
  })

  test("SEC-3: a size over 64 MiB is refused before anything is read, and more than was said is not read", async () => {
    const id = newId()
    expect(failure(await host.request("function.js.size", "", headers(id, 67_108_865)))).toBe("resource_exhausted PAYLOAD_TOO_LARGE")
    const larger = await put(randomBytes(300_000))
    expect(failure(await host.request("function.js.size", "", headers(larger, 1_000)))).toBe("resource_exhausted PAYLOAD_TOO_LARGE")
    const smaller = await put(randomBytes(300_000))
    expect(failure(await host.request("function.js.size", "", headers(smaller, 400_000)))).toBe("invalid_argument INVALID_REQUEST")
  })

  test("data that is not there is PAYLOAD_NOT_FOUND, a reference without an invocation id or beside a body INVALID_REQUEST", async () => {
    expect(failure(await host.request("function.js.size", "", headers(newId(), 10)))).toBe("not_found PAYLOAD_NOT_FOUND")
    const { "Fn-Invocation-Id": _id, ...without } = headers(newId(), 10)
    expect(failure(await host.request("function.js.size", "", without))).toBe("invalid_argument INVALID_REQUEST")
    expect(failure(await host.request("function.js.size", "body", headers(await put(randomBytes(10)), 10)))).toBe(
      "invalid_argument INVALID_REQUEST",
    )
  })

  test("SEC-3: calls hold no more stored data than the host has room for; the next waits until one ends, or its time is up", async () => {
    running.length = 0
    const ids = await Promise.all([1, 2, 3].map(() => put(randomBytes(LARGE))))
    const calls = ids.map((id, at) => host.request("function.js.hold", "", headers(id, LARGE, { "ce-id": `h${at}` })))
    await until(() => running.length === 2, { name: "two calls to run" })
    const late = await host.request("function.js.hold", "", headers(await put(randomBytes(LARGE)), LARGE, { "Fn-Timeout-Ms": "100" }))
    expect(failure(late)).toBe("deadline_exceeded DEADLINE_EXCEEDED")
    expect(running.length).toBe(2)
    const waiting = ids[[0, 1, 2].find((at) => !running.includes(`h${at}`)) as number] as string
    const known = await host.nc.request(`function.status.${host.runtime.host}`, JSON.stringify({ invocationId: waiting }))
    expect(known.json()).toMatchObject({ runningInvocation: true })
    host.nc.publish(`function.cancel.default.${ids[Number(running[0]?.slice(1))]}`)
    await until(() => running.length === 3, { name: "the third call to run" })
    for (const id of ids) host.nc.publish(`function.cancel.default.${id}`)
    expect((await Promise.all(calls)).map(failure)).toEqual(Array(3).fill("cancelled CANCELLED"))
  })

  test("a call that is cancelled while its data waits for room never runs", async () => {
    running.length = 0
    const ids = await Promise.all([1, 2, 3].map(() => put(randomBytes(LARGE))))
    const calls = ids.map((id, at) => host.request("function.js.hold", "", headers(id, LARGE, { "ce-id": `h${at}` })))
    await until(() => running.length === 2, { name: "two calls to run" })
    const [waiting] = [0, 1, 2].filter((at) => !running.includes(`h${at}`)) as [number]
    host.nc.publish(`function.cancel.default.${ids[waiting]}`)
    await host.nc.flush()
    for (const id of ids) host.nc.publish(`function.cancel.default.${id}`)
    expect((await Promise.all(calls)).map(failure)).toEqual(Array(3).fill("cancelled CANCELLED"))
    expect(running.length).toBe(2)
  })

  /** Stores a durable invocation whose data is apart. */
  async function queue(name: string, data: Uint8Array): Promise<string> {
    const id = await put(data)
    await enqueue(access, {
      ref: { namespace: "default", name },
      lines:
        invocationLines({ invocationId: id }) +
        payloadLines({ bucket: BUCKET, name: `${id}.in` }, data.length, "application/octet-stream") +
        "ce-id: e1\r\nce-source: /test\r\nce-type: large\r\nce-specversion: 1.0\r\n",
    })
    return id
  }

  async function resultOf(id: string): Promise<{ lines: string; data: Uint8Array }> {
    return until(() => findResult(access, "default", id), { name: `result of ${id}`, timeoutMs: 20_000 })
  }

  test("a durable invocation reads its data at every attempt, and stores a large result apart", async () => {
    const data = randomBytes(LARGE)
    const [copied, retried] = await Promise.all([queue("copy", data), queue("flaky", data)])
    const { lines, data: inline } = await resultOf(copied)
    expect(inline.length).toBe(0)
    const object = /^Fn-Payload-Ref: obj:function-PAYLOADS\/(.*)\r$/m.exec(lines)?.[1] as string
    expect(object.startsWith(`${copied}.`) && object.endsWith(".out")).toBe(true)
    expect(Buffer.compare(await payloads.get(object), data)).toBe(0)
    expect(JSON.parse(Buffer.from((await resultOf(retried)).data).toString())).toEqual({ bytes: LARGE, attempt: 2 })
    await Promise.all([gone(copied), gone(retried)])
    // A result can be fetched again.
    expect(await objects()).toContain(object)
  })

  test("a dead letter keeps its data: redriven, again and again, it has it until it succeeds", async () => {
    broken = true
    const id = await queue("mended", randomBytes(LARGE))
    const { lines } = await resultOf(id)
    expect(lines).toContain("Fn-Error-Reason: FUNCTION_THREW")
    const redriven = async (): Promise<string> => {
      const filter = { namespace: "default", name: "mended" }
      await until(() => findMessage(access.inbox, access.names.deadLetters, { lastOf: "function.dlq.default.mended" }), {
        name: "dead letter",
      })
      const [letter] = await redriveDeadLetters(access, filter)
      return letter?.invocationId as string
    }
    expect((await resultOf(await redriven())).lines).toContain("Fn-Error-Reason: FUNCTION_THREW")
    expect(await objects()).toContain(`${id}.in`)
    broken = false
    expect(JSON.parse(Buffer.from((await resultOf(await redriven())).data).toString())).toEqual({ bytes: LARGE })
    await gone(id)
  })

  test("SEC-4: a host that drains ends when a reply that is stored apart has left", async () => {
    let made: () => void = () => undefined
    const isMade = new Promise<void>((resolve) => {
      made = resolve
    })
    await using leaving = await startTestHost({
      builtins: {
        make: () => {
          made()
          return { type: "made", datacontenttype: "text/plain", data: "x".repeat(20_000_000) }
        },
      },
    })
    await setupPlatform(leaving.nc)
    await leaving.deployBuiltin("make")
    const answer = leaving.request("function.js.make", "", { "Fn-Accept": "payload-ref" })
    await isMade
    const drained = leaving.runtime.drain()
    expect(header(await answer, "Fn-Payload-Size")).toBe("20000000")
    await drained
    expect(leaving.runtime.phase).toBe("closed")
  }, 30_000)

  test("headers too large for a message are OUTPUT_LIMIT, for a durable result too: nothing is tried for ever", async () => {
    const id = await queue("wide", randomBytes(10))
    expect((await resultOf(id)).lines).toContain("Fn-Error-Reason: OUTPUT_LIMIT")
    expect(failure(await host.request("function.js.wide", ""))).toBe("resource_exhausted OUTPUT_LIMIT")
  }, 30_000)

  test("where nothing can be stored apart, a caller gets what a message can carry, and else the reason", async () => {
    await using bare = await startTestHost({ builtins: { make: (event) => ({ type: "made", data: "x".repeat(event.data as number) }) } })
    await bare.deployBuiltin("make")
    const accept = { "Fn-Accept": "payload-ref" }
    expect((await bare.request("function.js.make", "500000", accept)).data.length).toBe(500_002)
    const refused = await bare.request("function.js.make", "2000000", accept)
    expect(failure(refused)).toBe("resource_exhausted OUTPUT_LIMIT")
    expect(refused.json()).toMatchObject({ message: expect.stringContaining("not stored apart") })
  })
})
