import { FnError, type HandlerContext } from "@fn/core"
import { connectRegistry, type FunctionManifest, setupPlatform } from "@fn/registry"
import { type RuntimeService, startRuntime } from "@fn/runtime"
import { startTestServer, type TestServer, tempDir, testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type Client, connectClient } from "../index.js"

type Handler = (event: { id: string; data?: unknown }, ctx: HandlerContext) => unknown

interface Live extends AsyncDisposable {
  readonly server: TestServer
  readonly client: Client
  readonly runtimes: readonly RuntimeService[]
  deploy(name: string, more?: Partial<FunctionManifest>): Promise<void>
}

const SERVERS = await testServers("durable calls of the client")

/** A server that is set up, `hosts` hosts with these builtins, and a client. */
async function startLive(
  builtins: Record<string, Handler>,
  { binary, hosts = 1 }: { readonly binary: string; readonly hosts?: number },
): Promise<Live> {
  const server = await startTestServer({ binary })
  const folder = await tempDir()
  const nc = await server.connect()
  await setupPlatform(nc)
  const registry = await connectRegistry(nc)
  const runtimes: RuntimeService[] = []
  for (let at = 0; at < hosts; at++) {
    const own = await server.connect()
    runtimes.push(
      await startRuntime({
        nc: own,
        registry: await connectRegistry(own),
        dataDir: folder.file(`host-${at}`),
        builtins: builtins as never,
        limits: { spares: false },
      }),
    )
  }
  const deploy: Live["deploy"] = async (name, more = {}) => {
    await registry.deploy({ name, language: "js", runtime: "builtin", ...more })
  }
  const client = await connectClient({ servers: server.url })
  return {
    server,
    client,
    runtimes,
    deploy,
    [Symbol.asyncDispose]: async () => {
      await client.close()
      for (const runtime of runtimes) await runtime.close()
      await registry.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const event = { specversion: "1.0", id: "1", source: "/test", type: "test.asked", data: { n: 1 } } as const

describe.each(SERVERS)("R-IV-5: durable invocations on the real runtime and $server", ({ binary }) => {
  test("run, give their events, their failures, and what became of them after a retry", async () => {
    await using live = await startLive(
      {
        double: ({ data }) => ({ type: "test.doubled", data: (data as { n: number }).n * 2 }),
        refuses: () => {
          throw FnError.terminal("CARD_DECLINED", "no money")
        },
        flaky: (_event, ctx) => {
          if (ctx.attempt === 1) throw new Error("the first time never works")
          return { type: "test.attempt", data: ctx.attempt }
        },
      },
      { binary },
    )
    const { client, deploy } = live
    await deploy("double")
    await deploy("refuses")
    await deploy("flaky", { retry: { attempts: 3, initialMs: 10 } })
    const [doubled, refused, flaky] = await Promise.all([
      client.invokeAsync("double", event),
      client.invokeAsync("refuses", event),
      client.invokeAsync("flaky", event),
    ])
    expect(await client.result(doubled)).toMatchObject([{ type: "test.doubled", data: 2 }])
    expect(await client.tryResult(refused)).toMatchObject({ ok: false, error: { reason: "CARD_DECLINED", message: "no money" } })
    expect(await client.result(flaky)).toMatchObject([{ type: "test.attempt", data: 2 }])
    expect(await client.status(flaky)).toMatchObject({ status: "succeeded", attempt: 2, version: "0.0.1" })
    expect(await client.status(refused)).toMatchObject({ status: "failed", error: { reason: "CARD_DECLINED" } })
  }, 40_000)

  test("wait for their time, and are cancelled while they wait", async () => {
    const ran: number[] = []
    await using live = await startLive({ note: () => void ran.push(Date.now()) }, { binary })
    await live.deploy("note")
    const at = Date.now() + 1_500
    const id = await live.client.invokeAsync("note", event, { at: new Date(at) })
    const never = await live.client.invokeAsync("note", event, { delayMs: 3_600_000 })
    expect(await live.client.status(never, { function: "note" })).toMatchObject({ status: "pending" })
    expect(await live.client.result(id)).toEqual([])
    expect(ran).toHaveLength(1)
    expect(ran[0]).toBeGreaterThanOrEqual(at)
    expect(await live.client.cancel(never)).toMatchObject({ status: "cancelled" })
    await expect(live.client.result(never)).rejects.toMatchObject({ code: "cancelled" })
  }, 40_000)

  test("are cancelled while they run", async () => {
    let aborted = false
    await using live = await startLive(
      {
        waits: (_event, ctx) =>
          new Promise((resolve) =>
            ctx.signal.addEventListener("abort", () => {
              aborted = true
              resolve(undefined)
            }),
          ),
      },
      { binary },
    )
    await live.deploy("waits")
    const id = await live.client.invokeAsync("waits", event)
    const [runtime] = live.runtimes as [RuntimeService]
    await until(() => runtime.status().running > 0, { name: "the invocation to run", timeoutMs: 20_000 })
    expect(await live.client.status(id)).toMatchObject({ status: "running", host: runtime.host })
    expect(await live.client.cancel(id)).toMatchObject({ status: "cancelled" })
    expect(aborted).toBe(true)
  }, 40_000)

  test("by the hundred, on two hosts and across a restart of the server, give each its one result", async () => {
    const runs = new Map<string, number>()
    await using live = await startLive(
      {
        count: ({ id }) => {
          runs.set(id, (runs.get(id) ?? 0) + 1)
          return { type: "test.counted", data: id }
        },
      },
      { binary, hosts: 2 },
    )
    await live.deploy("count", { concurrency: 20 })
    const names = Array.from({ length: 300 }, (_, n) => `e${n}`)
    const ids = await Promise.all(names.map((id) => live.client.invokeAsync("count", { ...event, id })))
    const results = Promise.all(ids.map((id) => live.client.result(id, { timeoutMs: 60_000 })))
    await until(() => runs.size >= 50, { name: "some of them to run", timeoutMs: 20_000 })
    await live.server.restart()
    expect((await results).map(([reply]) => reply?.data)).toEqual(names)
    expect(runs.size).toBe(names.length)
  }, 90_000)
})

describe.each(SERVERS)("R-IV-10: idempotency keys on the real runtime and $server", ({ binary }) => {
  test("concurrent and later duplicates on two hosts run once, and all get the same result, also across a restart of the server", async () => {
    let runs = 0
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    await using live = await startLive(
      {
        charge: async () => {
          runs++
          const number = runs
          await released
          return { type: "test.charged", data: number }
        },
      },
      { binary, hosts: 2 },
    )
    const { client, server } = live
    await live.deploy("charge", { concurrency: 10 })
    const key = { idempotencyKey: "order-1", timeoutMs: 60_000 }
    await using other = await connectClient({ servers: server.url })
    const calls = Array.from({ length: 20 }, (_, n) => (n % 2 ? client : other).invoke("charge", event, key))
    await until(() => runs > 0, { name: "a run", timeoutMs: 20_000 })
    release()
    const first = await Promise.all(calls)
    await server.restart()
    const second = await until(() => client.invoke("charge", event, key), { name: "a call after the restart", timeoutMs: 30_000 })
    const id = await client.invokeAsync("charge", event, key)
    const third = await client.result(id)
    expect([...first, second, third].map(([reply]) => reply?.data)).toEqual(Array(22).fill(1))
    expect(runs).toBe(1)
    await expect(client.invoke("charge", event, { idempotencyKey: "order-2" })).resolves.toMatchObject([{ data: 2 }])
  }, 90_000)
})

describe.each(SERVERS)("R-IV-9: large events on the real runtime and $server", ({ binary }) => {
  test("go in and come out by claim check, sync, stored and keyed", async () => {
    await using live = await startLive({ echo: (sent) => ({ ...sent, type: "test.echoed" }) }, { binary })
    await live.deploy("echo")
    const data = new Uint8Array(3_000_000).fill(7)
    const large = { ...event, datacontenttype: "application/octet-stream", data }
    const [sync] = await live.client.invoke("echo", large)
    const [stored] = await live.client.result(await live.client.invokeAsync("echo", large))
    const [keyed] = await live.client.invoke("echo", large, { idempotencyKey: "k" })
    const [again] = await live.client.invoke("echo", large, { idempotencyKey: "k" })
    for (const reply of [sync, stored, keyed, again]) {
      expect(reply).toMatchObject({ type: "test.echoed", datacontenttype: "application/octet-stream" })
      expect(Buffer.compare(reply?.data as Uint8Array, data)).toBe(0)
    }
  }, 60_000)
})
