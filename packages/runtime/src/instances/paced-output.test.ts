import { spawnChild } from "@fn/process"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { dropPast, readPaced } from "./paced-output.js"

/** Prints `script` of a shell and gives what of it is read. */
function printed(script: string): { texts: string[]; end: () => Promise<unknown>; exited: Promise<unknown> } {
  const child = spawnChild({ command: "sh", args: ["-c", script], env: { PATH: "/usr/bin:/bin" } })
  const texts: string[] = []
  child.stdout?.setEncoding("utf8")
  readPaced(child.stdout as NonNullable<typeof child.stdout>, (text) => texts.push(text))
  return { texts, end: () => child.terminate({ graceMs: 0 }), exited: child.exited }
}

describe("R-SEC-3: what functions print", () => {
  test("comes whole and in order, also what is more than the budget", async () => {
    const { texts, exited } = printed("seq 1 3000")
    await exited
    const expected = Array.from({ length: 3_000 }, (_, n) => `${n + 1}\n`).join("")
    await until(() => texts.join("").length >= expected.length, { name: "all of it", timeoutMs: 20_000 })
    expect(texts.join("")).toBe(expected)
  })

  test("without end is read in small pieces, with turns for everybody else between a few of them", async () => {
    const { texts, end } = printed("yes ''")
    await until(() => texts.length > 0, { name: "the first of it" })
    let most = 0
    for (let turn = 0; turn < 200; turn++) {
      const before = texts.length
      await new Promise((resolve) => setImmediate(resolve))
      most = Math.max(most, texts.length - before)
    }
    await end()
    // A piece of empty lines costs two budgets: however long the machine stood still, there is one to give at once.
    expect(most).toBeLessThanOrEqual(1)
    expect(Math.max(...texts.map((text) => text.length))).toBeLessThanOrEqual(1_024)
  })

  test("that cannot be left unread is dropped past the budget, and how much of it", () => {
    const taken: string[] = []
    const dropped: number[] = []
    const take = dropPast(
      (text) => taken.push(text),
      (characters) => dropped.push(characters),
    )
    const all = "x".repeat(1024 * 1024)
    take(all)
    expect(taken.join("").length).toBeGreaterThanOrEqual(64 * 1024)
    expect(taken.join("").length).toBeLessThan(all.length)
    expect(dropped).toEqual([])
  })

  test("is handed on again later, after word of what was dropped", async () => {
    const events: (string | number)[] = []
    const take = dropPast(
      (text) => events.push(text.length),
      (characters) => events.push(`dropped ${characters}`),
    )
    take("x".repeat(1024 * 1024))
    const first = events.length
    const taken = events.reduce<number>((sum, event) => sum + Number(event), 0)
    let tried = 0
    const retry = (): boolean => {
      take("y")
      tried++
      return events.length > first
    }
    await until(retry, { name: "the budget to be there again" })
    expect(events.slice(first)).toEqual([`dropped ${1024 * 1024 - taken + tried - 1}`, 1])
  })
})
