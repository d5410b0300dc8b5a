import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { ByteBudget } from "../../src/payloads/byte-budget.js"

const never = Number.POSITIVE_INFINITY

describe("SEC-3: room for event data", () => {
  test("is given in the order it was asked for, and no more of it than there is", async () => {
    const budget = new ByteBudget(100)
    const given: string[] = []
    const ask = (name: string, bytes: number): Promise<void> => budget.take(bytes, never).then(() => void given.push(name))
    await ask("a", 60)
    const rest = [ask("b", 60), ask("c", 10), ask("d", 60)]
    await Promise.resolve()
    // c would fit, but b was first.
    expect([given, budget.takenBytes]).toEqual([["a"], 60])
    budget.give(60)
    await Promise.all(rest.slice(0, 2))
    expect([given, budget.takenBytes]).toEqual([["a", "b", "c"], 70])
    budget.give(60)
    await rest[2]
    expect(budget.takenBytes).toBe(70)
  })

  test("what is larger than all of it is let in alone", async () => {
    const budget = new ByteBudget(100)
    await budget.take(150, never)
    const next = budget.take(1, never)
    expect(budget.takenBytes).toBe(150)
    budget.give(150)
    await next
    expect(budget.takenBytes).toBe(1)
  })

  test("who waits gives up at its deadline, and takes nothing then", async () => {
    const budget = new ByteBudget(100)
    await budget.take(100, never)
    await expect(budget.take(1, Date.now() + 20)).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" })
    budget.give(100)
    expect(budget.takenBytes).toBe(0)
  })

  test("nobody waits any longer when it is closed", async () => {
    const budget = new ByteBudget(1)
    await budget.take(1, never)
    const waits = budget.take(1, Date.now() + 60_000)
    budget.close(FnError.of("HOST_DRAINING", "closing"))
    await expect(waits).rejects.toMatchObject({ reason: "HOST_DRAINING" })
  })
})
