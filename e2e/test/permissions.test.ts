/** The NATS permissions of docs/operations.md: each user can do its work with them, and not that of another. */
import { readFile } from "node:fs/promises"
import { type Client, connectClient } from "@fn/client"
import type { CloudEvent } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { connectRegistry, type Registry, setupPlatform } from "@fn/registry"
import { type RuntimeService, startRuntime } from "@fn/runtime"
import { startTestServer, type TempDir, type TestServer, tempDir, testServers, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(60_000)

const GUIDE = new URL("../../docs/operations.md", import.meta.url)
const SERVERS = await testServers("permissions")
const LARGE = 1_500_000
const SOURCE = `export default async (event, ctx) => {
  const { bad, size, waits, text } = event.data
  if (bad) throw new Error("bad")
  if (waits) await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
  return { type: "done", data: { text: size ? "x".repeat(size) : text?.length } }
}`

/** The configuration in the guide. */
async function config(): Promise<string> {
  const text = /```nats\n([\s\S]*?)```/.exec(await readFile(GUIDE, "utf8"))?.[1]
  if (text === undefined) throw new Error("docs/operations.md has no configuration any more")
  return text
}

describe.each(SERVERS)("SEC-1: with the permissions of the guide on $server", ({ binary }) => {
  let server: TestServer
  let folder: TempDir
  let deployer: Registry
  let runtime: RuntimeService
  let caller: Client
  let reader: Client
  let operator: Client
  const connections = new Map<string, NatsConnection>()
  /** What the server refused, by user. */
  const refused = new Map<string, string[]>()

  beforeAll(async () => {
    server = await startTestServer({ binary, config: await config() })
    folder = await tempDir()
    for (const user of ["operator", "deployer", "host", "caller", "reader"]) {
      const inbox = user === "caller" ? { inboxPrefix: "_INBOX_caller" } : {}
      const nc = await server.connect({ user, password: user, ...inbox })
      connections.set(user, nc)
      refused.set(user, [])
      void listen(nc, refused.get(user) as string[])
    }
    await setupPlatform(of("operator"))
    operator = await connectClient({ nc: of("operator") })
    deployer = await connectRegistry(of("deployer"))
    runtime = await startRuntime({ nc: of("host"), registry: await connectRegistry(of("host")), dataDir: folder.path })
    caller = await connectClient({ nc: of("caller") })
    reader = await connectClient({ nc: of("reader") })
  })
  afterAll(async () => {
    for (const client of [caller, reader, operator]) await client?.close()
    await runtime?.drain({ graceMs: 500 })
    await server?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  const of = (user: string): NatsConnection => connections.get(user) as NatsConnection

  test("a deployer deploys, and the host serves it", async () => {
    const manifest = { name: "work", language: "js", runtime: "module", record: "all", retry: { attempts: 1 } } as const
    const deployed = await deployer.deploy(manifest, { artifact: Buffer.from(SOURCE) })
    expect(deployed).toMatchObject({ warnings: [], hosts: [{ served: true }] })
    expect(refused.get("deployer")).toEqual([])
  })

  test("a caller calls, stores, streams, broadcasts and cancels, with small and with large events, and gets his results", async () => {
    const text = "y".repeat(LARGE)
    expect(await caller.invoke("work", { text: "four" })).toMatchObject([{ data: { text: 4 } }])
    expect(await caller.invoke("work", { text })).toMatchObject([{ data: { text: LARGE } }])
    expect(textOf(await caller.invoke("work", { size: LARGE }))).toHaveLength(LARGE)
    const id = await caller.invokeAsync("work", { text, size: LARGE })
    expect(textOf(await caller.result(id))).toHaveLength(LARGE)
    expect(await caller.status(id)).toMatchObject({ status: "succeeded" })
    for (const size of [1, 2]) {
      expect(await caller.invoke("work", { size }, { idempotencyKey: "one" })).toMatchObject([{ data: { text: "x" } }])
    }
    const streamed: string[] = []
    for await (const { type } of caller.stream("work", { text: "a" })) streamed.push(type)
    expect(streamed).toEqual(["done"])
    expect(await caller.broadcast("work", { text: "a" })).toMatchObject([{ ok: true }])

    const later = await caller.invokeAsync("work", { text: "a" }, { delayMs: 3_600_000 })
    expect(await caller.cancel(later)).toMatchObject({ status: "cancelled" })
    const running = await caller.invokeAsync("work", { waits: true })
    await until(async () => (await caller.status(running)).status === "running", { name: "the execution", timeoutMs: 20_000 })
    expect(await caller.cancel(running)).toMatchObject({ status: "cancelled" })
    const bad = await caller.invokeAsync("work", { bad: true }, { callback: "event:told" })
    expect(await caller.tryResult(bad)).toMatchObject({ ok: false, error: { reason: "FUNCTION_THREW" } })
    // A status asks for the record too, and does without.
    expect(new Set(refused.get("caller"))).toEqual(new Set([expect.stringContaining("$JS.API.DIRECT.GET.FUNCTION_EXECUTIONS")]))
  })

  test("a reader sees executions, dead letters and the queue", async () => {
    await caller.invokeAsync("work", { text: "a" }, { delayMs: 3_600_000 })
    const { executions } = await reader.executions.list({ namespace: "default", name: "work" })
    expect(executions.length).toBeGreaterThan(3)
    expect(await reader.executions.get(executions[0]?.id ?? "")).toEqual(executions[0])
    const { deadLetters } = await until(
      async () => {
        const page = await reader.deadLetters.list({ reason: "FUNCTION_THREW" })
        return page.deadLetters.length === 1 && page
      },
      { name: "the dead letter" },
    )
    expect(await reader.deadLetters.get(deadLetters[0]?.seq ?? 0)).toMatchObject({ event: { data: Buffer.from(`{"bad":true}`) } })
    expect((await reader.queue.stats({ name: "work" })).functions).toMatchObject([{ name: "work", hasConsumer: true }])
    expect(refused.get("reader")).toEqual([])
  })

  test("an operator redrives and purges, and a deployer deletes: what waited becomes a dead letter", async () => {
    expect(await operator.deadLetters.redrive({ reason: "FUNCTION_THREW" })).toHaveLength(1)
    await until(async () => (await operator.deadLetters.list()).deadLetters.length === 1, { name: "the same failure", timeoutMs: 20_000 })
    expect(await operator.deadLetters.purge({ all: true })).toBe(1)
    await deployer.deleteFunction({ namespace: "default", name: "work" })
    await until(async () => (await operator.deadLetters.list({ reason: "FUNCTION_DELETED" })).deadLetters.length === 1, {
      name: "what waited",
      timeoutMs: 30_000,
    })
    expect([refused.get("operator"), refused.get("deployer"), refused.get("host")]).toEqual([[], [], []])
  })

  test.each([
    ["caller", "$KV.functions.f.default.work"],
    ["caller", "function.result.guessed"],
    ["caller", "function.claim.default.x"],
    ["caller", "function.dlq.default.work"],
    ["caller", "function.queue.team.work"],
    ["caller", "event.default.order"],
    ["caller", "$JS.API.CONSUMER.CREATE.FUNCTION_QUEUE.x.function.queue.>"],
    ["caller", "$JS.API.DIRECT.GET.FUNCTION_QUEUE"],
    ["caller", "$JS.API.DIRECT.GET.FUNCTION_DLQ"],
    ["caller", "$JS.API.STREAM.PURGE.FUNCTION_QUEUE"],
    ["host", "$KV.functions.f.default.work"],
    ["host", "$O.function-ARTIFACTS-default.M.x"],
    ["host", "$JS.API.STREAM.DELETE.FUNCTION_QUEUE"],
    ["host", "$JS.API.STREAM.PURGE.FUNCTION_QUEUE"],
    ["host", "$JS.API.STREAM.UPDATE.FUNCTION_QUEUE"],
    ["host", "$JS.API.STREAM.CREATE.MINE"],
    ["host", "$JS.API.STREAM.MSG.DELETE.KV_functions"],
    ["deployer", "function.queue.default.work"],
    ["deployer", "function.js.work"],
    ["deployer", "$JS.API.DIRECT.GET.FUNCTION_RESULTS.function.result.x"],
    ["reader", "function.queue.default.work"],
    ["reader", "$JS.API.STREAM.MSG.DELETE.FUNCTION_DLQ"],
    ["reader", "$JS.API.DIRECT.GET.FUNCTION_RESULTS.function.result.x"],
  ])("a %s may not publish to %s", async (user, subject) => {
    const known = refused.get(user) as string[]
    const before = known.length
    of(user).publish(subject, "{}")
    await until(() => known.length > before, { name: `the refusal of ${subject}` })
    expect(known.at(-1)).toContain(`Publish to "${subject}"`)
  })

  test.each([
    ["caller", "function.queue.>"],
    ["caller", "function.wake.>"],
    ["caller", "function.result.*.*"],
    ["caller", "_INBOX.>"],
    ["deployer", "function.>"],
    ["reader", "function.result.*"],
    ["host", "_INBOX_caller.>"],
  ])("a %s may not listen to %s", async (user, subject) => {
    const known = refused.get(user) as string[]
    const before = known.length
    of(user).subscribe(subject, { callback: () => undefined })
    await until(() => known.length > before, { name: `the refusal of ${subject}` })
    expect(known.at(-1)).toContain(`Subscription to "${subject}"`)
  })
})

function textOf([event]: readonly CloudEvent[]): string {
  return (event as CloudEvent<{ text: string }>).data?.text ?? ""
}

async function listen(nc: NatsConnection, refused: string[]): Promise<void> {
  for await (const status of nc.status()) if (status.type === "error") refused.push(status.error.message)
}
