import { once } from "node:events"
import { createConnection, type Socket } from "node:net"
import { FnError } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { CloudEvent, HTTP, type Message } from "cloudevents"
import { startPlatform } from "../test/platform.js"
import { startGateway } from "./index.js"

const CE = { "ce-id": "1", "ce-source": "/test", "ce-type": "test.asked", "ce-specversion": "1.0" }

/** What fetch got, with its body read. */
async function post(url: string, init: RequestInit = {}): Promise<{ status: number; headers: Headers; text: string; json: () => unknown }> {
  const response = await fetch(url, { method: "POST", ...init })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as unknown }
}

/** A message of the SDK, sent as it is. */
function postMessage(url: string, message: Message): Promise<Awaited<ReturnType<typeof post>>> {
  return post(url, { headers: message.headers as Record<string, string>, body: message.body as string })
}

/** Sends bytes over a socket; resolves with everything the server sent until it closed. */
function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write(bytes))
    collect(socket).then(resolve, reject)
  })
}

function collect(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("utf8")))
    socket.on("error", reject)
  })
}

describe("R-GW-3: events over HTTP, the SDK being the judge", () => {
  const events: CloudEvent<unknown>[] = [
    new CloudEvent<unknown>({ id: "1", source: "/sdk/x?y=1#z", type: "test.sdk", data: { text: 'é " % \n', n: [1, 2.5, null] } }),
    new CloudEvent<unknown>({
      id: "2",
      source: "urn:x",
      type: "test.sdk",
      subject: "orders/1",
      time: "2026-11-20T10:00:00.123Z",
      partition: "7",
    }),
    new CloudEvent<unknown>({ id: "3", source: "/sdk", type: "test.sdk", datacontenttype: "text/plain", data: "plain töxt" }),
  ]

  test.each(events.map((event) => [event.id, event] as const))("binary in, binary out: %s", async (_id, event) => {
    await using platform = await startPlatform()
    const answer = await postMessage(`${platform.gateway.url}/function/echo`, HTTP.binary(event))
    expect(answer.status).toBe(200)
    const decoded = HTTP.toEvent({ headers: Object.fromEntries(answer.headers), body: answer.text }) as CloudEvent
    for (const name of ["id", "source", "type", "specversion", "subject", "partition"] as const)
      expect([name, decoded[name]]).toEqual([name, event[name]])
    expect(decoded.data || undefined).toEqual(event.data) // the SDK reads an empty body as ""
  })

  test.each(events.map((event) => [event.id, event] as const))("structured in, structured out when accepted: %s", async (_id, event) => {
    await using platform = await startPlatform()
    const { headers, body } = HTTP.structured(event)
    const answer = await post(`${platform.gateway.url}/function/echo`, {
      headers: { ...(headers as Record<string, string>), accept: "text/html, application/cloudevents+json; charset=utf-8" },
      body: body as string,
    })
    expect(answer.status).toBe(200)
    expect(answer.headers.get("content-type")).toBe("application/cloudevents+json")
    const decoded = HTTP.toEvent({ headers: Object.fromEntries(answer.headers), body: answer.text }) as CloudEvent
    const sent = Object.entries(event.toJSON()).filter(([, value]) => value !== undefined)
    expect(decoded.toJSON()).toMatchObject(Object.fromEntries(sent))
  })

  test("attribute values are percent-encoded both ways", async () => {
    await using platform = await startPlatform()
    const headers = { ...CE, "ce-subject": "100%25%20na%C3%AFve%20%E2%82%AC" }
    const answer = await post(`${platform.gateway.url}/function/echo`, { headers })
    expect(answer.headers.get("ce-subject")).toBe(headers["ce-subject"])
    const structured = await post(`${platform.gateway.url}/function/echo`, {
      headers: { ...headers, accept: "application/cloudevents+json" },
    })
    expect(structured.json()).toMatchObject({ subject: "100% naïve €" })
  })

  test("several events come as a batch", async () => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/three`, { headers: CE })
    expect(answer.headers.get("content-type")).toBe("application/cloudevents-batch+json")
    const decoded = HTTP.toEvent({ headers: Object.fromEntries(answer.headers), body: answer.text }) as CloudEvent[]
    expect(decoded.map(({ data }) => data)).toEqual([1, 2, 3])
  })

  test("one or no event comes as a batch to whom asks for one", async () => {
    await using platform = await startPlatform()
    const headers = { ...CE, accept: "application/cloudevents-batch+json" }
    expect((await post(`${platform.gateway.url}/function/echo`, { headers })).json()).toMatchObject([{ id: "1" }])
    expect((await post(`${platform.gateway.url}/function/none`, { headers })).json()).toEqual([])
  })

  test("no event is 204 without a body", async () => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/none`, { headers: CE })
    expect(answer.status).toBe(204)
    expect(answer.text).toBe("")
    expect(answer.headers.get("fn-invocation-id")).toMatch(/^[A-Za-z0-9_-]{22}$/)
  })

  test("bytes pass through untouched", async () => {
    await using platform = await startPlatform()
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256))
    const response = await fetch(`${platform.gateway.url}/function/echo`, {
      method: "POST",
      headers: { ...CE, "content-type": "image/png" },
      body: bytes,
    })
    expect(response.headers.get("content-type")).toBe("image/png")
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true)
  })
})

describe("payloads that are no events", () => {
  test.each([
    ["JSON", { "content-type": "application/json" }, '{"a":1}', "application/json", '{"a":1}'],
    ["JSON as curl -d sends it", { "content-type": "application/x-www-form-urlencoded" }, '{"a":1}', "application/json", '{"a":1}'],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }, "a=1&b=2", "application/x-www-form-urlencoded", "a=1&b=2"],
    ["text", { "content-type": "text/plain; charset=utf-8" }, "hé", "text/plain; charset=utf-8", "hé"],
  ])("%s becomes the data of an event", async (_name, headers, body, type, expected) => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/echo`, { headers: headers as Record<string, string>, body })
    expect(answer.status).toBe(200)
    expect(answer.headers.get("ce-type")).toBe("com.fn.http.request")
    expect(answer.headers.get("ce-source")).toBe("/fn/gateway")
    expect(answer.headers.get("content-type")).toBe(type)
    expect(answer.text).toBe(expected)
  })

  test("an empty body is an event without data; the query names its type", async () => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/echo?a=b&type=com.github.push%2Fx&type=no`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get("ce-type")).toBe("com.github.push/x")
    expect(answer.text).toBe("")
  })

  test("namespaces and versions are in the path", async () => {
    await using platform = await startPlatform()
    const { url } = platform.gateway
    expect((await post(`${url}/function/shop/echo`)).headers.get("ce-type")).toBe("shop.echoed")
    expect((await post(`${url}/function/shop/echo@0.0.1`)).status).toBe(200)
    expect((await post(`${url}/function/shop/echo%400.0.1`)).status).toBe(200)
    expect((await post(`${url}/function/shop/echo@7.0.0`)).json()).toMatchObject({ status: 404, reason: "VERSION_NOT_FOUND" })
  })
})

describe("problems", () => {
  test("are RFC 9457, with a type that leads to an explanation", async () => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/missing`, { headers: CE })
    expect(answer.status).toBe(404)
    expect(answer.headers.get("content-type")).toBe("application/problem+json")
    expect(answer.json()).toMatchObject({
      type: "/errors/FUNCTION_NOT_FOUND",
      title: "Function not found",
      status: 404,
      detail: expect.stringContaining("default/missing"),
      code: "not_found",
      reason: "FUNCTION_NOT_FOUND",
      retryable: false,
      todo: expect.stringContaining("fn list"),
      invocationId: answer.headers.get("fn-invocation-id"),
    })
    const page = await fetch(new URL("/errors/FUNCTION_NOT_FOUND", platform.gateway.url))
    expect(await page.text()).toContain("Deploy the function")
    expect((await fetch(new URL("/errors/MADE_UP", platform.gateway.url))).status).toBe(404)
    expect((await fetch(new URL("/errors/constructor", platform.gateway.url))).status).toBe(404)
  })

  test("of a function keep its reason and details, and say when to come back", async () => {
    const functions = {
      declines: () => {
        throw FnError.terminal("CARD_DECLINED", "no money — naïve", { order: "o1" })
      },
      busy: () => {
        throw FnError.retryAfter(1_500)
      },
      breaks: () => {
        throw new TypeError("x is undefined")
      },
    }
    await using platform = await startPlatform({ functions })
    const { url } = platform.gateway
    expect((await post(`${url}/function/declines`)).json()).toMatchObject({
      type: "about:blank",
      status: 400,
      code: "failed_precondition",
      reason: "CARD_DECLINED",
      detail: "no money — naïve",
      details: { order: "o1" },
      retryable: false,
    })
    const busy = await post(`${url}/function/busy`)
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([503, "2"])
    expect((await post(`${url}/function/breaks`)).json()).toMatchObject({ status: 500, reason: "FUNCTION_THREW", detail: "x is undefined" })
  })

  test.each([
    ["ce-id missing", { "ce-source": "/a", "ce-type": "b", "ce-specversion": "1.0" }, undefined, 400, "INVALID_EVENT"],
    ["ce-specversion unknown", { ...CE, "ce-specversion": "0.3" }, undefined, 400, "INVALID_EVENT"],
    ["a broken percent-encoding", { ...CE, "ce-subject": "%ff%fe" }, undefined, 400, "INVALID_EVENT"],
    ["ce-datacontenttype", { ...CE, "ce-datacontenttype": "a/b" }, "x", 400, "INVALID_EVENT"],
    ["structured junk", { "content-type": "application/cloudevents+json" }, "{", 400, "INVALID_EVENT"],
    [
      "a structured event without type",
      { "content-type": "application/cloudevents+json; charset=utf-8" },
      '{"id":"1"}',
      400,
      "INVALID_EVENT",
    ],
    ["a batch", { "content-type": "application/cloudevents-batch+json" }, "[]", 400, "INVALID_REQUEST"],
    ["another event format", { "content-type": "application/cloudevents+avro" }, "x", 415, "UNSUPPORTED_MEDIA_TYPE"],
    ["a content coding", { "content-encoding": "gzip" }, "x", 415, "UNSUPPORTED_MEDIA_TYPE"],
    ["a time-out that is none", { ...CE, "fn-timeout-ms": "soon" }, undefined, 400, "INVALID_REQUEST"],
    ["a negative time-out", { ...CE, "fn-timeout-ms": "-5" }, undefined, 400, "INVALID_REQUEST"],
  ])("name what is wrong: %s", async (_name, headers, body, status, reason) => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/echo`, {
      headers: headers as Record<string, string>,
      ...(body === undefined ? {} : { body }),
    })
    expect(answer.json()).toMatchObject({ status, reason, type: `/errors/${reason}` })
    expect(answer.status).toBe(status)
  })

  test.each([
    ["/", 404, "ROUTE_NOT_FOUND"],
    ["/function", 404, "ROUTE_NOT_FOUND"],
    ["/function/", 404, "ROUTE_NOT_FOUND"],
    ["/function/a/b/c", 404, "ROUTE_NOT_FOUND"],
    ["/function//b", 404, "ROUTE_NOT_FOUND"],
    ["/function/a.b", 400, "INVALID_NAME"],
    ["/function/a%20b", 400, "INVALID_NAME"],
    ["/function/a%2Fb%2Fc", 400, "INVALID_NAME"],
    ["/function/*", 400, "INVALID_NAME"],
    ["/function/%3E", 400, "INVALID_NAME"],
    ["/function/js/echo", 400, "INVALID_NAME"],
    ["/function/%zz", 400, "INVALID_REQUEST"],
    ["/function/echo?type=", 400, "INVALID_REQUEST"],
  ])("a path that leads nowhere: %s", async (path, status, reason) => {
    await using platform = await startPlatform()
    expect((await post(platform.gateway.url + path, { body: "{}" })).json()).toMatchObject({ status, reason })
  })

  test.each([
    ["GET", "/function/echo", "POST"],
    ["PUT", "/function/echo", "POST"],
    ["POST", "/healthz", "GET, HEAD"],
    ["DELETE", "/metrics", "GET, HEAD"],
  ])("a method that is not possible: %s %s", async (method, path, allow) => {
    await using platform = await startPlatform()
    const response = await fetch(platform.gateway.url + path, { method })
    expect([response.status, response.headers.get("allow")]).toEqual([405, allow])
    expect(await response.json()).toMatchObject({ reason: "METHOD_NOT_ALLOWED", status: 405 })
  })

  test("a deadline is 504", async () => {
    await using platform = await startPlatform()
    const answer = await post(`${platform.gateway.url}/function/waits`, { headers: { ...CE, "fn-timeout-ms": "100" } })
    expect(answer.json()).toMatchObject({ status: 504, code: "deadline_exceeded" })
  })
})

describe("R-SEC-3: limits", () => {
  test("2 MB are refused with 413 naming the limit, and the connection stays usable", async () => {
    await using platform = await startPlatform()
    const body = Buffer.alloc(2 * 1024 * 1024, 97)
    const answer = await post(`${platform.gateway.url}/function/echo`, { body, headers: { "content-type": "text/plain" } })
    expect(answer.json()).toMatchObject({ status: 413, reason: "PAYLOAD_TOO_LARGE", details: { limitBytes: 1_048_576 } })
    expect(answer.text).toContain("1048576")
    expect((await post(`${platform.gateway.url}/function/echo`)).status).toBe(200)
  })

  test("a body that fits the HTTP limit but not NATS with its headers is 413 too", async () => {
    await using platform = await startPlatform()
    const body = Buffer.alloc(1_048_570, 97)
    const answer = await post(`${platform.gateway.url}/function/echo`, { body, headers: { "content-type": "text/plain" } })
    expect(answer.json()).toMatchObject({ status: 413, reason: "PAYLOAD_TOO_LARGE" })
  })

  test("a chunked body is counted as it comes", async () => {
    await using platform = await startPlatform({ gateway: { bodyLimitBytes: 1_000 } })
    const head = "POST /function/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    const answer = await exchange(platform.gateway.port, `${head}${`1f4\r\n${"a".repeat(500)}\r\n`.repeat(3)}0\r\n\r\n`)
    expect(answer).toContain("HTTP/1.1 413")
    expect(answer).toContain("larger than 1000 bytes")
  })

  test("a length beyond all reason is refused before the body is sent, and so is one announced with Expect: 100-continue", async () => {
    await using platform = await startPlatform()
    const head = (more: string): string => `POST /function/echo HTTP/1.1\r\nhost: x\r\n${more}\r\n\r\n`
    expect(await exchange(platform.gateway.port, head("content-length: 100000000000"))).toContain("HTTP/1.1 413")
    const refused = await exchange(platform.gateway.port, head("content-length: 2000000\r\nexpect: 100-continue"))
    expect(refused).toMatch(/^HTTP\/1.1 413/)
  })

  test("Expect: 100-continue is answered for a body that fits", async () => {
    await using platform = await startPlatform()
    const socket = createConnection(platform.gateway.port, "127.0.0.1")
    const all = collect(socket)
    socket.write("POST /function/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    socket.once("data", () => socket.write("{}"))
    expect(await all).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200/)
  })

  test("headers that never end lose the connection in time", async () => {
    await using platform = await startPlatform({ gateway: { headersTimeoutMs: 200 } })
    expect(await exchange(platform.gateway.port, "POST /function/echo HTTP/1.1\r\nhost: x\r\nx-slow: ")).toMatch(/^HTTP\/1.1 408/)
  })

  test("a body that never ends loses the connection in time", async () => {
    await using platform = await startPlatform({ gateway: { headersTimeoutMs: 200, requestTimeoutMs: 400 } })
    const answer = await exchange(platform.gateway.port, "POST /function/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    expect(answer).toMatch(/^HTTP\/1.1 408/)
  })

  test("headers that are too large are 431, junk is 400, both as problems", async () => {
    await using platform = await startPlatform()
    const large = await exchange(platform.gateway.port, `POST /function/echo HTTP/1.1\r\nhost: x\r\nce-big: ${"a".repeat(20_000)}\r\n\r\n`)
    expect(large).toMatch(/^HTTP\/1.1 431/)
    expect(large).toContain("16384 bytes")
    const junk = await exchange(platform.gateway.port, "\x16\x03\x01 this is TLS, not HTTP\r\n\r\n")
    expect(junk).toMatch(/^HTTP\/1.1 400/)
    expect(junk).toContain('"reason":"INVALID_REQUEST"')
    expect((await post(`${platform.gateway.url}/function/echo`)).status).toBe(200)
  })

  test("a header that comes twice is refused", async () => {
    await using platform = await startPlatform()
    const twice = await exchange(
      platform.gateway.port,
      "POST /function/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nce-id: 1\r\nce-id: 2\r\n\r\n",
    )
    expect(twice).toContain("its header came twice")
  })

  test("a response header cannot be split by what a function returns", async () => {
    const functions = {
      splits: () => ({ type: "a\r\nset-cookie: b", subject: "x\r\ny", datacontenttype: "text/plain\r\nx: y", data: "z" }),
    }
    await using platform = await startPlatform({ functions })
    const answer = await post(`${platform.gateway.url}/function/splits`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get("ce-type")).toBe("a%0D%0Aset-cookie:%20b")
    expect(answer.headers.get("set-cookie")).toBeNull()
    expect(answer.headers.get("x")).toBeNull()
  })
})

describe("connections", () => {
  test("a client that goes away cancels its call", async () => {
    await using platform = await startPlatform()
    const abort = new AbortController()
    const request = fetch(`${platform.gateway.url}/function/waits`, { method: "POST", signal: abort.signal })
    await until(() => platform.waiting.count === 1, { name: "the function to run" })
    abort.abort()
    await expect(request).rejects.toThrow()
    await until(() => platform.aborted.length === 1, { name: "the function to hear of it" })
  })

  test("a client that goes away in the middle of its body leaves nothing behind", async () => {
    await using platform = await startPlatform()
    const socket = createConnection(platform.gateway.port, "127.0.0.1")
    socket.write("POST /function/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\nabc")
    await once(socket, "data")
    socket.destroy()
    await platform.gateway.close({ graceMs: 60_000 })
  })

  test("requests of one connection are answered in their order, pipelined ones too", async () => {
    await using platform = await startPlatform()
    const one = (n: number, more = ""): string =>
      `POST /function/echo HTTP/1.1\r\nhost: x\r\n${more}content-type: text/plain\r\ncontent-length: 1\r\n\r\n${n}`
    const answer = await exchange(platform.gateway.port, one(1) + one(2) + one(3, "connection: close\r\n"))
    expect(answer.split("HTTP/1.1 200").map((part) => part.slice(-1))).toEqual(["", "1", "2", "3"])
  })

  test("R-OB-4: healthz lives, readyz follows the NATS connection, metrics are there when given", async () => {
    const instruments = { contentType: "text/plain; version=0.0.4", metrics: () => "up 1\n" }
    await using platform = await startPlatform({ gateway: { instruments } })
    const { url } = platform.gateway
    const get = async (path: string): Promise<[number, string]> => {
      const response = await fetch(url + path)
      return [response.status, await response.text()]
    }
    expect(await get("/healthz")).toEqual([200, '{"status":"alive"}\n'])
    expect(await get("/readyz")).toEqual([200, '{"status":"ready"}\n'])
    expect(await get("/metrics")).toEqual([200, "up 1\n"])
    expect((await fetch(`${url}/healthz`, { method: "HEAD" })).status).toBe(200)
    await platform.server.kill()
    await until(async () => (await get("/readyz"))[0] === 503, { name: "readyz to fail" })
    expect((await get("/healthz"))[0]).toBe(200)
    expect((await post(`${url}/function/echo`, { headers: { "fn-timeout-ms": "50" } })).json()).toMatchObject({
      status: 503,
      reason: "DISCONNECTED",
    })
    await platform.server.restart()
    await until(async () => (await get("/readyz"))[0] === 200, { name: "readyz to recover" })
  })

  test("without instruments there are no metrics", async () => {
    await using platform = await startPlatform()
    expect((await fetch(`${platform.gateway.url}/metrics`)).status).toBe(404)
  })

  test("R-SEC-4: close lets a running request finish, and takes no new ones", async () => {
    await using platform = await startPlatform()
    const { url } = platform.gateway
    const running = post(`${url}/function/waits`)
    await until(() => platform.waiting.count === 1, { name: "the function to run" })
    const closing = platform.gateway.close()
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
    platform.release()
    const answer = await running
    expect(answer.status).toBe(204)
    await closing
    await platform.gateway.close()
  })

  test("close cuts what is still running after its grace, and the call is cancelled", async () => {
    await using platform = await startPlatform()
    const running = post(`${platform.gateway.url}/function/waits`)
    running.catch(() => undefined)
    await until(() => platform.waiting.count === 1, { name: "the function to run" })
    await platform.gateway.close({ graceMs: 20 })
    await expect(running).rejects.toThrow()
    await until(() => platform.aborted.length === 1, { name: "the function to hear of it" })
  })

  test("a port that is taken is a clear error", async () => {
    await using platform = await startPlatform()
    const taken = startGateway({ client: platform.client, nc: platform.nc, port: platform.gateway.port })
    await expect(taken).rejects.toMatchObject({
      code: "unavailable",
      reason: "PORT_IN_USE",
      message: expect.stringContaining(String(platform.gateway.port)),
    })
  })
})
