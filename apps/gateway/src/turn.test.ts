import { describe, expect, test } from "@jest/globals"
import { Turn } from "./turn.js"

describe("Turn", () => {
  test("is over for all who wait for it at once, in their order, before the next begins", async () => {
    const turn = new Turn()
    const heard: string[] = []
    const first = turn.over().then(() => heard.push("a"))
    const second = turn.over().then(() => heard.push("b"))
    const next = first.then(() => turn.over()).then(() => heard.push("c"))
    expect(heard).toEqual([])
    await Promise.all([first, second, next])
    expect(heard).toEqual(["a", "b", "c"])
  })
})
