import { describe, expect, test } from "@jest/globals"
import { EnvelopeBatch } from "./envelope-batch.js"

/** A batch whose writes end when the test says so. */
function recorder(): { batch: EnvelopeBatch<number>; envelopes: number[][]; written(): void } {
  const envelopes: number[][] = []
  const pending: (() => void)[] = []
  const batch = new EnvelopeBatch<number>((frames, done) => {
    envelopes.push(frames)
    pending.push(done)
  })
  return { batch, envelopes, written: () => pending.shift()?.() }
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n)

describe("EnvelopeBatch", () => {
  test("the frames of a tick and of the microtasks it sets off leave together", async () => {
    const { batch, envelopes } = recorder()
    batch.add(1)
    batch.add(2)
    void Promise.resolve().then(() => batch.add(3))
    await tick()
    expect(envelopes).toEqual([[1, 2, 3]])
  })

  test("what becomes ready during a write waits for its end, and leaves together", async () => {
    const { batch, envelopes, written } = recorder()
    batch.add(1)
    await tick()
    for (const frame of [2, 3, 4]) {
      batch.add(frame)
      await tick()
    }
    expect(envelopes).toEqual([[1]])
    written()
    expect(envelopes).toEqual([[1], [2, 3, 4]])
    written()
    batch.add(5)
    await tick()
    expect(envelopes).toEqual([[1], [2, 3, 4], [5]])
  })

  test("an envelope has at most 64 frames, or what the peer wants", async () => {
    const { batch, envelopes, written } = recorder()
    for (const frame of range(0, 130)) batch.add(frame)
    await tick()
    written()
    batch.limit(3)
    written()
    expect(envelopes).toEqual([range(0, 64), range(64, 128), [128, 129]])
    for (const frame of range(0, 4)) batch.add(frame)
    written()
    batch.limit(0)
    written()
    expect(envelopes.slice(3)).toEqual([range(0, 3), [3]])
  })

  test("an envelope has at most 64 KiB, but never less than one frame", async () => {
    const { batch, envelopes, written } = recorder()
    batch.add(1, 1_000_000)
    batch.add(2, 40_000)
    batch.add(3, 20_000)
    batch.add(4, 20_000)
    await tick()
    written()
    written()
    expect(envelopes).toEqual([[1], [2, 3], [4]])
  })

  test("finish waits for all that is queued", async () => {
    const { batch, envelopes, written } = recorder()
    let finished = false
    batch.add(1)
    batch.finish(() => {
      finished = true
    })
    expect(envelopes).toEqual([[1]])
    expect(finished).toBe(false)
    written()
    expect(finished).toBe(true)
  })

  test("after close nothing is sent", async () => {
    const { batch, envelopes, written } = recorder()
    batch.add(1)
    await tick()
    batch.add(2)
    batch.close()
    written()
    batch.add(3)
    batch.finish(() => envelopes.push([99]))
    await tick()
    expect(envelopes).toEqual([[1]])
  })
})
