import { describe, expect, test } from "@jest/globals"
import { HostView, isSaturated, parseLoadReport, TRUSTED_MS } from "./host-view.js"

const KEY = "default/f"

function load(freeSlots: number, more: { waiting?: number; queued?: number; slots?: number } = {}) {
  return { function: KEY, slots: 4, freeSlots, waiting: 0, queued: 0, ...more }
}

describe("what a host knows of the others' slots", () => {
  test("the host with most free slots is next, and each slot is given once", () => {
    const view = new HostView(() => 0)
    view.take("a", load(1))
    view.take("b", load(2))
    expect([view.takeSlot(KEY), view.hasSlot(KEY)]).toEqual(["b", true])
    expect([view.takeSlot(KEY), view.takeSlot(KEY)].sort()).toEqual(["a", "b"])
    expect([view.takeSlot(KEY), view.hasSlot(KEY)]).toEqual([undefined, false])
    view.take("a", load(1))
    expect(view.takeSlot(KEY)).toBe("a")
    expect(view.takeSlot("default/other")).toBeUndefined()
  })

  test("a report is believed for two seconds", () => {
    let now = 0
    const view = new HostView(() => now)
    view.take("a", load(4))
    now = TRUSTED_MS
    expect(view.hasSlot(KEY)).toBe(true)
    now = TRUSTED_MS + 1
    expect(view.hasSlot(KEY)).toBe(false)
    expect(view.others(KEY)).toEqual({ hosts: 0, slots: 0, waiting: 0, queued: 0 })
  })

  test("a host that is gone, or full by now, gets no more calls", () => {
    const view = new HostView(() => 0)
    view.take("a", load(4))
    view.take("b", load(4))
    view.isFull(KEY, "a")
    expect([view.takeSlot(KEY), view.takeSlot(KEY)]).toEqual(["b", "b"])
    view.forget("b")
    expect(view.hasSlot(KEY)).toBe(false)
    expect(view.others(KEY).slots).toBe(4)
    view.forgetFunction(KEY)
    expect(view.others(KEY).hosts).toBe(0)
  })

  test("what all have together: slots and waiting calls added up, the queue as the best informed knows it", () => {
    const view = new HostView(() => 0)
    view.take("a", load(0, { waiting: 3, queued: 100 }))
    view.take("b", load(0, { waiting: 4, queued: 90, slots: 8 }))
    expect(view.others(KEY)).toEqual({ hosts: 2, slots: 12, waiting: 7, queued: 100 })
  })

  test("saturated is: no slot free, and somebody waits", () => {
    expect([load(0, { waiting: 1 }), load(0), load(1, { waiting: 1 })].map(isSaturated)).toEqual([true, false, false])
  })

  test("a report is taken only if it is one", () => {
    const report = { host: "a", phase: "ready", functions: [load(1)] }
    const parse = (value: unknown) => parseLoadReport(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)))
    expect(parse(report)).toEqual(report)
    for (const bad of ["", "no JSON", "null", { ...report, host: "a.b" }, { ...report, functions: [{ ...load(1), freeSlots: -1 }] }])
      expect(parse(bad)).toBeUndefined()
    expect(parse({ ...report, functions: [{ ...load(1), waiting: "3" }] })).toBeUndefined()
  })
})
