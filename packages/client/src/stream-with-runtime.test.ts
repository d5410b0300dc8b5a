import { readFileSync } from "node:fs"
import type { CloudEvent, EventInit, HandlerContext } from "@fn/core"
import { connectRegistry, createMemoryRegistry, setupPlatform } from "@fn/registry"
import { startRuntime } from "@fn/runtime"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, jest, test } from "@jest/globals"
import { startChild } from "../test/child.js"
import { type Client, connectClient } from "./index.js"

jest.setTimeout(30_000)

const STREAMS = readFileSync(new URL("../../runtime/test/streaming/fixtures/streams.mjs", import.meta.url))

/** How far a function may be ahead of its consumer: a window, and another one between a host and a process. */
const MOST_AHEAD = 64 + 32 + 1

type Builtin = (event: CloudEvent, ctx: HandlerContext) => AsyncIterable<EventInit>

/** A host with `builtins`, and the fixture `streams` as a module. */
async function startPlatform(builtins: Readonly<Record<string, Builtin>> = {}) {
  const server = await startTestServer({ jetstream: false })
  const folder = await tempDir()
  const registry = createMemoryRegistry()
  const nc = await server.connect()
  const runtime = await startRuntime({ nc, registry, dataDir: folder.file("data"), builtins, limits: { spares: false } })
  for (const name of Object.keys(builtins)) await registry.deploy({ name, language: "js", runtime: "builtin" }, { awaitServed: false })
  await registry.deploy({ name: "streams", language: "js", runtime: "module" }, { awaitServed: false, artifact: STREAMS })
  await nc.flush()
  const client = await connectClient({ nc: await server.connect(), registry })
  return {
    client,
    runtime,
    [Symbol.asyncDispose]: async () => {
      await client.close()
      await runtime.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** What the fixture remembers of a call. */
async function seen(client: Client, key: string): Promise<{ yielded: number; cleaned?: boolean }> {
  return (await client.invoke("streams", { key }, { type: "ask" }))[0]?.data as { yielded: number; cleaned?: boolean }
}

describe("R-IV-5: streams through the real runtime", () => {
  test("events reach the consumer while the function still runs", async () => {
    await using platform = await startPlatform()
    const { client } = platform
    const types: string[] = []
    for await (const { type } of client.stream("streams", { key: "steps" }, { type: "steps" })) {
      types.push(type)
      // Without this call the function would never come to its second event.
      if (types.length === 1) await client.invoke("streams", { key: "steps" }, { type: "step" })
    }
    expect(types).toEqual(["first", "second"])
  })

  test("10 000 events arrive in order, from a builtin and from a process of its own", async () => {
    await using platform = await startPlatform({
      count: async function* () {
        for (let at = 0; at < 10_000; at++) yield { type: "counted", data: at }
      },
    })
    const { client } = platform
    for (const stream of [client.stream("count", {}), client.stream("streams", { n: 10_000 }, { type: "count" })]) {
      let expected = 0
      for await (const { data } of stream) expect(data).toBe(expected++)
      expect(expected).toBe(10_000)
    }
  }, 60_000)

  test("a consumer that does not read makes the function wait, and one that reads again makes it go on", async () => {
    let yielded = 0
    await using platform = await startPlatform({
      endless: async function* () {
        for (;;) yield { type: "tick", data: yielded++ }
      },
    })
    const { client } = platform
    const builtin = client.stream("endless", {})
    const module = client.stream("streams", { key: "slow" }, { type: "endless" })
    await builtin.next()
    await module.next()
    // Calls that come and go meanwhile: there is time enough to run ahead.
    for (let round = 0; round < 200; round++) await client.invoke("streams", { n: 10 }, { type: "count" })
    expect(yielded).toBe(64)
    expect((await seen(client, "slow")).yielded).toBeLessThanOrEqual(MOST_AHEAD)
    for (let taken = 1; taken < 1_000; taken++) {
      expect((await builtin.next()).value?.data).toBe(taken)
      expect((await module.next()).value?.data).toBe(taken)
      expect(yielded - taken).toBeLessThanOrEqual(65)
    }
    expect((await seen(client, "slow")).yielded).toBeLessThanOrEqual(1_000 + MOST_AHEAD)
    await builtin.return()
    await module.return()
  }, 30_000)

  test("break cancels the function within a second: its signal fires and its finally runs", async () => {
    let abortedAt = 0
    let cleaned = false
    await using platform = await startPlatform({
      endless: async function* (_event, ctx) {
        ctx.signal.addEventListener("abort", () => {
          abortedAt = Date.now()
        })
        try {
          for (;;) yield { type: "tick" }
        } finally {
          cleaned = true
        }
      },
    })
    const { client } = platform
    let count = 0
    for await (const _ of client.stream("endless", {})) if (++count === 500) break
    const brokenAt = Date.now()
    await until(() => cleaned && abortedAt > 0, { name: "the function to be cancelled" })
    expect(abortedAt - brokenAt).toBeLessThan(1_000)
    for await (const _ of client.stream("streams", { key: "broken" }, { type: "endless" })) if (++count === 600) break
    await until(async () => (await seen(client, "broken")).cleaned, { name: "the module to be cancelled" })
  })

  test("a failure after some events comes after them; a deadline ends function and stream", async () => {
    await using platform = await startPlatform()
    const { client } = platform
    const data: unknown[] = []
    const failing = async (): Promise<void> => {
      for await (const event of client.stream("streams", { n: 70 }, { type: "fails" })) data.push(event.data)
    }
    await expect(failing()).rejects.toMatchObject({ code: "unknown", reason: "FUNCTION_THREW", message: "no luck" })
    expect(data).toEqual(Array.from({ length: 70 }, (_, n) => n))

    const late = client.stream("streams", { key: "late" }, { type: "endless", timeoutMs: 400 })
    await late.next()
    await until(async () => (await seen(client, "late")).cleaned, { name: "the function to be ended" })
    const rest = async (): Promise<void> => {
      for await (const _ of late);
    }
    await expect(rest()).rejects.toMatchObject({ code: "deadline_exceeded" })
  })

  test("a host killed in the middle is HOST_LOST within 3 s", async () => {
    await using server = await startTestServer()
    await using folder = await tempDir()
    await setupPlatform(await server.connect())
    await using client = await connectClient({ servers: server.url })
    await using doomed = await startChild("runtime-process.mjs", [server.url, folder.file("a"), folder.file("ran.log")])
    const registry = await connectRegistry(await server.connect())
    await registry.deploy({ name: "endless", language: "js", runtime: "builtin" })
    await registry.close()

    let count = 0
    let killedAt = Number.POSITIVE_INFINITY
    const reading = async (): Promise<void> => {
      for await (const { data } of client.stream("endless", {})) {
        expect(data).toBe(count++)
        if (count !== 1_000) continue
        doomed.child.kill("SIGKILL")
        killedAt = performance.now()
      }
    }
    await expect(reading()).rejects.toMatchObject({ code: "unavailable", reason: "HOST_LOST" })
    expect(performance.now() - killedAt).toBeLessThan(4_000)
    expect(count).toBeGreaterThanOrEqual(1_000)
  }, 60_000)

  test("100 streams at once, each left somewhere else, leave nothing behind", async () => {
    let running = 0
    await using platform = await startPlatform({
      ticks: async function* (event) {
        running++
        try {
          for (let at = 0; at < (event.data as number); at++) yield { type: "tick", data: at }
        } finally {
          running--
        }
      },
    })
    const { client, runtime } = platform
    const read = async (n: number): Promise<void> => {
      const [ref, input, options] = n % 2 === 0 ? ["ticks", n, {}] : ["streams", { n }, { type: "count" }]
      let expected = 0
      for await (const { data } of client.stream(ref as string, input, { type: "count", ...(options as object) })) {
        expect(data).toBe(expected++)
        // A third of them to the end, a third somewhere in the middle, a third after the first.
        if (n % 3 === 1 && expected > n / 2) break
        if (n % 3 === 2) break
      }
      if (n % 3 === 0) expect(expected).toBe(n)
    }
    await Promise.all(Array.from({ length: 100 }, (_, n) => read(n)))
    await until(() => running === 0 && runtime.status().running === 0, { name: "every execution to be over", timeoutMs: 20_000 })
    expect(runtime.status().functions.map(({ crashes }) => crashes)).toEqual([0, 0])
  })

  test("R-IV-4: a caller hears that its call has started, and then gets its result", async () => {
    let go: () => void = () => undefined
    await using platform = await startPlatform({
      waits: async function* () {
        await new Promise<void>((resolve) => {
          go = resolve
        })
        yield { type: "done" }
      },
    })
    const started: string[] = []
    const result = platform.client.invoke("waits", {}, { onStarted: ({ invocationId }) => void started.push(invocationId) })
    await until(() => started.length > 0, { name: "the started message" })
    go()
    expect((await result).map(({ type }) => type)).toEqual(["done"])
    expect(started).toEqual([expect.stringMatching(/^[A-Za-z0-9_-]{22}$/)])
  })
})
