import { Header, headerLine, newId } from "@fn/core"
import { publishAcked } from "@fn/nats"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import type { Msg } from "@nats-io/transport-node"
import { type QueuePlatform, startQueuePlatform } from "./support.js"

/** Stores a sync call as a host does that has no slot for it; answers come to the list that is returned. */
async function spill(
  platform: QueuePlatform,
  name: string,
  { reply, timeoutMs = 30_000 }: { reply?: string; timeoutMs?: number } = {},
): Promise<Msg[]> {
  const answers: Msg[] = []
  const inbox = reply ?? `_INBOX.${newId()}`
  platform.nc.subscribe(inbox, { callback: (_error, msg) => void answers.push(msg) })
  const lines =
    headerLine(Header.invocationId, newId()) +
    headerLine(Header.timeoutMs, timeoutMs) +
    headerLine(Header.replyTo, inbox) +
    headerLine(Header.spilled, 1)
  await publishAcked(platform.access.inbox, platform.access.names.subjects.queue({ namespace: "default", name }), { lines, data: "{}" })
  return answers
}

const failure = (msg: Msg | undefined): string => `${msg?.headers?.get(Header.errorCode)} ${msg?.headers?.get(Header.errorReason)}`

async function drained(platform: QueuePlatform): Promise<void> {
  await until(async () => (await platform.depth()) === 0, { name: "an empty queue", timeoutMs: 20_000 })
}

describe("R-IV-6: a sync call that was stored because every slot was taken", () => {
  test("runs once and answers its caller, and nothing of it is kept", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ builtins: { ok: () => ({ type: "ok", data: ++runs }) } })
    await platform.deploy("ok", { record: "all" })
    const answers = await spill(platform, "ok")
    await until(() => answers.length === 1, { name: "the answer" })
    expect(answers[0]?.string()).toBe("1")
    expect(answers[0]?.headers?.get("ce-type")).toBe("ok")
    await drained(platform)
    expect(await platform.messages("FUNCTION_RESULTS", "function.result.>")).toEqual([])
  }, 60_000)

  test("is not tried again when it fails: its caller hears it, and no dead letter is made", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      builtins: {
        bad: () => {
          runs++
          throw new Error("no luck")
        },
      },
    })
    await platform.deploy("bad", { retry: { initialMs: 1 } })
    const answers = await spill(platform, "bad")
    await until(() => answers.length === 1, { name: "the answer" })
    expect(failure(answers[0])).toBe("unknown FUNCTION_THREW")
    await drained(platform)
    expect(runs).toBe(1)
    expect(await platform.messages("FUNCTION_DLQ", "function.dlq.>")).toEqual([])
  }, 60_000)

  test("is not run once its caller's time is over", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ builtins: { late: () => void runs++ }, hosts: 0 })
    await platform.deploy("late")
    const answers = await spill(platform, "late", { timeoutMs: 50 })
    const storedAt = Date.now()
    await until(() => Date.now() > storedAt + 100, { name: "its time to be over" })
    await platform.host()
    await until(() => answers.length === 1, { name: "the answer" })
    expect(failure(answers[0])).toBe("deadline_exceeded DEADLINE_EXCEEDED")
    await drained(platform)
    expect(runs).toBe(0)
  }, 60_000)

  test("is not run a second time when the host that took it is gone: nobody knows what became of it", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ builtins: { once: () => void runs++ } })
    await platform.deploy("once", { queue: { ackWaitMs: 200 } })
    await platform.result(await platform.enqueue("once"))
    await drained(platform)
    await Promise.all(platform.hosts.splice(0).map((host) => host.close()))
    const answers = await spill(platform, "once")
    const inbox = `_INBOX.${newId()}`
    const subscription = platform.nc.subscribe(inbox, { max: 1 })
    platform.nc.publish("$JS.API.CONSUMER.MSG.NEXT.FUNCTION_QUEUE.default=once", '{"batch":1,"no_wait":true}', { reply: inbox })
    for await (const msg of subscription) expect(msg.reply).toMatch(/^\$JS\.ACK/)
    await platform.host()
    await until(() => answers.length === 1, { name: "the answer", timeoutMs: 20_000 })
    expect(failure(answers[0])).toBe("unavailable OUTCOME_UNKNOWN")
    await drained(platform)
    expect(runs).toBe(1)
  }, 60_000)

  test("SEC-4: is not run when it is to be answered to anything but an inbox", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({ builtins: { ok: () => void runs++ }, hosts: 0 })
    const host = await platform.host()
    await platform.deploy("ok")
    const answers = await spill(platform, "ok", { reply: "event.default.forged" })
    await drained(platform)
    await platform.nc.flush()
    expect([runs, answers.length]).toEqual([0, 0])
    expect(host.status().queue?.badReplySubjects).toBe(1)
  }, 60_000)

  test("many of them run as slots get free, each once", async () => {
    const ran = new Map<string, number>()
    const work = async (_event: unknown, ctx: { invocationId: string }): Promise<{ type: string }> => {
      ran.set(ctx.invocationId, (ran.get(ctx.invocationId) ?? 0) + 1)
      await new Promise((resolve) => setTimeout(resolve, 5))
      return { type: "ok" }
    }
    await using platform = await startQueuePlatform({ builtins: { work }, hosts: 2 })
    await platform.deploy("work", { concurrency: 2 })
    // More than 2 hosts let run and wait.
    const calls = Array.from({ length: 200 }, () => platform.nc.request("function.js.work", "{}", { timeout: 60_000, noMux: true }))
    const answers = await Promise.all(calls)
    expect(answers.filter((msg) => msg.headers?.has(Header.errorCode))).toEqual([])
    await drained(platform)
    expect(Math.max(...ran.values())).toBe(1)
    expect(ran.size).toBe(200)
  }, 90_000)
})
