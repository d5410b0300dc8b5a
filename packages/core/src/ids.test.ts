import { expect, test } from "@jest/globals"
import { newId } from "./ids.js"
import { isId } from "./names.js"

test("an id has 22 characters, is a NATS token, and does not come twice", () => {
  const ids = Array.from({ length: 10_000 }, newId)
  for (const id of ids) {
    expect(id).toHaveLength(22)
    expect(isId(id)).toBe(true)
    // A command line would take it for an option.
    expect(id.startsWith("-")).toBe(false)
  }
  expect(new Set(ids).size).toBe(ids.length)
})

test("an id is base64url of 16 bytes: the last character holds two bits", () => {
  for (let i = 0; i < 1000; i++) {
    const id = newId()
    expect(Buffer.from(id, "base64url").toString("base64url")).toBe(id)
  }
})

test("every bit is random: each is set in about half of the ids", () => {
  const counts = new Array<number>(128).fill(0)
  const rounds = 4_000
  for (let i = 0; i < rounds; i++) {
    const bytes = Buffer.from(newId(), "base64url")
    for (let bit = 0; bit < 128; bit++) if (((bytes[bit >> 3] as number) >> (bit & 7)) & 1) counts[bit] = (counts[bit] as number) + 1
  }
  // Seven standard deviations of 32 each: chance fails this once in 10^10 runs, a bit that is stuck always.
  for (const count of counts) expect(Math.abs(count - rounds / 2)).toBeLessThan(222)
})
