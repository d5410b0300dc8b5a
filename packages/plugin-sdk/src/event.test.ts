import { describe, expect, test } from "@jest/globals"
import { z } from "zod"
import { Paid, Placed } from "../test/shop.js"
import { defineEvent, FnError } from "./index.js"

const order = { orderId: "o1", tenant: "t", cents: 1 }

describe("defineEvent", () => {
  test("create makes an event of the type with the attributes given", () => {
    expect(Placed.create(order, { subject: "s", source: "/shop", extra: "e" })).toEqual({
      specversion: "1.0",
      type: "shop.order.placed.v1",
      data: order,
      subject: "s",
      source: "/shop",
      extra: "e",
    })
  })

  test("create refuses data that does not fit, naming side and field", () => {
    const make = (): unknown => Placed.create({ ...order, cents: 1.5 })
    expect(make).toThrow(/checked by the sender: data\.cents: /)
    expect(make).toThrow(expect.objectContaining({ code: "invalid_argument", reason: "INVALID_EVENT" }))
  })

  test("create leaves the data untouched: a schema that transforms does so at the receiver", () => {
    const Counted = defineEvent("counted", z.string().transform(Number))
    const event = Counted.create("5")
    expect(event.data).toBe("5")
    expect(Counted.parse(event).data).toBe(5)
  })

  test("is tells types apart", () => {
    const event = Placed.create(order)
    expect(Placed.is(event)).toBe(true)
    expect(Paid.is(event)).toBe(false)
  })

  test("parse checks type and data of an event from elsewhere", () => {
    expect(() => Paid.parse(Placed.create(order))).toThrow(expect.objectContaining({ reason: "TYPE_NOT_ACCEPTED" }))
    expect(() => Placed.parse({ type: Placed.type, data: {} })).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })

  test("a schema that validates asynchronously cannot make events", () => {
    const Later = defineEvent(
      "later",
      z.string().refine(async () => true),
    )
    let thrown: unknown
    try {
      Later.create("x")
    } catch (error) {
      thrown = error
    }
    expect(FnError.is(thrown) && thrown.reason).toBe("INVALID_DEFINITION")
  })

  test("an event type needs a name", () => {
    expect(() => defineEvent("", z.string())).toThrow(FnError)
  })
})
