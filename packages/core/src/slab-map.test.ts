import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { SlabMap } from "./slab-map.js"

describe("SlabMap", () => {
  test("holds what a Map holds, in the same order", () => {
    const key = fc.constantFrom("a", "b", "c", "d", "e")
    const step = fc.oneof(
      fc.record({ does: fc.constant("set" as const), key }),
      fc.record({ does: fc.constant("delete" as const), key }),
      fc.record({ does: fc.constant("clear" as const), key }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const map = new Map<string, { n: number }>()
        const slabs = new SlabMap<string, { n: number }>()
        for (const [n, { does, key: name }] of steps.entries()) {
          const value = { n }
          if (does === "set") {
            map.set(name, value)
            slabs.set(name, value)
          } else if (does === "delete") expect(slabs.delete(name)).toBe(map.delete(name))
          else {
            map.clear()
            slabs.clear()
          }
          expect([slabs.size, slabs.has(name)]).toEqual([map.size, map.has(name)])
          expect(slabs.get(name)).toBe(map.get(name))
        }
        expect([[...slabs.keys()], [...slabs.values()]]).toEqual([[...map.keys()], [...map.values()]])
      }),
    )
  })

  test("values may go while they are looked at", () => {
    const map = new SlabMap<number, { key: number }>()
    for (let key = 0; key < 10; key++) map.set(key, { key })
    for (const { key } of map.values()) map.delete(key)
    expect(map.size).toBe(0)
  })
})
