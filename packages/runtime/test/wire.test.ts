import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { Kvm } from "@nats-io/kv"
import { failure, header, startTestHost, type TestHost } from "./test-host.js"

const EVENT = {
  specversion: "1.0",
  id: "e1",
  source: "/test",
  type: "com.example.asked",
  datacontenttype: "application/json",
  data: { n: 1 },
}
const BINARY = {
  "ce-specversion": "1.0",
  "ce-id": "e1",
  "ce-source": "/test",
  "ce-type": "com.example.asked",
  "ce-datacontenttype": "application/json",
}

describe("what any NATS client sees of a host", () => {
  let host: TestHost
  let executed = 0

  beforeAll(async () => {
    host = await startTestHost({
      builtins: {
        double: (event) => {
          executed++
          return { type: "com.example.doubled", data: { n: (event.data as { n: number }).n * 2 } }
        },
        split: (event) => [
          { type: "a", data: event.data },
          { type: "b", data: event.data },
        ],
        drop: () => undefined,
        slow: async (_event, ctx) => new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve(undefined))),
        large: () => ({ type: "large", data: "x".repeat(2_000_000) }),
        extend: (event) => ({ ...event, id: "out", type: "extended" }),
      },
    })
    for (const name of ["double", "split", "drop", "slow", "large", "extend"]) await host.deployBuiltin(name)
  })
  afterAll(async () => host[Symbol.asyncDispose]())

  test("R-IV-2: a bare JSON payload gives an event back in binary mode", async () => {
    const reply = await host.request("function.js.double", '{"n":21}')
    expect(header(reply, "ce-type")).toBe("com.example.doubled")
    expect(header(reply, "ce-specversion")).toBe("1.0")
    expect(header(reply, "Fn-Events")).toBe("1")
    expect(reply.json()).toEqual({ n: 42 })
  })

  test("R-IV-2: an event in ce-* headers gives one back in binary mode", async () => {
    const reply = await host.request("function.js.double", '{"n":2}', BINARY)
    expect(header(reply, "ce-source")).toBe("/functions/default/double")
    expect(header(reply, "ce-datacontenttype")).toBe("application/json")
    expect(reply.json()).toEqual({ n: 4 })
  })

  test("R-IV-2: an event in structured mode gives one back in structured mode", async () => {
    const reply = await host.request("function.js.double", JSON.stringify(EVENT), { "content-type": "application/cloudevents+json" })
    expect(header(reply, "content-type")).toBe("application/cloudevents+json")
    expect(reply.json()).toMatchObject({ type: "com.example.doubled", specversion: "1.0", data: { n: 2 } })
  })

  test("a caller chooses the mode of the answer with Fn-Accept", async () => {
    const reply = await host.request("function.js.double", '{"n":1}', { "Fn-Accept": "structured" })
    expect(reply.json()).toMatchObject({ type: "com.example.doubled" })
  })

  test("no event is an empty body, several are a batch", async () => {
    const none = await host.request("function.js.drop", "{}")
    expect([header(none, "Fn-Events"), none.data.length]).toEqual(["0", 0])
    const several = await host.request("function.js.split", "{}")
    expect(header(several, "content-type")).toBe("application/cloudevents-batch+json")
    expect((several.json() as { type: string }[]).map(({ type }) => type)).toEqual(["a", "b"])
  })

  test("extension attributes and text outside ASCII survive both ways", async () => {
    const reply = await host.request("function.js.extend", "{}", { ...BINARY, "ce-subject": "Gr%C3%BC%C3%9Fe", "ce-tenant": "acme" })
    expect([header(reply, "ce-subject"), header(reply, "ce-tenant")]).toEqual(["Gr%C3%BC%C3%9Fe", "acme"])
  })

  test("R-IV-4: emitted events go out on event.{namespace}.{type} with one hop more", async () => {
    const emitted = host.nc.subscribe("event.default.com.example.doubled", { max: 1 })
    await host.nc.flush()
    await host.request("function.js.double", '{"n":3}', { "Fn-Hops": "2" })
    for await (const event of emitted) {
      expect(event.json()).toEqual({ n: 6 })
      expect([header(event, "ce-type"), header(event, "Fn-Hops")]).toEqual(["com.example.doubled", "3"])
    }
  })

  test("an event that has passed 16 functions is refused", async () => {
    expect(failure(await host.request("function.js.double", '{"n":3}', { "Fn-Hops": "17" }))).toBe("failed_precondition TOO_MANY_HOPS")
  })

  test("R-EV-1: each malformed event is refused with its reason", async () => {
    const { "ce-id": _id, ...noId } = BINARY
    const cases: [string, Record<string, string>][] = [
      ["{}", noId],
      ["{}", { ...BINARY, "ce-specversion": "0.3" }],
      ["{}", { ...BINARY, "ce-time": "yesterday" }],
      ["{not json", BINARY],
      ["{not json", { "content-type": "application/cloudevents+json" }],
      ["[]", { "content-type": "application/cloudevents+json" }],
      ['{"id":"1"}', { "content-type": "application/cloudevents+json" }],
      ["<e/>", { "content-type": "application/cloudevents+xml" }],
      ["[]", { "content-type": "application/cloudevents-batch+json" }],
    ]
    for (const [payload, fields] of cases) {
      const reply = await host.request("function.js.double", payload, fields)
      expect([JSON.stringify(fields), failure(reply), header(reply, "Nats-Service-Error-Code")]).toEqual([
        JSON.stringify(fields),
        "invalid_argument INVALID_EVENT",
        "400",
      ])
    }
  })

  test("an answer larger than the server takes is OUTPUT_LIMIT naming the limit", async () => {
    const reply = await host.request("function.js.large", "{}")
    expect(failure(reply)).toBe("resource_exhausted OUTPUT_LIMIT")
    expect(header(reply, "Nats-Service-Error")).toContain("1048576")
  })

  test("a caller's time-out ends the call with FUNCTION_TIMEOUT", async () => {
    expect(failure(await host.request("function.js.slow", "{}", { "Fn-Timeout-Ms": "50" }))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
  })

  test("R-IV-4: a caller that asks for it hears who started its call", async () => {
    const inbox = host.nc.subscribe("_INBOX.started", { max: 2 })
    await host.nc.flush()
    const { headers } = await import("@nats-io/transport-node")
    const fields = headers()
    fields.set("Fn-Accept", "started")
    fields.set("Fn-Timeout-Ms", "300")
    host.nc.publish("function.js.slow", "{}", { reply: "_INBOX.started", headers: fields })
    const messages = []
    for await (const msg of inbox) messages.push(msg)
    expect(messages.map((msg) => header(msg, "Fn-Started") ?? failure(msg))).toEqual([
      host.runtime.host,
      "deadline_exceeded FUNCTION_TIMEOUT",
    ])
  })

  test("a cancelled call is answered as cancelled", async () => {
    const pending = host.request("function.js.slow", "{}", { "Fn-Invocation-Id": "to-cancel" })
    await until(() => host.runtime.status().running > 0, { name: "the call to run" })
    host.nc.publish("function.cancel.default.to-cancel")
    expect(failure(await pending)).toBe("cancelled CANCELLED")
  })

  test("an unknown version is VERSION_NOT_FOUND", async () => {
    expect(failure(await host.request("function.js.double", '{"n":1}', { "Fn-Version": "9.9.9" }))).toBe("not_found VERSION_NOT_FOUND")
  })

  test("a publish without reply subject runs once and its result goes to function.result.{id}", async () => {
    const result = host.nc.subscribe("function.result.call-1", { max: 1 })
    await host.nc.flush()
    const { headers } = await import("@nats-io/transport-node")
    const fields = headers()
    fields.set("Fn-Invocation-Id", "call-1")
    host.nc.publish("function.js.double", '{"n":5}', { headers: fields })
    for await (const msg of result) expect(msg.json()).toEqual({ n: 10 })
  })

  test("a reply subject that is no inbox gets nothing executed and nothing written", async () => {
    const kv = await new Kvm(host.nc).create("victim")
    await kv.put("key", "before")
    const ran = executed
    const inbox = host.nc.subscribe(">", {})
    const seen: string[] = []
    void (async () => {
      for await (const msg of inbox) seen.push(msg.subject)
    })()
    for (const reply of [
      "$KV.victim.key",
      "$JS.API.STREAM.DELETE.KV_victim",
      "function.js.double",
      "event.default.x",
      "function.status.x",
    ]) {
      host.nc.publish("function.js.double", '{"n":1}', { reply })
      host.nc.publish("function.invoke", '{"functionName":"double","event":{"id":"1","source":"s","type":"t","data":{"n":1}}}', { reply })
    }
    // A call after them on the same connection is answered after them.
    await host.request("function.js.drop", "{}")
    await host.request("function.invoke", '{"functionName":"drop","event":{"id":"1","source":"s","type":"t"}}')
    inbox.unsubscribe()
    expect(executed).toBe(ran)
    expect((await kv.get("key"))?.string()).toBe("before")
    expect(seen.filter((subject) => subject.startsWith("$KV") || subject.startsWith("$JS.API.STREAM.DELETE"))).toEqual([])
    expect(host.lines.some(({ fields }) => fields.reason === "BAD_REPLY_SUBJECT")).toBe(true)
  })

  test("the envelope of function.invoke answers with events, or with error and errorType", async () => {
    const invoke = async (envelope: unknown): Promise<unknown> =>
      (await host.request("function.invoke", typeof envelope === "string" ? envelope : JSON.stringify(envelope))).json()
    const event = { id: "123", source: "test", type: "com.example.test", datacontenttype: "application/json", data: { n: 4 } }
    expect(await invoke({ functionName: "double", event })).toMatchObject({ events: [{ type: "com.example.doubled", data: { n: 8 } }] })
    expect(await invoke({ functionName: "drop", event })).toEqual({ events: [] })
    expect(await invoke({ functionName: "nobody", event })).toMatchObject({ errorType: "plugin_not_found" })
    expect(await invoke({ functionName: "bad name", event })).toMatchObject({ errorType: "invalid_request" })
    expect(await invoke({ functionName: "double" })).toMatchObject({ errorType: "invalid_request" })
    expect(await invoke({ functionName: "double", event: { id: "1" } })).toMatchObject({ errorType: "invalid_request" })
    expect(await invoke("no json")).toMatchObject({ errorType: "invalid_request" })
    expect(await invoke({ functionName: "large", event })).toMatchObject({ errorType: "response_error" })
    expect(await invoke({ functionName: "double", event: { ...event, data: null } })).toMatchObject({ errorType: "execution_error" })
  })

  test("R-IV-1: the service's STATS count calls and errors truly", async () => {
    const stats = async (): Promise<{ num_requests: number; num_errors: number; last_error: string; average_processing_time: number }> => {
      const answer = (await host.nc.request("$SRV.STATS.fn-runtime", "")).json() as { endpoints: { name: string }[] }
      return answer.endpoints.find(({ name }) => name === "js") as never
    }
    const before = await stats()
    for (let i = 0; i < 5; i++) await host.request("function.js.double", '{"n":1}')
    await host.request("function.js.double", "{}", { "ce-id": "only" })
    await host.request("function.js.slow", "{}", { "Fn-Timeout-Ms": "30" })
    const after = await stats()
    expect(after.num_requests - before.num_requests).toBe(7)
    expect(after.num_errors - before.num_errors).toBe(2)
    expect(after.last_error).toContain("deadline_exceeded")
    expect(after.average_processing_time).toBeGreaterThan(0)
  })

  test("$SRV.PING and INFO name the host and its endpoints", async () => {
    const ping = (await host.nc.request("$SRV.PING", "")).json() as { id: string; type: string }
    expect([ping.type, ping.id]).toEqual(["io.nats.micro.v1.ping_response", host.runtime.host])
    const info = (await host.nc.request(`$SRV.INFO.fn-runtime.${host.runtime.host}`, "")).json() as {
      endpoints: { name: string; queue_group: string }[]
    }
    expect(info.endpoints.map(({ name, queue_group }) => `${name} ${queue_group}`)).toEqual(["invoke function", "js function.js"])
  })

  test("R-PL-1, R-OB-4: function.status and function.health answer questions", async () => {
    const status = (await host.nc.request(`function.status.${host.runtime.host}`, '{"function":"default/double"}')).json()
    expect(status).toMatchObject({ host: host.runtime.host, phase: "ready", functions: [{ function: "default/double", served: true }] })
    expect((await host.nc.request(`function.health.${host.runtime.host}`, "")).json()).toMatchObject({ status: "healthy", phase: "ready" })
  })
})
