import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "@jest/globals"
import { tempDir, until } from "../../test/support.js"
import { withLock } from "./lock.js"

describe("withLock", () => {
  test("lets one in at a time, tells who waits, and lets go after a throw", async () => {
    await using dir = await tempDir()
    const path = join(dir.path, "folder", "lock")
    const seen: string[] = []
    let release: () => void = () => undefined
    const first = withLock(path, { timeoutMs: 5_000 }, async () => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      seen.push("first")
      throw new Error("a bug in the work")
    })
    await until(() => existsSync(path), "the first to hold it")
    const second = withLock(path, { timeoutMs: 5_000, onWait: () => release() }, async () => void seen.push("second"))
    await expect(first).rejects.toThrow("a bug in the work")
    await second
    expect(seen).toEqual(["first", "second"])
    expect(existsSync(path)).toBe(false)
  })

  test("gives up on a holder that lives, and takes over from one that does not", async () => {
    await using dir = await tempDir()
    const path = join(dir.path, "lock")
    await writeFile(path, `${process.pid} ${hostname()}\n`)
    await expect(withLock(path, { timeoutMs: 50 }, async () => "in")).rejects.toMatchObject({ code: "unavailable" })
    await writeFile(path, `1 another-machine\n`)
    await expect(withLock(path, { timeoutMs: 50 }, async () => "in")).rejects.toMatchObject({ code: "unavailable" })
    // Larger than any process id Linux gives.
    await writeFile(path, `4194999 ${hostname()}\n`)
    expect(await withLock(path, { timeoutMs: 50 }, async () => "in")).toBe("in")
  })
})
