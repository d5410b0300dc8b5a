import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "@jest/globals"
import { removeAfterDeath } from "./keeper.js"

const folder = mkdtempSync(join(tmpdir(), "fn-keeper-test-"))
afterAll(() => rmSync(folder, { recursive: true }))

test("a keeper removes what it was told to, but not what has become another's", async () => {
  const [plain, own, taken] = ["plain $x", "own", "taken"].map((name) => join(folder, name)) as [string, string, string]
  writeFileSync(plain, "")
  writeFileSync(own, '{"pid":1}')
  writeFileSync(taken, '{"pid":1}')
  const keeper = removeAfterDeath([{ path: plain }, { path: own, holding: '"pid":1}' }, { path: taken, holding: '"pid":1}' }])
  writeFileSync(taken, '{"pid":12}')
  await keeper.release()
  await keeper.release()
  expect([plain, own, taken].map((path) => existsSync(path))).toEqual([false, false, true])
})
