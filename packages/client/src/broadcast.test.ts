import { connectRegistry, setupPlatform } from "@fn/registry"
import { type RuntimeService, startRuntime } from "@fn/runtime"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { connectClient } from "./index.js"

type Builtins = NonNullable<Parameters<typeof startRuntime>[0]["builtins"]>

/** A server that is set up, a client, and hosts `a`, `b` … with these builtins, all of which are deployed. */
async function startHosts(builtins: readonly Builtins[]) {
  const server = await startTestServer()
  const folder = await tempDir()
  await setupPlatform(await server.connect())
  const registry = await connectRegistry(await server.connect())
  const runtimes: RuntimeService[] = []
  for (const [at, own] of builtins.entries()) {
    const nc = await server.connect()
    const host = String.fromCharCode(97 + at)
    const dataDir = folder.file(host)
    runtimes.push(await startRuntime({ nc, registry: await connectRegistry(nc), dataDir, host, builtins: own, limits: { spares: false } }))
  }
  const names = new Set(builtins.flatMap((own) => Object.keys(own)))
  for (const name of [...names, "unrunnable"]) await registry.deploy({ name, language: "js", runtime: "builtin" })
  const client = await connectClient({ servers: server.url })
  return {
    client,
    runtimes,
    [Symbol.asyncDispose]: async () => {
      await client.close()
      for (const runtime of runtimes) await runtime.close()
      await registry.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function refresh(host: string) {
  return (event: { data?: unknown }) => ({ type: "refreshed", data: { host, heard: event.data } }) as never
}

describe("R-IV-3: broadcast", () => {
  test("gives the answer of every host that serves the function, errors among them", async () => {
    const fails = () => {
      throw new Error("no")
    }
    await using platform = await startHosts([{ refresh: refresh("a") }, { refresh: refresh("b") }, { refresh: fails }, {}])
    const answers = await platform.client.broadcast("refresh", { n: 1 }, { type: "go" })
    expect(answers.map(({ host, ok }) => [host, ok])).toEqual([
      ["a", true],
      ["b", true],
      ["c", false],
    ])
    expect(answers.map((answer) => (answer.ok ? answer.events.map(({ data }) => data) : answer.error.reason))).toEqual([
      [{ host: "a", heard: { n: 1 } }],
      [{ host: "b", heard: { n: 1 } }],
      "FUNCTION_THREW",
    ])
  }, 30_000)

  test("waits for no more answers than are expected", async () => {
    const never = () => new Promise<undefined>(() => undefined)
    await using platform = await startHosts([{ refresh: refresh("a") }, { refresh: never }])
    const answers = await platform.client.broadcast("refresh", {}, { expect: 1, timeoutMs: 60_000 })
    expect(answers).toMatchObject([{ host: "a", ok: true }])
  }, 30_000)

  test("says which hosts kept silent until its time was up", async () => {
    const started: string[] = []
    const never = () => {
      started.push("b")
      return new Promise<undefined>(() => undefined)
    }
    await using platform = await startHosts([{ refresh: refresh("a") }, { refresh: never }])
    const answers = await platform.client.broadcast("refresh", {}, { timeoutMs: 1_000 })
    expect(answers).toMatchObject([
      { host: "a", ok: true },
      { host: "b", ok: false, error: { code: "deadline_exceeded" } },
    ])
    expect(started).toEqual(["b"])
  }, 30_000)

  test("is nobody's where no host serves the function, and an error where there is none", async () => {
    await using platform = await startHosts([{}])
    expect(await platform.client.broadcast("unrunnable", {})).toEqual([])
    await expect(platform.client.broadcast("nowhere", {})).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
    await expect(platform.client.broadcast("No Name", {})).rejects.toMatchObject({ reason: "INVALID_NAME" })
  }, 30_000)

  test("can be cancelled, on every host; a drain of the client waits for it", async () => {
    const aborted: string[] = []
    const waits =
      (host: string) =>
      (_event: object, { signal }: { signal: AbortSignal }) =>
        new Promise<undefined>((resolve) => {
          signal.addEventListener("abort", () => {
            aborted.push(host)
            resolve(undefined)
          })
        })
    await using platform = await startHosts([{ waits: waits("a") }, { waits: waits("b") }])
    const { client, runtimes } = platform
    const abort = new AbortController()
    const cancelled = client.broadcast("waits", {}, { signal: abort.signal })
    await until(() => runtimes.every((runtime) => runtime.status().running === 1), { name: "both to run" })
    const drained = client.drain()
    abort.abort()
    await expect(cancelled).rejects.toMatchObject({ code: "cancelled" })
    await until(() => aborted.length === 2, { name: "both to hear of it" })
    await drained
    await expect(client.broadcast("waits", {})).rejects.toMatchObject({ reason: "DISCONNECTED" })
  }, 30_000)
})
