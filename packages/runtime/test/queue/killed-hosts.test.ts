/** Hosts that die: what they had runs elsewhere, and what kills every host is given up. */
import { readFile } from "node:fs/promises"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Header, headerLine, newId } from "@fn/core"
import { findMessage, publishAcked, ReplyInbox, requestApi } from "@fn/nats"
import { spawnChild } from "@fn/process"
import { queueNames } from "@fn/queue"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { startTestServer, tempDir, testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type QueuePlatform, startQueuePlatform } from "./support.js"

const HOST = fileURLToPath(new URL("queue-process.mjs", import.meta.url))

/** Starts a host in a process of its own; resolves when it is ready. */
async function startHost(args: readonly string[]) {
  const child = spawnChild({
    command: process.execPath,
    args: [HOST, ...args],
    env: { PATH: process.env.PATH ?? "" },
    stdio: ["ignore", "pipe", "inherit"],
  })
  let ready = false
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
    ready ||= line === "ready"
  })
  await until(() => ready || child.exit, { name: "the host to be ready", timeoutMs: 20_000 })
  return child
}

/** Takes a message as a host does that dies with it: never to be heard of again. */
async function takeAndDie(platform: QueuePlatform, name: string): Promise<void> {
  const inbox = `_INBOX.${newId()}`
  const subscription = platform.nc.subscribe(inbox)
  const next = `$JS.API.CONSUMER.MSG.NEXT.FUNCTION_QUEUE.default=${name}`
  platform.nc.publish(next, JSON.stringify({ batch: 1, expires: 10_000_000_000 }), { reply: inbox })
  for await (const msg of subscription) {
    if (msg.reply) return
    throw new Error(`nothing to take: ${msg.headers?.code}`)
  }
}

/** Lets the hosts make the function's consumer, and ends them. */
async function withoutHosts(platform: QueuePlatform, name: string): Promise<void> {
  await platform.result(await platform.enqueue(name))
  await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
  await Promise.all(platform.hosts.splice(0).map((host) => host.close()))
}

describe.each(await testServers("killed hosts"))("R-IV-6: a host that dies, on $server:", ({ binary }) => {
  test("R-IV-10: loses nothing: what it ran runs on another host once its lease is over, and a duplicate of it does not", async () => {
    await using server = await startTestServer({ binary })
    await using folder = await tempDir("fn-killed-")
    const nc = await server.connect()
    await setupPlatform(nc)
    const registry = await connectRegistry(nc)
    await registry.deploy({ name: "work", language: "js", runtime: "builtin", queue: { ackWaitMs: 1_000 } }, { awaitServed: false })
    const args = [server.url, folder.path, folder.file("runs")]
    const first = await startHost(args)
    const inbox = new ReplyInbox(nc)
    const { subjects, results } = queueNames()
    // With an idempotency key: what its host claimed is no duplicate when it comes again.
    const lines = headerLine(Header.invocationId, "one") + headerLine(Header.idempotencyKey, "1")
    const store = () => publishAcked(inbox, subjects.queue({ namespace: "default", name: "work" }), { lines, data: "{}" })
    await store()
    const runs = async (): Promise<string[]> => (await readFile(folder.file("runs"), "utf8").catch(() => "")).split("\n").filter(Boolean)
    await until(async () => (await runs()).length === 1, { name: "the first attempt", timeoutMs: 20_000 })
    process.kill(first.pid as number, "SIGKILL")
    const second = await startHost(args)
    const result = await until(() => findMessage(inbox, results, { lastOf: subjects.result("default", "one") }), {
      name: "the result",
      timeoutMs: 30_000,
    })
    expect(Buffer.from(result.data).toString()).toBe("2")
    await store()
    const depth = async (): Promise<number> =>
      (await requestApi<{ state: { messages: number } }>(inbox, "STREAM.INFO.FUNCTION_QUEUE")).state.messages
    await until(async () => (await depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
    expect((await runs()).map((line) => line.split(" ")[0])).toEqual(["1", "2"])
    await second.terminate({ graceMs: 0 })
    inbox.dispose()
    await registry.close()
  }, 90_000)

  test("again and again, at every attempt, is what the invocation is given up for", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ binary, builtins: { deadly: () => void runs++ } })
    await platform.deploy("deadly", { retry: { attempts: 2 }, queue: { ackWaitMs: 200 } })
    await withoutHosts(platform, "deadly")
    const id = await platform.enqueue("deadly")
    await takeAndDie(platform, "deadly")
    await takeAndDie(platform, "deadly")
    await platform.host()
    expect((await platform.result(id)).failure).toBe("unavailable ATTEMPTS_EXHAUSTED")
    const [letter] = await platform.deadLetters("deadly")
    expect(letter?.headers.get(Header.dlqReason)).toBe("ATTEMPTS_EXHAUSTED")
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    expect(runs).toBe(1)
  }, 60_000)

  test("so often that the server delivers the message no more leaves a dead letter all the same", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ binary, builtins: { deadly: () => void runs++ } })
    await platform.deploy("deadly", { retry: { attempts: 1 }, queue: { ackWaitMs: 200 } })
    await withoutHosts(platform, "deadly")
    const id = await platform.enqueue("deadly")
    for (let deliveries = 0; deliveries < 5; deliveries++) await takeAndDie(platform, "deadly")
    await platform.host({ queue: { sweepMs: 300 } })
    expect((await platform.result(id)).failure).toBe("unavailable ATTEMPTS_EXHAUSTED")
    expect((await platform.deadLetters("deadly"))[0]?.headers.get(Header.invocationId)).toBe(id)
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue" })
    expect(runs).toBe(1)
  }, 60_000)
})

describe("R-IV-6: a host that dies", () => {
  test("after it stored the result has nothing run again: only what was left to do is done", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ builtins: { once: () => void runs++ } })
    await platform.deploy("once", { queue: { ackWaitMs: 200 } })
    await withoutHosts(platform, "once")
    const id = await platform.enqueue("once")
    await takeAndDie(platform, "once")
    const lines = headerLine(Header.invocationId, id) + headerLine(Header.attempt, 1) + headerLine(Header.events, 0)
    await publishAcked(platform.access.inbox, platform.access.names.subjects.result("default", id), { lines })
    await platform.host()
    await until(async () => (await platform.depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
    expect(runs).toBe(1)
    expect(await platform.records("once")).toEqual(["succeeded 1", "succeeded 2"])
  }, 60_000)
})
