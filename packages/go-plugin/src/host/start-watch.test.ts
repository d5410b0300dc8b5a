import { describe, expect, test } from "@jest/globals"
import { rejectionOf } from "../../test/support/kv.js"
import { type Clock, startWatch } from "./start-watch.js"

/** A clock that stands until it is moved. */
function standingClock(): Clock & { moveTo(ms: number): void } {
  let now = 0
  const timers = new Set<{ at: number; call: () => void }>()
  return {
    now: () => now,
    after: (ms, call) => {
      const timer = { at: now + ms, call }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    moveTo: (ms) => {
      now = ms
      for (const timer of timers) if (timer.at <= now && timers.delete(timer)) timer.call()
    },
  }
}

describe("startWatch", () => {
  test("H15 without an option a start has sixty seconds, and not one millisecond less", async () => {
    const clock = standingClock()
    const watch = startWatch(undefined, undefined, clock)
    clock.moveTo(59_999)
    expect(await watch.race(Promise.resolve("ready"))).toBe("ready")
    expect(watch.leftMs()).toBe(501)
    clock.moveTo(60_000)
    expect(await rejectionOf(watch.race(new Promise(() => undefined)))).toMatchObject({ reason: "PLUGIN_START_TIMEOUT" })
    watch.stop()
  })

  test("a watch that was stopped never fails", async () => {
    const clock = standingClock()
    const watch = startWatch(100, undefined, clock)
    watch.stop()
    clock.moveTo(1_000)
    expect(await watch.race(Promise.resolve("late, but ready"))).toBe("late, but ready")
  })
})
