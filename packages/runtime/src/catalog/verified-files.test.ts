import { chmod, rename, utimes, writeFile } from "node:fs/promises"
import { tempDir } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { statOf, VerifiedFiles } from "./verified-files.js"

const DIGEST = "sha256:of the bytes"

describe("R-PL-5: a file that was verified", () => {
  test("is held for what it was as long as nobody touches it", async () => {
    await using folder = await tempDir()
    const path = folder.file("program")
    await writeFile(path, "what it was")
    const files = new VerifiedFiles()
    expect(await files.holds(path, DIGEST)).toBe(false)
    await files.remember(path, DIGEST)
    expect([await files.holds(path, DIGEST), await files.holds(path, "sha256:another")]).toEqual([true, false])
  })

  test.each<[string, (path: string) => Promise<void>]>([
    ["is written, even if it keeps its size and its times", changeAndSetBack],
    ["is replaced by another", replace],
    ["gets another mode", (path) => chmod(path, 0o700)],
    ["is gone", (path) => rename(path, `${path}.old`)],
  ])("is not once it %s", async (_what, change) => {
    await using folder = await tempDir()
    const path = folder.file("program")
    await writeFile(path, "what it was", { mode: 0o644 })
    const files = new VerifiedFiles()
    await files.remember(path, DIGEST)
    await change(path)
    expect(await files.holds(path, DIGEST)).toBe(false)
  })

  test("is not remembered when it changed while it was read", async () => {
    await using folder = await tempDir()
    const path = folder.file("program")
    await writeFile(path, "what it was")
    const before = await statOf(path)
    await changeAndSetBack(path)
    const files = new VerifiedFiles()
    await files.remember(path, DIGEST, before)
    expect(await files.holds(path, DIGEST)).toBe(false)
  })
})

async function changeAndSetBack(path: string): Promise<void> {
  const before = await statOf(path)
  // The clock of a file system ticks every few milliseconds.
  while ((await statOf(path)) === before) {
    await writeFile(path, "what it is ")
    await utimes(path, 0, 0)
  }
}

async function replace(path: string): Promise<void> {
  await writeFile(`${path}.new`, "what it was")
  await rename(`${path}.new`, path)
}
