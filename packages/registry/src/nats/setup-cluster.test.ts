/** What setup makes in a cluster, and that it can be worked with while a server is gone. */
import { randomBytes } from "node:crypto"
import { FnError, newId } from "@fn/core"
import { type NatsConnection, ReplyInbox } from "@fn/nats"
import {
  addDeadLetter,
  claim,
  type ExecutionRecord,
  findExecution,
  findResult,
  getDeadLetter,
  listDeadLetters,
  listExecutions,
  Payloads,
  type QueueAccess,
  queueNames,
  queueStats,
  recordExecution,
  redriveDeadLetters,
  storeResult,
} from "@fn/queue"
import { oldestServer, startTestCluster, until } from "@fn/testing"
import { expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { setupPlatform } from "./setup.js"

const SLOW_MS = 120_000
const SMALL = { replicas: 3, maxBytes: 50_000_000 }

function accessOf(nc: NatsConnection): QueueAccess {
  return { nc, inbox: new ReplyInbox(nc), names: queueNames() }
}

test(
  "R-IV-3: three copies of everything, read right after it was written from whichever server, and with one of them gone",
  async () => {
    await using cluster = await startTestCluster()
    const nc = await cluster.connect()
    // A server that just joined is no peer yet.
    await until(() => setupPlatform(nc, SMALL), { name: "three peers", timeoutMs: 60_000 })
    const { clustered, stores } = await setupPlatform(nc)
    expect([clustered, new Set(stores.map(({ action }) => action))]).toEqual([true, new Set(["unchanged"])])
    const jsm = await jetstreamManager(nc)
    for (const { name, kind } of stores) {
      const stream = kind === "kv" ? `KV_${name}` : kind === "object" ? `OBJ_${name}` : name
      expect((await jsm.streams.info(stream)).config.num_replicas).toBe(3)
    }
    // Writer and reader on connections of their own, so most often on different servers.
    const writer = accessOf(nc)
    const reader = accessOf(await cluster.connect())
    const wrote: string[] = []
    const round = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const id = newId()
        await recordExecution(writer, record(id))
        wrote.unshift(id)
        const data = randomBytes(300_000)
        await new Payloads(writer).put(`${id}.in`, data)
        expect(data.equals(await new Payloads(reader).get(`${id}.in`))).toBe(true)
        expect(await storeResult(writer, "default", id, { lines: "", data: Buffer.from("first") })).toBe(true)
        expect(await storeResult(reader, "default", id, { lines: "", data: Buffer.from("second") })).toBe(false)
        expect((await findResult(reader, "default", id, { fromLeader: true }))?.data.toString()).toBe(Buffer.from("first").toString())
        expect([await claim(writer, "default", id, 7), await claim(reader, "default", id, 8)]).toMatchObject([
          { kind: "ours" },
          { kind: "other" },
        ])
        const error = FnError.of("FUNCTION_THREW", "broken")
        const ref = { namespace: "default", name: "work" }
        const { seq } = await addDeadLetter(writer, { ref, seq: wrote.length, lines: "", data: Buffer.from(id), error, attempts: 1 })
        expect(Buffer.from((await getDeadLetter(reader, seq)).data).toString()).toBe(id)
      }
    }
    await round(5)
    expect((await listExecutions(reader)).executions.map(({ id }) => id)).toEqual(wrote)
    await cluster.kill("n2")
    // Streams that it led choose another leader.
    await until(() => listExecutions(writer), { name: "a leader of the log", timeoutMs: 60_000 })
    await until(() => queueStats(writer), { name: "a leader of the queue", timeoutMs: 60_000 })
    await round(5)
    expect((await listExecutions(reader)).executions.map(({ id }) => id)).toEqual(wrote)
    expect(await findExecution(reader, "default", wrote[0] ?? "")).toMatchObject({ id: wrote[0] })
    await cluster.restart("n2")
    expect(await redriveDeadLetters(reader, { name: "work" })).toHaveLength(10)
    expect((await listDeadLetters(writer)).deadLetters).toEqual([])
    expect((await queueStats(writer)).functions).toMatchObject([{ name: "work", depth: 10 }])
    for (const { inbox } of [writer, reader]) inbox.dispose()
  },
  SLOW_MS,
)

test(
  "a cluster of nats-server 2.9.10 is refused, with the reason",
  async () => {
    const old = await oldestServer("the refusal of a cluster")
    if (!old) return
    await using cluster = await startTestCluster({ binary: old.binary })
    await expect(setupPlatform(await cluster.connect(), SMALL)).rejects.toMatchObject({
      reason: "SERVER_TOO_OLD",
      message: expect.stringMatching(/2\.9\.10 is too old for a cluster.*compare-and-set/),
    })
  },
  SLOW_MS,
)

function record(id: string): ExecutionRecord {
  const endedAt = new Date().toISOString()
  return {
    schema: 1,
    id,
    namespace: "default",
    name: "work",
    host: "h",
    status: "succeeded",
    attempt: 1,
    durable: true,
    endedAt,
    durationMs: 1,
    eventsOut: 0,
  }
}
