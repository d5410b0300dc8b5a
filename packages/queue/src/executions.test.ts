import { type FnErrorData, newId } from "@fn/core"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type OpenQueue, openQueue } from "../test/support.js"
import { type ExecutionPage, findExecution, listExecutions } from "./execution-list.js"
import { type ExecutionRecord, recordExecution, recordExecutionSoon } from "./executions.js"

const SERVERS = await testServers("the log of executions")

function record(changes: Partial<ExecutionRecord> = {}): ExecutionRecord {
  return {
    schema: 1,
    id: newId(),
    namespace: "default",
    name: "hello",
    version: "1.0.0",
    host: "host-1",
    status: "succeeded",
    attempt: 1,
    durable: true,
    endedAt: "2026-11-21T00:00:00.000Z",
    durationMs: 1.5,
    eventsOut: 1,
    ...changes,
  }
}

async function stored(queue: OpenQueue, records: readonly ExecutionRecord[]): Promise<readonly string[]> {
  for (const each of records) await recordExecution(queue.access, each)
  return records.map(({ id }) => id)
}

const idsOf = ({ executions }: ExecutionPage): string[] => executions.map(({ id }) => id)

describe.each(SERVERS)("executions on $server", ({ binary }) => {
  test("R-IV-5: a record is found by its id alone, as it was written, and written once however often it is tried", async () => {
    await using queue = await openQueue({ binary })
    const error: FnErrorData = { code: "unknown", reason: "FUNCTION_THREW", message: "broken" }
    const failed = record({ status: "failed", error, instance: "i1", memoryBytes: 5 })
    await stored(queue, [record(), failed, record({ namespace: "team" })])
    await recordExecution(queue.access, failed)
    expect(await queue.messages(queue.access.names.executions)).toBe(3)
    expect(await findExecution(queue.access, "default", failed.id)).toEqual(failed)
    expect(await findExecution(queue.access, "team", failed.id)).toBeUndefined()
    expect(await findExecution(queue.access, "default", "nobody")).toBeUndefined()
  })

  test("a record of which nobody waits to hear is stored too", async () => {
    await using queue = await openQueue({ binary })
    const ours = record({ status: "timed_out", durable: false })
    recordExecutionSoon(queue.access, ours)
    await queue.nc.flush()
    expect(idsOf(await listExecutions(queue.access))).toEqual([ours.id])
  })

  test("that something is running is told and not kept", async () => {
    await using queue = await openQueue({ binary })
    const { nc, access } = queue
    nc.publish(access.names.subjects.execution({ namespace: "default", name: "hello" }, "running", "x"), "{}")
    await nc.flush()
    expect(await queue.messages(access.names.executions)).toBe(0)
  })

  test("R-IV-5: pages go from the newest to the oldest without a gap, each starting after the one before", async () => {
    await using queue = await openQueue({ binary })
    const ids = await stored(
      queue,
      Array.from({ length: 23 }, () => record()),
    )
    const seen: string[] = []
    const sizes: number[] = []
    let startAfter: string | undefined
    do {
      const page = await listExecutions(queue.access, { limit: 10, startAfter })
      seen.push(...idsOf(page))
      sizes.push(page.executions.length)
      expect(page.hasMore).toBe(page.startAfter !== undefined)
      // What comes in meanwhile belongs to an earlier page.
      await recordExecution(queue.access, record())
      startAfter = page.startAfter
    } while (startAfter !== undefined)
    expect(seen).toEqual([...ids].reverse())
    expect(sizes).toEqual([10, 10, 3])
    expect(await queue.consumers(queue.access.names.executions)).toBe(0)
  })

  test("a page that is exactly full knows that nothing follows", async () => {
    await using queue = await openQueue({ binary })
    expect(await listExecutions(queue.access)).toEqual({ executions: [], hasMore: false })
    await stored(queue, [record(), record()])
    expect(await listExecutions(queue.access, { limit: 2 })).toMatchObject({ hasMore: false, executions: [{}, {}] })
    expect(await listExecutions(queue.access, { limit: 1 })).toMatchObject({ hasMore: true, startAfter: expect.any(String) })
  })

  test("R-IV-5: they are filtered by namespace, function and status, in every combination", async () => {
    await using queue = await openQueue({ binary })
    const all: ExecutionRecord[] = []
    for (let round = 0; round < 4; round++) {
      for (const namespace of ["default", "team"])
        for (const name of ["hello", "bye"])
          for (const status of ["succeeded", "failed", "cancelled", "timed_out"] as const) all.push(record({ namespace, name, status }))
    }
    await stored(queue, all)
    for (const namespace of [undefined, "default", "nobody"])
      for (const name of [undefined, "bye"])
        for (const status of [undefined, "failed", "timed_out"] as const) {
          const page = await listExecutions(queue.access, { namespace, name, status, limit: 1_000 })
          const expected = all.filter(
            (each) =>
              (namespace === undefined || each.namespace === namespace) &&
              (name === undefined || each.name === name) &&
              (status === undefined || each.status === status),
          )
          expect(idsOf(page)).toEqual(expected.map(({ id }) => id).reverse())
        }
  })

  test("records that expired between two pages are left out, and nothing else is", async () => {
    await using queue = await openQueue({ binary })
    const ids = await stored(
      queue,
      Array.from({ length: 12 }, () => record()),
    )
    const first = await listExecutions(queue.access, { limit: 4 })
    await queue.jsm.streams.purge(queue.access.names.executions, { seq: 6 })
    const second = await listExecutions(queue.access, { limit: 4, startAfter: first.startAfter })
    expect([...idsOf(first), ...idsOf(second)]).toEqual(ids.slice(5).reverse().slice(0, 8))
    // Also when all that was left of it is gone.
    await queue.jsm.streams.purge(queue.access.names.executions)
    expect(await listExecutions(queue.access, { startAfter: first.startAfter })).toEqual({ executions: [], hasMore: false })
  })

  test("what is no record is passed over", async () => {
    await using queue = await openQueue({ binary })
    const { nc, access } = queue
    const [id] = await stored(queue, [record()])
    for (const garbage of ["", "null", "not json", "{}"])
      nc.publish(access.names.subjects.execution({ namespace: "default", name: "hello" }, "failed", "garbage"), garbage)
    const late = record({ id: "garbage" })
    await stored(queue, [late])
    expect(idsOf(await listExecutions(access))).toEqual(["garbage", id])
    expect(await findExecution(access, "default", "garbage")).toEqual(late)
  })

  test("wrong questions are refused before anything is asked", async () => {
    await using queue = await openQueue({ binary })
    for (const filter of [
      { limit: 0 },
      { limit: 1_001 },
      { limit: 1.5 },
      { startAfter: "" },
      { startAfter: "not ours" },
      { startAfter: Buffer.from("-1").toString("base64url") },
      { status: "running" as never },
    ])
      await expect(listExecutions(queue.access, filter)).rejects.toMatchObject({ code: "invalid_argument", reason: "INVALID_REQUEST" })
    await expect(listExecutions(queue.access, { name: "No Name" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
    await expect(listExecutions(queue.access, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" })
  })
})
