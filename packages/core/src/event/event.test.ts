import { expect, test } from "@jest/globals"
import { checkAttributes } from "./event.js"

// In a file of its own: times that were checked are remembered, and nothing may have been checked before this.
test("the very first time to be checked may not be empty", () => {
  const attributes = { id: "1", source: "/s", type: "t", specversion: "1.0", time: "" }
  expect(() => checkAttributes(attributes)).toThrow(expect.objectContaining({ details: { attribute: "time" } }))
})

test("a remembered time does not vouch for another", () => {
  const attributes = { id: "1", source: "/s", type: "t", specversion: "1.0", time: "2026-01-31T00:00:00Z" }
  expect(checkAttributes({ ...attributes })).toEqual(attributes)
  expect(() => checkAttributes({ ...attributes, time: "2026-02-31T00:00:00Z" })).toThrow(/no RFC 3339 time/)
  expect(checkAttributes({ ...attributes })).toEqual(attributes)
})
