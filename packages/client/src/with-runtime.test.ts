import { readFileSync } from "node:fs"
import { FnError, type HandlerContext } from "@fn/core"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { startRuntime } from "@fn/runtime"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startChild } from "../test/child.js"
import { connectClient } from "./index.js"

/** A server that is set up, a client with a connection of its own, and a folder. */
async function startSetUp() {
  const server = await startTestServer()
  const folder = await tempDir()
  await setupPlatform(await server.connect())
  const client = await connectClient({ servers: server.url })
  return {
    server,
    folder,
    client,
    [Symbol.asyncDispose]: async () => {
      await client.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

describe("with the real runtime", () => {
  test("R-IV-1: deploys, invokes, times out, cancels, is refused, follows a redeploy", async () => {
    await using platform = await startSetUp()
    const { client, folder, server } = platform
    const nc = await server.connect()
    const registry = await connectRegistry(nc)
    let aborted: unknown
    const builtins = {
      echo: (event: object) => ({ ...event, type: "test.echoed" }) as never,
      none: () => undefined,
      three: () => [1, 2, 3].map((n) => ({ type: "test.count", data: n })),
      fails: () => {
        throw FnError.terminal("CARD_DECLINED", "no money", { order: "o1" })
      },
      waits: (_event: object, ctx: HandlerContext) =>
        new Promise<undefined>((resolve) => {
          ctx.signal.addEventListener("abort", () => {
            aborted = ctx.signal.reason
            resolve(undefined)
          })
        }),
    }
    await using runtime = await startRuntime({ nc, registry, dataDir: folder.file("data"), builtins, limits: { spares: false } })
    for (const name of Object.keys(builtins)) await registry.deploy({ name, language: "js", runtime: "builtin" })
    const attributes = { specversion: "1.0", id: "1", source: "/test", type: "test.asked" } as const
    const event = { ...attributes, data: { text: "é" } }

    expect(await client.invoke("echo", event)).toMatchObject([{ id: "1", source: "/test", type: "test.echoed", data: { text: "é" } }])
    expect(await client.invoke("echo@0.0.1", event)).toHaveLength(1)
    expect(await client.invoke("none", event)).toEqual([])
    expect((await client.invoke("three", event)).map(({ data }) => data)).toEqual([1, 2, 3])
    await expect(client.invoke("fails", event)).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "CARD_DECLINED",
      details: { order: "o1" },
      retryable: false,
    })
    await expect(client.invoke("echo@9.9.9", event)).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
    await expect(client.invoke("nowhere", event)).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
    await expect(client.invoke("waits", event, { timeoutMs: 200 })).rejects.toMatchObject({ code: "deadline_exceeded" })
    await until(() => aborted, { name: "the handler to hear of the deadline" })
    aborted = undefined
    const call = client.startCall("waits", { attributes, data: undefined })
    await until(() => runtime.status().running > 0, { name: "the call to run" })
    call.cancel()
    await expect(call.events).rejects.toMatchObject({ code: "cancelled" })
    await until(() => aborted, { name: "the handler to hear of the cancel" })

    await registry.deploy({ name: "unrunnable", language: "js", runtime: "builtin" })
    const refused = await client.tryInvoke("unrunnable", event)
    expect(!refused.ok && refused.error).toMatchObject({ code: "unavailable", reason: "NO_HOST" })
    expect(!refused.ok && refused.error.message).toContain(`${runtime.host}: BUILTIN_NOT_REGISTERED`)
    await registry.close()
  }, 30_000)

  test("R-IV-8: a function that works on no host is NO_HOST with CIRCUIT_OPEN and the reason of each", async () => {
    await using platform = await startSetUp()
    const { client, folder, server } = platform
    const nc = await server.connect()
    const registry = await connectRegistry(nc)
    const broken = {
      initialize: async () => {
        throw new Error("no database")
      },
      execute: () => undefined,
    }
    await using runtime = await startRuntime({
      nc,
      registry,
      dataDir: folder.file("data"),
      builtins: { broken },
      limits: { spares: false, circuit: { failures: 5, initialMs: 60_000, maxMs: 60_000 } },
    })
    await registry.deploy({ name: "broken", language: "js", runtime: "builtin" })
    const reasons: string[] = []
    for (let i = 0; i < 7; i++) {
      const result = await client.tryInvoke("broken", {})
      if (!result.ok) reasons.push(result.error.reason)
    }
    expect(reasons).toEqual([...Array(5).fill("INIT_FAILED"), "NO_HOST", "NO_HOST"])
    const refused = await client.tryInvoke("broken", {})
    expect(!refused.ok && refused.error.message).toContain(`${runtime.host}: CIRCUIT_OPEN: it does not work there`)
    expect(!refused.ok && refused.error.message).toContain("INIT_FAILED: no database")
    await registry.close()
  }, 30_000)

  test("after SIGKILL of one of two hosts under load, callers hear HOST_LOST within 3 s, later calls all succeed, nothing runs twice", async () => {
    await using platform = await startSetUp()
    const { server, folder, client } = platform
    const file = folder.file("ran.log")
    await using doomed = await startChild("runtime-process.mjs", [server.url, folder.file("a"), file])
    await using survivor = await startChild("runtime-process.mjs", [server.url, folder.file("b"), file])
    const registry = await connectRegistry(await server.connect())
    await registry.deploy({ name: "work", language: "js", runtime: "builtin", concurrency: 100 })
    await registry.close()

    const calls: { id: string; sentAt: number; endedAt: number; error: FnError | undefined }[] = []
    let killedAt = Number.POSITIVE_INFINITY
    const worker = async (name: string): Promise<void> => {
      for (let n = 0; performance.now() < killedAt + 1_000; n++) {
        const id = `${name}-${n}`
        const sentAt = performance.now()
        // Every fifth call lasts longer than the 100 ms after which a host says that it started it.
        const ms = n % 5 === 0 ? 150 : 5
        const result = await client.tryInvoke("work", { specversion: "1.0", id, source: "/load", type: "work", data: { ms } })
        calls.push({ id, sentAt, endedAt: performance.now(), error: result.ok ? undefined : result.error })
      }
    }
    const workers = Array.from({ length: 16 }, (_, at) => worker(`w${at}`))
    await until(() => calls.length >= 200, { name: "load on both hosts", timeoutMs: 20_000 })
    doomed.child.kill("SIGKILL")
    killedAt = performance.now()
    await Promise.all(workers)

    const failed = calls.filter(({ error }) => error)
    expect(failed.length).toBeGreaterThan(0)
    for (const { error, sentAt, endedAt } of failed) {
      expect(error).toMatchObject({ code: "unavailable", reason: "HOST_LOST" })
      expect(endedAt - killedAt).toBeLessThan(3_000)
      expect(sentAt - killedAt).toBeLessThan(100)
    }
    const ran = readFileSync(file, "utf8").trim().split("\n")
    expect(new Set(ran).size).toBe(ran.length)
    const succeeded = calls.filter(({ error }) => !error).map(({ id }) => id)
    expect(ran).toEqual(expect.arrayContaining(succeeded))
    expect(survivor.child.exit).toBeUndefined()
  }, 60_000)
})
