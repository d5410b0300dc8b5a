import { expect, test } from "@jest/globals"
import { Users } from "./users.js"

const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn("SKIPPED: needs root: user numbers of children")
const range = { first: 1_800_000_000 + process.pid * 10, count: 3 }

test("PL-6: every child gets a number of its own, and one given back is the last to be used again", async () => {
  if (!isRoot) return
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
  if (!isRoot) return
  const users = await Users.claim(range)
  await expect(Users.claim(range)).rejects.toMatchObject({ reason: "ISOLATION_UNAVAILABLE" })
  await users.close()
  const again = await Users.claim(range)
  expect(again.first).toBe(range.first)
  await again.close()
})

test("numbers that this user namespace does not have are not claimed", async () => {
  if (!isRoot) return
  await expect(Users.claim({ first: 4_294_967_000, count: 1_000 })).rejects.toThrow(/no users 4294967000 to 4294967999/)
})
