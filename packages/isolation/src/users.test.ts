import { expect, test } from "@jest/globals"
import { Users } from "./users.js"

const range = { first: 1_800_000_000 + process.pid * 10, count: 3 }

test("PL-6: every child gets a number of its own, and one given back is the last to be used again", async () => {
  const users = await Users.claim(range)
  const [a, b] = [users.take(), users.take()]
  users.free(a)
  const c = users.take()
  expect([a, b, c]).toEqual([range.first, range.first + 1, range.first + 2])
  expect(users.take()).toBe(a)
  expect(() => users.take()).toThrow(/all 3 user numbers/)
  await users.close()
})

test("two hosts never use the same numbers, and those of a host that closed are free again", async () => {
  const users = await Users.claim(range)
  await expect(Users.claim(range)).rejects.toMatchObject({ reason: "ISOLATION_UNAVAILABLE" })
  await users.close()
  const again = await Users.claim(range)
  expect(again.first).toBe(range.first)
  await again.close()
})
