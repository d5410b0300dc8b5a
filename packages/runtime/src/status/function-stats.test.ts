import { describe, expect, test } from "@jest/globals"
import { FunctionStats } from "./function-stats.js"

function statsOf(durations: readonly number[]): FunctionStats {
  const stats = new FunctionStats()
  for (const durationMs of durations) stats.executed(durationMs)
  return stats
}

describe("the smoothed execution time", () => {
  test("follows what executions take, within some dozens of them", () => {
    expect(statsOf([50]).averageMs).toBe(50)
    expect(statsOf(Array(20).fill(50)).averageMs).toBeCloseTo(50)
    expect(statsOf([50, ...Array(60).fill(10)]).averageMs).toBeLessThan(11)
    expect(statsOf([50, ...Array(60).fill(1_000)]).averageMs).toBeGreaterThan(900)
    expect(statsOf([0, ...Array(90).fill(100)]).averageMs).toBeGreaterThan(90)
  })

  test("is hardly moved by a few that took very long", () => {
    expect(statsOf([...Array(20).fill(50), ...Array(4).fill(5_000)]).averageMs).toBeLessThan(80)
  })
})
