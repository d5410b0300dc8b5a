import { writeFile } from "node:fs/promises"
import { spawnChild } from "@fn/process"
import { tempDir } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { lockDataDir } from "./lock.js"

describe("the lock of a data folder", () => {
  test("is held by one, and free again once released", async () => {
    await using dir = await tempDir()
    const lock = await lockDataDir(dir.file("data"))
    await expect(lockDataDir(dir.file("data"))).rejects.toMatchObject({
      reason: "DATA_DIR_IN_USE",
      message: expect.stringContaining(String(process.pid)),
    })
    await lock.release()
    await (await lockDataDir(dir.file("data"))).release()
  })

  test("what a dead process left is taken over, also when its id was given out again", async () => {
    await using dir = await tempDir()
    const child = spawnChild({ command: "/bin/true", env: {} })
    await child.exited
    for (const holder of [
      { pid: child.pid, startedAt: "1" },
      { pid: process.pid, startedAt: "1" },
    ]) {
      await writeFile(dir.file("dev.lock"), JSON.stringify(holder))
      await (await lockDataDir(dir.path)).release()
    }
    await writeFile(dir.file("dev.lock"), "{ not of our making")
    await (await lockDataDir(dir.path)).release()
  })

  test("of several that want it at once, one gets it", async () => {
    await using dir = await tempDir()
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(dir.path)))
    expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
  })
})
