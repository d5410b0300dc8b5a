import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals"
import fc from "fast-check"
import { DeadlineSweep } from "./deadline-sweep.js"

// Time is jest's: performance.now() and setTimeout advance together and only when told to.
beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

/** A timer has whole milliseconds. */
const TIMER_MS = 1

describe("DeadlineSweep", () => {
  test("an item expires once, never early, and at most one granularity late", () => {
    const waits = fc.array(fc.record({ afterMs: fc.double({ min: 0, max: 500, noNaN: true }), addedAtMs: fc.nat(200) }), {
      minLength: 1,
      maxLength: 20,
    })
    fc.assert(
      fc.property(waits, fc.integer({ min: 1, max: 50 }), fc.double({ min: 0, max: 100, noNaN: true }), (items, granularityMs, phaseMs) => {
        jest.advanceTimersByTime(phaseMs)
        const expired: { deadline: number; at: number }[] = []
        const sweep = new DeadlineSweep<{ deadline: number }>((item) => expired.push({ ...item, at: performance.now() }), granularityMs)
        for (const { afterMs, addedAtMs } of items) {
          setTimeout(() => {
            const deadline = performance.now() + afterMs
            sweep.add({ deadline }, deadline)
          }, addedAtMs)
        }
        jest.advanceTimersByTime(1_000)
        expect(expired).toHaveLength(items.length)
        for (const { deadline, at } of expired) {
          expect(at).toBeGreaterThanOrEqual(deadline)
          expect(at - deadline).toBeLessThanOrEqual(granularityMs + TIMER_MS)
        }
        expect(jest.getTimerCount()).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  test("of many with few deadlines, deleted in any order, those that are left expire, each once, in the order they came", () => {
    const steps = fc.array(fc.record({ slot: fc.nat(3), doomed: fc.boolean(), early: fc.boolean() }), { maxLength: 40 })
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat()), (items, random) => {
        const expired: number[] = []
        const sweep = new DeadlineSweep<number>((item) => expired.push(item), 10)
        const now = performance.now()
        const doomed: [item: number, at: number][] = []
        for (const [item, { slot, doomed: isDoomed, early }] of items.entries()) {
          const at = sweep.add(item, now + 5 + slot * 10)
          if (!isDoomed) continue
          if (early) sweep.delete(item, at)
          else doomed.splice((random.next().value as number) % (doomed.length + 1), 0, [item, at])
        }
        for (const [item, at] of doomed) sweep.delete(item, at)
        jest.advanceTimersByTime(200)
        const left = [...items.keys()].filter((item) => !items[item]?.doomed)
        expect(expired).toEqual(left.sort((a, b) => (items[a]?.slot as number) - (items[b]?.slot as number) || a - b))
        expect(jest.getTimerCount()).toBe(0)
      }),
    )
  })

  test("a deadline that has passed already expires with the next sweep", () => {
    const expired: string[] = []
    const sweep = new DeadlineSweep<string>((item) => expired.push(item), 10)
    sweep.add("late", performance.now() - 5_000)
    expect(expired).toEqual([])
    jest.advanceTimersByTime(11)
    expect(expired).toEqual(["late"])
  })

  test("what is deleted never expires, and the timer stops when nothing is left", () => {
    const sweep = new DeadlineSweep<string>(() => {
      throw new Error("nothing may expire")
    }, 10)
    const slot = sweep.add("a", performance.now() + 30)
    sweep.delete("a", slot)
    sweep.delete("a", slot)
    jest.advanceTimersByTime(100)
    expect(jest.getTimerCount()).toBe(0)
  })

  test("never is never, and costs no timer", () => {
    const sweep = new DeadlineSweep<string>(() => {
      throw new Error("nothing may expire")
    })
    sweep.delete("a", sweep.add("a", Number.POSITIVE_INFINITY))
    expect(jest.getTimerCount()).toBe(0)
  })

  test("an item added while others expire is not lost", () => {
    const expired: string[] = []
    const sweep = new DeadlineSweep<string>((item) => {
      expired.push(item)
      if (item === "first") sweep.add("second", performance.now())
    }, 10)
    sweep.add("first", performance.now() + 5)
    jest.advanceTimersByTime(50)
    expect(expired).toEqual(["first", "second"])
    expect(jest.getTimerCount()).toBe(0)
  })

  test("an item that another's expiry deletes does not expire", () => {
    const expired: string[] = []
    const deadline = performance.now() + 5
    const slots = new Map<string, number>()
    const sweep = new DeadlineSweep<string>((item) => {
      expired.push(item)
      sweep.delete("b", slots.get("b") as number)
    }, 10)
    for (const item of ["a", "b"]) slots.set(item, sweep.add(item, deadline))
    jest.advanceTimersByTime(50)
    expect(expired).toEqual(["a"])
  })

  test("after a pause of the process everything overdue expires at once", () => {
    const expired: number[] = []
    const sweep = new DeadlineSweep<number>((item) => expired.push(item), 10)
    for (let i = 0; i < 5; i++) sweep.add(i, performance.now() + i * 40)
    jest.setSystemTime(Date.now() + 60_000) // a jump of the wall clock: nothing may follow it
    jest.advanceTimersByTime(45)
    expect(expired).toEqual([0, 1])
    jest.advanceTimersByTime(10_000)
    expect(expired).toEqual([0, 1, 2, 3, 4])
  })

  test("close forgets everything", () => {
    const sweep = new DeadlineSweep<string>(() => {
      throw new Error("nothing may expire")
    }, 10)
    sweep.add("a", performance.now() + 5)
    sweep.close()
    expect(jest.getTimerCount()).toBe(0)
    jest.advanceTimersByTime(100)
  })
})
