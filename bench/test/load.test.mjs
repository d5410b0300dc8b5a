import { expect, test } from "@jest/globals"
import { closedLoop } from "../measure/closed-loop.mjs"
import { startLoadClient } from "../measure/load-client.mjs"
import { openLoop } from "../measure/open-loop.mjs"
import { checkBytes, checkData, createPayloads } from "../measure/payload.mjs"
import { guardStalls } from "../measure/stall-guard.mjs"

const STALL_MS = 100

/** A call that returns at once, but for the first one, which keeps the whole process busy for a while. */
function stallsOnce() {
  return async (n) => {
    if (n > 0) return
    const end = performance.now() + STALL_MS
    while (performance.now() < end);
  }
}

test("an open loop charges a stall to every call that was due meanwhile, though none of them could be made", async () => {
  const run = await openLoop(stallsOnce(), { perSecond: 1_000, durationMs: 200 })
  expect(run.calls).toBe(200)
  // Due each millisecond of 100: half of all calls are late, a quarter of them by 50 ms or more.
  expect(run.maxUs).toBeGreaterThanOrEqual(STALL_MS * 900)
  expect(run.p99us).toBeGreaterThanOrEqual(STALL_MS * 900)
  expect(run.p95us).toBeGreaterThanOrEqual(STALL_MS * 800)
})

test("a closed loop shows the same stall in one call alone: that is why latency is not read from it", async () => {
  const run = await closedLoop(stallsOnce(), { inFlight: 1, count: 200 })
  expect(run.maxUs).toBeGreaterThanOrEqual(STALL_MS * 900)
  expect(run.p50us).toBeLessThan(STALL_MS * 500)
})

test("an open loop goes on while calls are under way, and ends when they have ended", async () => {
  const waiting = []
  let most = 0
  const run = openLoop(
    () =>
      new Promise((resolve) => {
        waiting.push(resolve)
        most = Math.max(most, waiting.length)
        // The tenth to come lets them all go: callers who waited for each other would never get there.
        if (waiting.length === 10) for (const go of waiting.splice(0)) go()
      }),
    { perSecond: 2_000, durationMs: 50 },
  )
  expect((await run).calls).toBe(100)
  expect(most).toBe(10)
})

test("an open loop without an end makes calls until it is told to stop", async () => {
  let calls = 0
  const run = await openLoop(async () => void calls++, { perSecond: 1_000, stopped: () => calls >= 5 })
  expect(run.calls).toBe(5)
})

test.each([
  ["closed", (call) => closedLoop(call, { inFlight: 4, count: 100 })],
  ["open", (call) => openLoop(call, { perSecond: 10_000, durationMs: 1_000 })],
])("a call that fails fails the whole %s loop, and no more are made", async (_kind, loop) => {
  let calls = 0
  const call = async () => {
    if (++calls === 10) throw new Error("answered something else")
  }
  await expect(loop(call)).rejects.toThrow("answered something else")
  expect(calls).toBeLessThan(100)
})

test("a reply that never comes fails the loop instead of keeping it for ever", async () => {
  await expect(guardStalls(new Promise(() => {}), () => 7, 20)).rejects.toThrow("no call ended within 20 ms")
})

test("as long as there are replies, a loop is waited for", async () => {
  let ended = 0
  let finish
  const work = new Promise((resolve) => {
    finish = resolve
  })
  const progress = () => {
    if (++ended === 10) finish("all replies")
    return ended
  }
  await expect(guardStalls(work, progress, 20)).resolves.toBe("all replies")
})

test("payloads have the size that is asked for, to the byte", () => {
  for (const sizeBytes of [256, 16_384]) for (let n = 0; n < 20; n++) expect(createPayloads(sizeBytes).at(n).bytes).toHaveLength(sizeBytes)
})

test("a reply that was cut, changed, or is another call's is a failure", () => {
  const payloads = createPayloads(256)
  const [mine, other] = [payloads.at(1), payloads.at(2)]
  checkBytes(Buffer.from(mine.bytes), mine, "it")
  checkData(JSON.parse(mine.text), mine, "it")
  expect(() => checkBytes(mine.bytes.subarray(1), mine, "it")).toThrow("it answered something else")
  expect(() => checkBytes(other.bytes, mine, "it")).toThrow("it answered something else")
  expect(() => checkData(other.data, mine, "it")).toThrow("it answered something else")
  expect(() => checkData(undefined, mine, "it")).toThrow("it answered something else")
})

test("a wrong reply in a client's own process fails the run here, with what it said", async () => {
  const client = await startLoadClient("test/fixtures/liar.mjs", { honestCalls: 5 })
  try {
    await expect(client.closedLoop({ inFlight: 1, count: 5 })).resolves.toMatchObject({ calls: 5 })
    await expect(client.closedLoop({ inFlight: 1, count: 100 })).rejects.toThrow("the liar answered something else")
  } finally {
    await client.stop()
  }
})

test("a client that cannot connect says why", async () => {
  await expect(startLoadClient("test/fixtures/liar.mjs", { refuses: true })).rejects.toThrow("there is nobody to lie to")
})
