/** Files that children of a root host could not reach. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "@jest/globals"
import { can, runShell, testHost } from "./support/host.js"

const host = testHost()
const ready = can("files below folders of root", "root", "bwrap")
const folder = mkdtempSync(join(tmpdir(), "fn-staging-"))
afterAll(() => rmSync(folder, { recursive: true }))

test("a file below a folder that only its owner may enter is readable in a sandbox by its copy, which is made once", async () => {
  if (!ready) return
  const path = join(folder, "program.sh")
  writeFileSync(path, "#!/bin/sh\necho reached $1\n", { mode: 0o700 })
  const [reached, again] = await Promise.all([host.isolation.reach(path), host.isolation.reach(path)])
  expect([reached === path, reached === again]).toEqual([false, true])
  expect(statSync(path).mode & 0o777).toBe(0o700)
  const { stdout } = await runShell(host, "/fn/program.sh inside; cat /fn/program.sh | wc -l", {
    files: [{ path: reached, at: "/fn/program.sh" }],
  })
  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.trim()),
  ).toEqual(["reached inside", "2"])
  await expect(runShell(host, "true", { files: [{ path, at: "/fn/program.sh" }] })).rejects.toMatchObject({
    reason: "ISOLATION_UNAVAILABLE",
  })
})

test("a whole folder is, with its links, and without those rights of root that files in it have", async () => {
  if (!ready) return
  const tree = join(folder, "tree")
  mkdirSync(join(tree, "inner"), { recursive: true, mode: 0o700 })
  writeFileSync(join(tree, "inner", "closed"), "a\n", { mode: 0o600 })
  writeFileSync(join(tree, "open"), "b\n", { mode: 0o644 })
  symlinkSync("inner/closed", join(tree, "link"))
  const reached = await host.isolation.reach(tree)
  const { stdout } = await runShell(host, "cd /fn && cat link open inner/closed", { files: [{ path: reached, at: "/fn" }] })
  expect(stdout).toBe("a\nb\na\n")
  expect(readFileSync(join(tree, "open"), "utf8")).toBe("b\n")
})

test("what every user may read is used where it is", async () => {
  if (!ready) return
  const path = mkdtempSync(join(tmpdir(), "fn-open-"))
  chmodSync(path, 0o755)
  try {
    expect(await host.isolation.reach(path)).toBe(path)
    expect(await host.isolation.reach("/bin/sh")).toBe("/bin/sh")
  } finally {
    rmSync(path, { recursive: true })
  }
})

test("what is not there is not reached", async () => {
  if (!ready) return
  await expect(host.isolation.reach(join(folder, "nothing"))).rejects.toMatchObject({ code: "ENOENT" })
})
