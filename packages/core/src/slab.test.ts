import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { Slab } from "./slab.js"

describe("Slab", () => {
  test("keeps each item under its own number until it is deleted, whatever the order", () => {
    const steps = fc.array(fc.oneof(fc.constant("add" as const), fc.nat()), { maxLength: 200 })
    fc.assert(
      fc.property(steps, (actions) => {
        const slab = new Slab<{ n: number }>()
        const kept = new Map<number, { n: number }>()
        for (const [n, action] of actions.entries()) {
          if (action === "add") {
            const item = { n }
            const at = slab.add(item)
            expect(kept.has(at)).toBe(false)
            kept.set(at, item)
          } else {
            slab.delete(action)
            kept.delete(action)
          }
        }
        expect(slab.size).toBe(kept.size)
        for (const [at, item] of kept) expect(slab.get(at)).toBe(item)
        expect(new Set(slab)).toEqual(new Set(kept.values()))
      }),
    )
  })

  test("numbers stay as small as what is kept at once", () => {
    const slab = new Slab<object>()
    for (let n = 0; n < 1_000; n++) slab.delete(slab.add({}))
    expect(slab.add({})).toBe(0)
    expect(slab.add({})).toBe(1)
  })

  test("deleting twice frees a number once", () => {
    const slab = new Slab<object>()
    const at = slab.add({})
    slab.delete(at)
    slab.delete(at)
    expect(slab.add({})).toBe(at)
    expect(slab.add({})).not.toBe(at)
    expect(slab.size).toBe(2)
  })

  test("items may go while they are looked at", () => {
    const slab = new Slab<{ at: number }>()
    for (let n = 0; n < 10; n++) {
      const item = { at: 0 }
      item.at = slab.add(item)
    }
    for (const { at } of slab) slab.delete(at)
    expect(slab.size).toBe(0)
    slab.add({ at: 0 })
    slab.clear()
    expect([...slab]).toEqual([])
  })
})
