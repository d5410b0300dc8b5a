import { createLogger, FnError } from "@fn/core"
import { requestApi } from "@fn/nats"
import { queueStreams } from "@fn/queue"
import { createMemoryRegistry } from "@fn/registry"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startRuntime } from "../../src/index.js"
import { DEFAULT_QUEUE_SETTINGS, resolveQueueSettings } from "../../src/queue/settings.js"
import { startQueuePlatform } from "./support.js"

describe("R-IV-7: settings of a queue", () => {
  const retry = { attempts: 3, initialMs: 1, maxMs: 1, factor: 1, jitter: false }

  test("come from the function, else from its language's group, else from the platform, else they are the defaults", () => {
    const defaults = {
      platform: { maxAgeMs: 1, ackWaitMs: 1_000, batchSize: 1, maxPending: 1 },
      groups: { "function.go": { maxAgeMs: 2, ackWaitMs: 2_000, batchSize: 2 }, "function.js": { maxAgeMs: 9 } },
    }
    expect(resolveQueueSettings({ language: "go", queue: { maxAgeMs: 3 } }, defaults)).toEqual({
      maxAgeMs: 3,
      ackWaitMs: 2_000,
      batchSize: 2,
      maxPending: 1,
      attempts: 3,
    })
    expect(resolveQueueSettings({ language: "python" }, defaults)).toMatchObject({ maxAgeMs: 1, ackWaitMs: 1_000 })
    expect(resolveQueueSettings({ language: "python" })).toEqual({ ...DEFAULT_QUEUE_SETTINGS, maxPending: undefined })
  })

  test("attempts are the function's maxDeliver, else its retry policy's, else what the operator says", () => {
    const defaults = { platform: { maxDeliver: 9 } }
    const attempts = (declared: object): number => resolveQueueSettings({ language: "js", ...declared }, defaults).attempts
    expect([attempts({ queue: { maxDeliver: 7 }, retry }), attempts({ retry }), attempts({})]).toEqual([7, 3, 9])
    expect(resolveQueueSettings({ language: "js" }).attempts).toBe(3)
  })

  test("hold at the server, and for the function", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      builtins: {
        bad: () => {
          runs++
          throw new FnError("unavailable", "no luck", { retryAfterMs: 1 })
        },
      },
      hosts: 0,
    })
    await platform.host({ queue: { groups: { "function.js": { maxDeliver: 2, ackWaitMs: 7_000 } } } })
    await platform.deploy("bad")
    await platform.result(await platform.enqueue("bad"))
    expect(runs).toBe(2)
    const { config } = await requestApi<{ config: { ack_wait: number } }>(platform.access.inbox, "CONSUMER.INFO.FUNCTION_QUEUE.default=bad")
    expect(config.ack_wait).toBe(7_000_000_000)
  }, 60_000)

  test("that a new version changes are the consumer's too, and its delivery counts stay", async () => {
    const attempts: number[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        fickle: (_event, ctx) => {
          attempts.push(ctx.attempt)
          if (ctx.fn.version === "1.0.0") throw FnError.retryAfter(300)
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("fickle", { version: "1.0.0" })
    const id = await platform.enqueue("fickle")
    await until(() => attempts.length === 1, { name: "the first attempt" })
    await platform.deploy("fickle", { version: "2.0.0", queue: { ackWaitMs: 9_000 } })
    expect((await platform.result(id)).failure).toBeUndefined()
    expect(attempts).toEqual([1, 2])
    const { config } = await requestApi<{ config: { ack_wait: number } }>(
      platform.access.inbox,
      "CONSUMER.INFO.FUNCTION_QUEUE.default=fickle",
    )
    expect(config.ack_wait).toBe(9_000_000_000)
  }, 60_000)
})

describe("R-IV-6: a host without the streams of the queue", () => {
  test("serves sync calls, says what is missing, and works on the queue once it is set up", async () => {
    await using server = await startTestServer()
    await using folder = await tempDir("fn-no-queue-")
    const registry = createMemoryRegistry()
    const hostNc = await server.connect()
    const nc = await server.connect()
    const warnings: string[] = []
    const logger = createLogger((level, message) => {
      if (level === "warn") warnings.push(message)
    })
    const host = await startRuntime({
      nc: hostNc,
      registry,
      dataDir: folder.path,
      builtins: { ok: () => ({ type: "ok" }) },
      limits: { spares: false },
      queue: { sweepMs: 100 },
      logger,
    })
    await registry.deploy({ name: "ok", language: "js", runtime: "builtin" }, { awaitServed: false })
    await hostNc.flush()
    expect((await nc.request("function.js.ok", "{}", { timeout: 10_000 })).headers?.get("ce-type")).toBe("ok")
    const problems = (): string[] => host.status().problems.map(({ key, error }) => `${key} ${error.reason}`)
    await until(() => problems().length > 0, { name: "the problem" })
    expect(problems()).toEqual(["queue NOT_SET_UP"])
    expect(warnings).toEqual(["queue: this host does not work on it"])
    expect((await nc.request(`function.health.${host.host}`, "")).json()).toMatchObject({ status: "degraded", checks: { queue: false } })
    for (const stream of queueStreams()) await nc.request(`$JS.API.STREAM.CREATE.${stream.name}`, JSON.stringify(stream))
    await until(() => problems().length === 0, { name: "the problem to be gone" })
    await nc.request("function.queue.default.ok", "{}")
    const found = (): Promise<{ code?: number }> =>
      nc.request("$JS.API.DIRECT.GET.FUNCTION_RESULTS", '{"seq":1}').then(({ headers }) => ({ code: headers?.code ?? 0 }))
    await until(async () => (await found()).code === 0, { name: "the result" })
    await host.close()
  }, 60_000)
})
