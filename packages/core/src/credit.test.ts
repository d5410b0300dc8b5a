import { describe, expect, test } from "@jest/globals"
import { CreditReturn, CreditWindow } from "./credit.js"
import { FnError } from "./errors.js"

const over = FnError.of("CANCELLED", "enough")

describe("CreditWindow", () => {
  test("lets through what there is credit for, then holds back until there is more", async () => {
    const credit = new CreditWindow(2)
    expect(credit.spend()).toBeUndefined()
    let resumed = false
    const held = credit.spend()?.then(() => {
      resumed = true
    })
    await Promise.resolve()
    expect(resumed).toBe(false)
    credit.grant(2)
    await held
    expect(resumed).toBe(true)
    expect(credit.spend()).toBeUndefined()
    expect(credit.spend()).toBeInstanceOf(Promise)
  })

  test("credit granted ahead counts, also where nobody waits", () => {
    const credit = new CreditWindow(1)
    credit.grant(2)
    expect([credit.spend(), credit.spend()]).toEqual([undefined, undefined])
  })

  test("closing rejects who waits and refuses who comes later, with the first reason", async () => {
    const credit = new CreditWindow(1)
    const held = credit.spend()
    credit.close(over)
    credit.close(FnError.of("CANCELLED", "twice"))
    credit.grant(5)
    await expect(held).rejects.toBe(over)
    expect(() => credit.spend()).toThrow(over)
  })
})

describe("CreditReturn", () => {
  test("gives back in halves of the window, all of it in the end", () => {
    const grants: number[] = []
    const taken = new CreditReturn(8, (count) => grants.push(count))
    for (let n = 0; n < 11; n++) taken.took()
    expect(grants).toEqual([4, 4])
  })

  test("a window of one is given back each time", () => {
    const grants: number[] = []
    const taken = new CreditReturn(1, (count) => grants.push(count))
    taken.took()
    taken.took()
    expect(grants).toEqual([1, 1])
  })
})
