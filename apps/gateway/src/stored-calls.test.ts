import { FnError } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type Platform, startPlatform } from "../test/platform.js"

const ASYNC = { prefer: "respond-async" }

/** Asks `url` and reads the answer. */
async function ask(url: string, init: RequestInit = {}): Promise<{ status: number; headers: Headers; text: string; json: () => unknown }> {
  const response = await fetch(url, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as unknown }
}

/** Stores an invocation; gives its id and where its result will be. */
async function store({ gateway }: Platform, path: string, headers: Record<string, string> = {}): Promise<{ id: string; url: string }> {
  const answer = await ask(`${gateway.url}${path}`, { method: "POST", body: "[1]", headers: { ...ASYNC, ...headers } })
  expect(answer.status).toBe(202)
  const id = answer.headers.get("fn-invocation-id") as string
  expect(answer.json()).toMatchObject({ invocationId: id })
  expect(answer.headers.get("preference-applied")).toBe("respond-async")
  return { id, url: gateway.url + (answer.headers.get("location") as string) }
}

describe("R-IV-5: Prefer: respond-async", () => {
  test("is answered with where the result will be, and that gives the function's events as a call would", async () => {
    await using platform = await startPlatform({ durable: true })
    const { id, url } = await store(platform, "/function/shop/echo", {
      "content-type": "application/json",
      prefer: "handling=strict, Respond-Async",
    })
    expect(url).toBe(`${platform.gateway.url}/result/shop/${id}`)
    for (let times = 0; times < 2; times++) {
      const result = await ask(`${url}?wait=30`)
      expect([result.status, result.headers.get("ce-type"), result.text]).toEqual([200, "shop.echoed", "[1]"])
      expect(result.headers.get("fn-invocation-id")).toBe(id)
    }
    const structured = await ask(url, { headers: { accept: "application/cloudevents+json" } })
    expect(structured.json()).toMatchObject({ type: "shop.echoed", data: [1] })
    const none = await store(platform, "/function/none")
    expect((await ask(`${none.url}?wait=30`)).status).toBe(204)
  }, 40_000)

  test("a result is 202 while it is pending, and 404 for an id that nobody knows", async () => {
    await using platform = await startPlatform({ durable: true })
    const { id, url } = await store(platform, "/function/waits")
    await until(() => platform.waiting.count, { name: "the invocation to run", timeoutMs: 20_000 })
    const running = await ask(url)
    expect([running.status, running.headers.get("retry-after")]).toEqual([202, "1"])
    expect(running.json()).toEqual({ invocationId: id, namespace: "default", status: "running" })
    expect((await ask(`${url}?wait=0.1`)).status).toBe(202)
    platform.release()
    expect((await ask(`${url}?wait=30`)).status).toBe(204)
    const unknown = await ask(`${platform.gateway.url}/result/AAAAAAAAAAAAAAAAAAAAAA`)
    expect(unknown.json()).toMatchObject({ status: 404, reason: "EXECUTION_NOT_FOUND" })
  }, 40_000)

  test("DELETE cancels what runs, and says what had become of what has ended", async () => {
    await using platform = await startPlatform({ durable: true })
    const { id, url } = await store(platform, "/function/waits")
    await until(() => platform.waiting.count, { name: "the invocation to run", timeoutMs: 20_000 })
    const cancelled = await ask(url, { method: "DELETE" })
    expect([cancelled.status, cancelled.json()]).toEqual([200, { invocationId: id, namespace: "default", status: "cancelled" }])
    expect((await ask(url)).json()).toMatchObject({ status: 499, code: "cancelled", invocationId: id })
    expect((await ask(url, { method: "DELETE" })).json()).toMatchObject({ status: "cancelled" })
  }, 40_000)

  test("a failure is the problem that a call would have given", async () => {
    const fails = (): never => {
      throw FnError.terminal("CARD_DECLINED", "no money")
    }
    await using platform = await startPlatform({ durable: true, functions: { fails } })
    const { url } = await store(platform, "/function/fails")
    expect((await ask(`${url}?wait=30`)).json()).toMatchObject({ status: 400, reason: "CARD_DECLINED", detail: "no money" })
  }, 40_000)

  test("is refused for an unknown function, and where nothing can be stored", async () => {
    await using platform = await startPlatform({ durable: true })
    const refused = await ask(`${platform.gateway.url}/function/nobody`, { method: "POST", headers: ASYNC })
    expect(refused.json()).toMatchObject({ status: 404, reason: "FUNCTION_NOT_FOUND" })
    await using bare = await startPlatform()
    const nowhere = await ask(`${bare.gateway.url}/function/echo`, { method: "POST", headers: ASYNC })
    expect(nowhere.json()).toMatchObject({ status: 503, reason: "JETSTREAM_UNAVAILABLE" })
  }, 40_000)

  test.each([
    ["/result/a.b", 400],
    ["/result/id?wait=soon", 400],
    ["/result/id?wait=51", 400],
    ["/result/", 404],
    ["/result/a/b/c", 404],
  ])("GET %s is %i", async (path, status) => {
    await using platform = await startPlatform({ durable: true })
    expect((await ask(platform.gateway.url + path)).status).toBe(status)
    expect((await ask(`${platform.gateway.url}/result/id`, { method: "POST" })).headers.get("allow")).toBe("GET, DELETE")
  })
})

describe("R-IV-10: Idempotency-Key", () => {
  test("calls with one key run once and are answered alike, stored ones too", async () => {
    let runs = 0
    const count = () => ({ type: "test.count", data: ++runs })
    await using platform = await startPlatform({ durable: true, functions: { count } })
    const call = (key: string) => ask(`${platform.gateway.url}/function/count`, { method: "POST", headers: { "idempotency-key": key } })
    const answers = await Promise.all([call("k1"), call("k1"), call('"k1"')])
    expect(answers.map(({ text }) => text)).toEqual(["1", "1", "1"])
    const { url } = await store(platform, "/function/count", { "idempotency-key": "k1" })
    expect((await ask(url)).text).toBe("1")
    expect((await call("k2")).text).toBe("2")
    expect(runs).toBe(2)
  }, 40_000)
})

describe("R-IV-9: large bodies", () => {
  test("pass where the operator allows them, and past 64 MiB are 413", async () => {
    await using platform = await startPlatform({ durable: true, gateway: { bodyLimitBytes: 70_000_000 } })
    const send = (bytes: number) =>
      ask(`${platform.gateway.url}/function/echo`, {
        method: "POST",
        body: Buffer.alloc(bytes, 97),
        headers: { "content-type": "text/plain" },
      })
    const large = await send(5_000_000)
    expect([large.status, large.text.length]).toEqual([200, 5_000_000])
    expect((await send(67_108_865)).json()).toMatchObject({ status: 413, reason: "PAYLOAD_TOO_LARGE" })
  }, 60_000)
})
