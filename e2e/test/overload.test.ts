import { newId } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { startPlatform } from "../support/platform.mjs"
import { readTrace, TRACED } from "../support/side-effects.mjs"

/** One call as its caller saw it. */
interface Made {
  readonly id: string
  readonly endedAt: number
  readonly reason: string | undefined
}

/** Makes `count` calls of `name` at once, each 50 ms of work, and waits for all of them. */
async function burst(
  platform: Awaited<ReturnType<typeof startPlatform>>,
  name: string,
  count: number,
  timeoutMs = 30_000,
): Promise<Made[]> {
  const call = async (): Promise<Made> => {
    const attributes = { specversion: "1.0", id: newId(), source: "/e2e", type: "asked", datacontenttype: "application/json" }
    const data = Buffer.from(JSON.stringify({ ms: 50, by: "client" }))
    const { invocationId: id, events } = platform.client.startCall(name, { attributes, data }, { timeoutMs })
    const reason = await events.then(
      () => undefined,
      (error: { reason: string }) => error.reason,
    )
    return { id, endedAt: performance.now(), reason }
  }
  return Promise.all(Array.from({ length: count }, call))
}

describe("R-IV-6: more callers than slots", () => {
  test("1 000 at once on 8 slots of two hosts: none fails, each call runs once, both hosts work until the end", async () => {
    await using platform = await startPlatform({ hosts: 2 })
    const file = platform.folder.file("trace")
    await platform.deployModule("work", TRACED, { config: { file }, concurrency: 4 })
    // The hosts learn how long an execution takes.
    await burst(platform, "work", 16)
    const startedAt = performance.now()
    const made = await burst(platform, "work", 1_000)

    expect(made.filter(({ reason }) => reason !== undefined)).toEqual([])
    const { starts } = readTrace(file)
    expect(made.filter(({ id }) => starts.get(id)?.length !== 1)).toEqual([])
    // 125 rounds of 50 ms are 6.25 s; a loaded machine needs longer, a host that did nothing would need twice as long.
    expect(Math.max(...made.map(({ endedAt }) => endedAt)) - startedAt).toBeLessThan(25_000)
    const last = [...starts.values()].slice(-200).map(([host]) => host)
    expect(new Set(last).size).toBe(2)
  }, 90_000)

  test("callers whose turn would come too late are refused at once instead of waiting for nothing", async () => {
    await using platform = await startPlatform({ hosts: 2 })
    const file = platform.folder.file("trace")
    await platform.deployModule("work", TRACED, { config: { file }, concurrency: 1 })
    await burst(platform, "work", 16)
    const startedAt = performance.now()
    const made = await burst(platform, "work", 800, 12_000)

    const refused = made.filter(({ reason }) => reason === "QUEUE_FULL")
    // Two slots do 480 calls in 12 s at most.
    expect(refused.length).toBeGreaterThan(280)
    expect(refused.length).toBeLessThan(760)
    // An estimate: on a machine that gets slower in between some wait in vain, but few.
    const missed = made.filter(({ reason }) => reason !== undefined && reason !== "QUEUE_FULL")
    expect([...new Set(missed.map(({ reason }) => reason))].filter((reason) => reason !== "DEADLINE_EXCEEDED")).toEqual([])
    expect(missed.length).toBeLessThan(100)
    expect(Math.max(...refused.map(({ endedAt }) => endedAt)) - startedAt).toBeLessThan(8_000)
    const { starts } = readTrace(file)
    expect(refused.filter(({ id }) => starts.has(id))).toEqual([])
  }, 90_000)
})
