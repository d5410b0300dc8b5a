import { createLogger } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { startTestServer, type TestServer, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { Kvm } from "@nats-io/kv"
import { headers } from "@nats-io/transport-node"
import type { FunctionChange, Registry } from "../registry.js"
import { connectRegistry, type RegistryOptions } from "./connect.js"
import { setupPlatform } from "./setup.js"

/** A watch on a server of its own. */
interface Watched extends AsyncDisposable {
  readonly server: TestServer
  readonly nc: NatsConnection
  readonly registry: Registry
  readonly changes: FunctionChange[]
  readonly log: string[]
  /** `name: generation`, or `name: gone`, of every change so far. */
  told(): string[]
}

async function startWatch(options: RegistryOptions = {}): Promise<Watched> {
  const server = await startTestServer()
  const nc = await server.connect()
  await setupPlatform(nc)
  const log: string[] = []
  const logger = createLogger((_, message) => log.push(message))
  const registry = await connectRegistry(nc, { logger, ...options })
  const changes: FunctionChange[] = []
  await registry.watch({ onChange: (change) => changes.push(change) })
  return {
    server,
    nc,
    registry,
    changes,
    log,
    told: () => changes.map(({ name, record }) => `${name}: ${record?.generation ?? "gone"}`),
    [Symbol.asyncDispose]: async () => {
      await registry.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

function builtin(registry: Registry, name: string, text = ""): Promise<unknown> {
  return registry.deploy({ name, language: "js", runtime: "builtin", config: { text } }, { awaitServed: false })
}

/** Stops the bucket from republishing: what is written then is lost to the feed. False, with the reason printed, where the server cannot. */
async function silence(nc: NatsConnection): Promise<boolean> {
  const jsm = await jetstreamManager(nc)
  const { config } = await jsm.streams.info("KV_functions")
  const { republish: _, ...rest } = config
  await nc.request("$JS.API.STREAM.UPDATE.KV_functions", JSON.stringify(rest))
  const { republish } = (await jsm.streams.info("KV_functions")).config
  if (republish === undefined) return true
  process.stderr.write(`not tested: nats-server ${nc.info?.version} cannot change the republish setting of a stream\n`)
  return false
}

describe("the change feed", () => {
  test("R-RG-4: after a server restart, what was missed is delivered, and nothing twice", async () => {
    await using watched = await startWatch()
    const { server, registry } = watched
    await builtin(registry, "before")
    await builtin(registry, "doomed")
    await until(() => watched.changes.length === 2, { name: "the first deploys" })
    await server.kill()
    await server.restart()
    // Another connection writes while ours is still on its way back.
    const other = await connectRegistry(await server.connect())
    await builtin(other, "before", "changed")
    await other.deleteFunction({ namespace: "default", name: "doomed" })
    await builtin(other, "after")
    await until(() => watched.changes.length === 5, { name: "the changes made meanwhile" })
    expect(watched.told().sort()).toEqual(["after: 1", "before: 1", "before: 2", "doomed: 1", "doomed: gone"])
    await builtin(other, "live")
    await until(() => watched.told().at(-1) === "live: 1", { name: "the feed after the restart" })
    expect(new Set(watched.changes.map(({ key, revision }) => `${key} ${revision}`)).size).toBe(watched.changes.length)
    await other.close()
  })

  test("changes whose republished message was lost are found by reading again", async () => {
    await using watched = await startWatch({ rereadMs: 50 })
    const { registry } = watched
    await builtin(registry, "known")
    await builtin(registry, "doomed")
    await until(() => watched.changes.length === 2, { name: "the first deploys" })
    if (!(await silence(watched.nc))) return
    await builtin(registry, "known", "changed")
    await registry.deleteFunction({ namespace: "default", name: "doomed" })
    await builtin(registry, "unseen")
    await until(() => watched.changes.length === 5, { name: "the lost changes" })
    expect(watched.told().sort()).toEqual(["doomed: 1", "doomed: gone", "known: 1", "known: 2", "unseen: 1"])
  })

  test("a message that shows a gap makes the bucket be read at once", async () => {
    await using watched = await startWatch()
    const { nc, registry } = watched
    await builtin(registry, "known")
    await until(() => watched.changes.length === 1, { name: "the first deploy" })
    if (!(await silence(nc))) return
    await builtin(registry, "known", "lost")
    await builtin(registry, "unseen")
    expect(watched.changes).toHaveLength(1)
    await setupPlatform(nc)
    await builtin(registry, "known", "seen")
    await until(() => watched.told().includes("unseen: 1"), { name: "the function whose message was lost" })
    expect(watched.told().filter((line) => line.startsWith("known"))).toEqual(["known: 1", "known: 3"])
  })

  test("a purged stream and a bucket made anew are noticed", async () => {
    await using watched = await startWatch({ rereadMs: 50 })
    const { nc, registry } = watched
    await builtin(registry, "one")
    await until(() => watched.told().includes("one: 1"), { name: "the deploy" })
    const jsm = await jetstreamManager(nc)
    await jsm.streams.purge("KV_functions", { filter: "$KV.functions.f.default.one" })
    await builtin(registry, "two")
    await until(() => watched.told().includes("one: gone"), { name: "the purge" })
    await jsm.streams.delete("KV_functions")
    await setupPlatform(nc)
    await until(() => watched.told().includes("two: gone"), { name: "the loss of the bucket" })
    await builtin(registry, "two")
    await until(() => watched.told().at(-1) === "two: 1", { name: "the function in the new bucket" })
  })

  test("what anybody else publishes on the feed is no change", async () => {
    await using watched = await startWatch()
    const { nc, registry } = watched
    nc.publish("fn.registry.f.default.forged", "{}")
    const forged = headers()
    forged.set("Nats-Sequence", "not a number")
    nc.publish("fn.registry.f.default.forged", "{}", { headers: forged })
    await nc.flush()
    await builtin(registry, "real")
    await until(() => watched.told().includes("real: 1"), { name: "the real change" })
    expect(watched.told()).toEqual(["real: 1"])
  })

  test("a bucket that cannot be read is tried again until it can", async () => {
    await using watched = await startWatch({ rereadMs: 50 })
    const { nc, registry } = watched
    const jsm = await jetstreamManager(nc)
    await builtin(registry, "one")
    await jsm.streams.delete("KV_functions")
    await until(() => watched.log.includes("registry not readable, trying again"), { name: "the failed reading" })
    await setupPlatform(nc)
    await builtin(registry, "two")
    await until(() => watched.told().includes("two: 1") && watched.told().includes("one: gone"), { name: "the recovery" })
  })

  test("many functions are read in batches, each once", async () => {
    await using watched = await startWatch()
    const { nc } = watched
    const kv = await new Kvm(nc).open("functions")
    await builtin(watched.registry, "model")
    const model = (await watched.registry.getFunction({ namespace: "default", name: "model" })).record
    const names = Array.from({ length: 1_200 }, (_, i) => `many-${i}`)
    await Promise.all(names.map((name) => kv.put(`f.default.${name}`, JSON.stringify({ ...model, name }))))
    const other = await connectRegistry(nc)
    const seen: string[] = []
    await other.watch({ onChange: ({ name }) => seen.push(name) })
    expect(seen).toHaveLength(1_201)
    expect(new Set(seen).size).toBe(1_201)
    const page = await other.pageFunctions({ limit: 5, startAfter: (await other.pageFunctions({ limit: 1_000 })).nextStartAfter })
    expect(page.functions).toHaveLength(5)
    await other.close()
  })

  test("a closed registry leaves the connection open and nothing of its own on it", async () => {
    await using watched = await startWatch()
    const { nc, registry } = watched
    const before = nc.isClosed()
    registry.follow({ namespace: "default", name: "x" }, () => undefined)
    await registry.close()
    await registry.close()
    expect([before, nc.isClosed()]).toEqual([false, false])
    const stats = nc as NatsConnection & { protocol: { subscriptions: { subs: Map<number, { subject: string }> } } }
    expect([...stats.protocol.subscriptions.subs.values()].filter(({ subject }) => subject.startsWith("fn.registry"))).toEqual([])
  })
})
