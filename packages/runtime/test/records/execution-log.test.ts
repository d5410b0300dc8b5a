import { FnError, newId, type RecentExecution } from "@fn/core"
import { findMessage, ReplyInbox, requestApi } from "@fn/nats"
import { type ExecutionRecord, findResult, type QueueAccess, queueNames } from "@fn/queue"
import { setupPlatform } from "@fn/registry"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { Call } from "../../src/dispatch/call.js"
import { HostedFunction } from "../../src/dispatch/hosted-function.js"
import { ExecutionLog } from "../../src/records/execution-log.js"
import { startTestHost, type TestHost } from "../test-host.js"

const SOURCE = `export default async (event, ctx) => {
  if (event.data.fail) throw new Error("no luck")
  if (event.data.wait) await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
  return { type: "done", data: {} }
}`

describe("what a host keeps of executions", () => {
  let host: TestHost
  let access: QueueAccess

  beforeAll(async () => {
    host = await startTestHost({
      builtins: {
        quiet: (event) => ({ type: "done", data: event.data }),
        loud: (event) => ({ type: "done", data: event.data }),
        broken: () => {
          throw new Error("no luck")
        },
        storm: (event) => {
          if (event.data === "calm") return
          throw new Error("no luck")
        },
        slow: async (_event, ctx) => new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve(undefined))),
      },
    })
    await setupPlatform(host.nc)
    for (const name of ["quiet", "broken", "storm", "slow"]) await host.deployBuiltin(name)
    await host.deployBuiltin("loud", { record: "all" })
    await host.deployModule("apart", SOURCE, { record: "all" })
    access = { nc: host.nc, inbox: new ReplyInbox(host.nc), names: queueNames() }
  }, 30_000)
  afterAll(async () => host[Symbol.asyncDispose]())

  /** The stored record of an invocation; undefined while there is none. */
  async function stored(id: string): Promise<ExecutionRecord | undefined> {
    const message = await findMessage(access.inbox, access.names.executions, { nextOf: `function.execution.*.*.*.${id}` })
    if (!message) return undefined
    const record = JSON.parse(Buffer.from(message.data).toString("utf8")) as ExecutionRecord
    // The subject says what the body says.
    expect(message.subject).toBe(`function.execution.default.${record.name}.${record.status}.${id}`)
    return record
  }

  function recorded(id: string): Promise<ExecutionRecord> {
    return until(() => stored(id), { name: `record of ${id}` })
  }

  /** Messages in the stream of executions, with subjects that match `pattern`. */
  async function count(pattern: string): Promise<number> {
    const { state } = await requestApi<{ state: { subjects?: Record<string, number> } }>(
      access.inbox,
      `STREAM.INFO.${access.names.executions}`,
      { body: { subjects_filter: pattern } },
    )
    return Object.values(state.subjects ?? {}).reduce((sum, messages) => sum + messages, 0)
  }

  async function status(question: Record<string, unknown>): Promise<Record<string, unknown>> {
    const reply = await host.nc.request(`function.status.${host.runtime.host}`, JSON.stringify(question), { timeout: 10_000 })
    return reply.json()
  }

  test("R-IV-5: a sync failure is recorded with its error, its version, its instance and its host's memory", async () => {
    const id = newId()
    await host.request("function.js.broken", "{}", { "Fn-Invocation-Id": id })
    const record = await recorded(id)
    expect(record).toMatchObject({
      schema: 1,
      id,
      namespace: "default",
      name: "broken",
      version: "0.0.1",
      host: host.runtime.host,
      status: "failed",
      attempt: 1,
      durable: false,
      eventsOut: 0,
      error: { code: "unknown", reason: "FUNCTION_THREW", message: "no luck" },
    })
    expect(record.instance).toMatch(/^.+$/)
    expect(record.memoryBytes).toBeGreaterThan(1_000_000)
    expect(Date.parse(record.endedAt) - Date.parse(record.startedAt as string)).toBeGreaterThanOrEqual(0)
  })

  test("R-IV-5: sync successes are recorded only for a function that asks for all", async () => {
    const [quiet, loud] = [newId(), newId()]
    await host.request("function.js.quiet", "{}", { "Fn-Invocation-Id": quiet })
    await host.request("function.js.loud", "{}", { "Fn-Invocation-Id": loud })
    expect(await recorded(loud)).toMatchObject({ status: "succeeded", eventsOut: 1 })
    // The host published the one after the other, so the first would be there too.
    expect(await stored(quiet)).toBeUndefined()
  })

  test("R-IV-5: a cancelled call and one that is out of time are recorded as such", async () => {
    const [cancelled, late] = [newId(), newId()]
    const answers = [
      host.request("function.js.slow", "{}", { "Fn-Invocation-Id": cancelled }),
      host.request("function.js.slow", "{}", { "Fn-Invocation-Id": late, "Fn-Timeout-Ms": "200" }),
    ]
    await until(async () => (await status({ invocationId: cancelled })).runningInvocation === true, { name: "call runs" })
    host.nc.publish(`function.cancel.default.${cancelled}`)
    await Promise.all(answers)
    expect(await recorded(cancelled)).toMatchObject({ status: "cancelled", error: { reason: "CANCELLED" } })
    expect(await recorded(late)).toMatchObject({ status: "timed_out", error: { reason: "FUNCTION_TIMEOUT" } })
  })

  test("the memory in a record is that of the instance's own process", async () => {
    const id = newId()
    await host.request("function.js.apart", "{}", { "Fn-Invocation-Id": id })
    const { memoryBytes } = await recorded(id)
    expect(memoryBytes).toBeGreaterThan(10_000_000)
    expect(memoryBytes).not.toBe(process.memoryUsage.rss())
  })

  test("R-IV-5: the start of an execution that will be recorded is told on its running subject, and is not stored", async () => {
    const id = newId()
    const told = host.nc.subscribe(`function.execution.default.loud.running.${id}`, { max: 1 })
    await host.nc.flush()
    await host.request("function.js.loud", "{}", { "Fn-Invocation-Id": id })
    for await (const msg of told) {
      expect(msg.json()).toMatchObject({ id, namespace: "default", name: "loud", version: "0.0.1", status: "running", attempt: 1 })
    }
    const record = await recorded(id)
    expect(record.status).toBe("succeeded")
  })

  test("R-IV-5: a host says what it knows of an invocation, while it runs and after", async () => {
    const id = newId()
    const answer = host.request("function.js.slow", "{}", { "Fn-Invocation-Id": id })
    const seen = await until(
      async () => {
        const answer = await status({ invocationId: id })
        return answer.runningInvocation === true && answer
      },
      { name: "call runs" },
    )
    expect(seen.execution).toMatchObject({ id, function: "default/slow", version: "0.0.1", attempt: 1, durable: false })
    expect(seen.execution).toHaveProperty("startedAt")
    expect(seen.execution).toHaveProperty("instance")
    expect(seen.execution).not.toHaveProperty("status")
    host.nc.publish(`function.cancel.default.${id}`)
    await answer
    expect(await status({ invocationId: id })).toMatchObject({ runningInvocation: false, execution: { id, status: "cancelled" } })
    expect(await status({ invocationId: newId() })).not.toHaveProperty("execution")
  })

  test("R-IV-5: the last executions are answered on demand, the latest first, of one function if asked", async () => {
    for (const n of [1, 2, 3]) await host.request("function.js.quiet", `{"n":${n}}`, { "Fn-Invocation-Id": `quiet-${n}` })
    await host.request("function.js.loud", "{}", { "Fn-Invocation-Id": "loud-1" })
    const ids = async (question: Record<string, unknown>): Promise<string[]> =>
      ((await status(question)).recent as RecentExecution[]).map(({ id }) => id)
    expect(await ids({ recent: 2 })).toEqual(["loud-1", "quiet-3"])
    expect(await ids({ recent: 2, function: "default/quiet" })).toEqual(["quiet-3", "quiet-2"])
    expect((await status({ recent: 1 })).recent).toMatchObject([{ function: "default/loud", status: "succeeded", eventsOut: 1 }])
    expect(await status({})).not.toHaveProperty("recent")
  })

  test("only the last thousand are remembered", async () => {
    for (let n = 0; n < 1_050; n += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, k) => host.request("function.js.quiet", "{}", { "Fn-Invocation-Id": `many-${n + k}` })),
      )
    }
    const { recent } = (await status({ recent: 5_000 })) as { recent: RecentExecution[] }
    expect(recent.length).toBe(1_000)
    expect(new Set(recent.map(({ id }) => id)).size).toBe(1_000)
    expect(recent.some(({ id }) => id === "quiet-3")).toBe(false)
  })

  test("a function that fails all the time writes 100 records a second, and one line says how many were left out", async () => {
    const line = (): (typeof host.lines)[number] | undefined => host.lines.find(({ message }) => message === "failures not recorded")
    // Once it is warm, a call has ended before the next is looked at.
    await host.request("function.js.storm", '"calm"')
    await Promise.all(Array.from({ length: 2_000 }, () => host.request("function.js.storm", "{}")))
    await until(() => line() !== undefined, { name: "line about failures not recorded" })
    expect(line()?.fields).toMatchObject({ functionName: "default/storm", recorded: 100 })
    const written = await count("function.execution.default.storm.failed.*")
    expect(written).toBeGreaterThanOrEqual(100)
    expect(written).toBeLessThan(2_000)
  })

  test("a call that was refused and never ran is no execution, one that was stopped while it ran is", async () => {
    const log = new ExecutionLog({ access, host: "h1", logger: host.logger, failuresPerSecond: 100 })
    const fn = new HostedFunction({ ...(await host.registry.getFunction({ namespace: "default", name: "quiet" })).record }, 1)
    const ended = (id: string, startedAt: number): void => {
      const responder = { succeed: () => undefined, fail: () => undefined }
      const event = { attributes: { specversion: "1.0", id, source: "/", type: "t" }, data: undefined }
      const call = new Call({ invocationId: id, event, responder, deadline: Date.now() + 1_000 })
      call.fn = fn
      call.startedAt = startedAt
      log.ended(call, FnError.of("HOST_DRAINING", "closing"), 0)
    }
    const [refused, stopped] = [newId(), newId()]
    ended(refused, 0)
    ended(stopped, performance.now() - 5)
    expect(await recorded(stopped)).toMatchObject({ status: "failed", host: "h1", error: { reason: "HOST_DRAINING" } })
    // They went out in this order.
    expect(await stored(refused)).toBeUndefined()
    log.close()
  })

  test("an error with more to say than a message holds is recorded without its details", async () => {
    const log = new ExecutionLog({ access, host: "h1", logger: host.logger, failuresPerSecond: 100 })
    const id = newId()
    const error = FnError.terminal("TOO_MUCH", "x".repeat(100_000), { all: "y".repeat(2_000_000) })
    const end = { ref: { namespace: "default", name: "quiet" }, invocationId: id, attempt: 1, durationMs: 0, eventsOut: 0, error }
    await log.recordDurable({ ...end, queuedAt: Date.now() })
    const record = await recorded(id)
    expect(record.error).toMatchObject({ reason: "TOO_MUCH", message: expect.stringMatching(/^x{4096}…$/) })
    expect(record.error).not.toHaveProperty("details")
  })

  test("the record of a durable execution is stored once, however often it is written", async () => {
    const log = new ExecutionLog({ access, host: "h1", logger: host.logger, failuresPerSecond: 100 })
    const id = newId()
    const end = { ref: { namespace: "default", name: "quiet" }, invocationId: id, attempt: 2, durationMs: 3.25, eventsOut: 1 }
    const queuedAt = Date.parse("2026-01-02T03:04:05.678Z")
    await log.recordDurable({ ...end, queuedAt })
    await log.recordDurable({ ...end, queuedAt })
    expect(await count(`function.execution.*.*.*.${id}`)).toBe(1)
    expect(await stored(id)).toMatchObject({
      id,
      durable: true,
      attempt: 2,
      queuedAt: "2026-01-02T03:04:05.678Z",
      durationMs: 3.25,
      status: "succeeded",
    })
    expect(await findResult(access, "default", id)).toBeUndefined()
  })
})
