import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { isAlive, processesWith, processTree, watchChildren } from "./process-tree.js"
import { tempDir } from "./temp-dir.js"
import { startTestServer } from "./test-server.js"
import { until } from "./until.js"

const env = { PATH: process.env.PATH ?? "" }

describe("until", () => {
  test("resolves with what the condition gives, past falsy values and throws", async () => {
    let looks = 0
    const value = await until(
      () => {
        looks++
        if (looks === 2) throw new Error("not ready")
        return looks < 4 ? undefined : "there"
      },
      { name: "the fourth look" },
    )
    expect([value, looks]).toEqual(["there", 4])
  })

  test("rejects with the name of what it waited for and the last throw", async () => {
    const cause = new Error("why")
    const failed = until(() => Promise.reject(cause), { name: "the moon", timeoutMs: 20 })
    await expect(failed).rejects.toThrow("waited 20 ms for the moon")
    await expect(failed).rejects.toMatchObject({ cause })
  })
})

describe("tempDir", () => {
  test("is there, takes files, and is gone with its scope", async () => {
    let path: string
    {
      await using dir = await tempDir()
      path = dir.path
      await writeFile(dir.file("a.txt"), "x")
      expect(existsSync(dir.file("a.txt"))).toBe(true)
    }
    expect(existsSync(path)).toBe(false)
  })
})

describe("process tree", () => {
  test("shows a child and its child, and not when they have ended", async () => {
    const children = watchChildren()
    const child = spawnChild({ command: "sh", args: ["-c", "sleep 61 & wait"], env })
    await until(() => children.added().length === 2, { name: "child and grandchild" })
    const [sh, sleep] = children.added()
    expect(sh?.pid).toBe(child.pid)
    expect(sleep).toMatchObject({ parent: child.pid, command: "sleep 61" })
    expect(processTree(child.pid)).toEqual([sleep])
    await expect(children.settled(20)).rejects.toThrow("sleep 61")
    await child.terminate()
    await children.settled()
    expect(isAlive(child.pid as number)).toBe(false)
  })

  test("finds processes by what stands in their command line", async () => {
    const child = spawnChild({ command: "sh", args: ["-c", "echo up; sleep 62; : fn-marker-62"], env })
    await until(() => processesWith("fn-marker-62").length === 1, { name: "the process" })
    expect(processesWith("fn-marker-62")[0]?.pid).toBe(child.pid)
    await child.terminate()
    expect(processesWith("fn-marker-62")).toEqual([])
  })
})

describe("startTestServer", () => {
  test("gives a server that is gone with its scope: process, store and connections", async () => {
    const children = watchChildren()
    let storeDir: string
    let closed: Promise<unknown>
    {
      await using server = await startTestServer()
      storeDir = server.storeDir
      const nc = await server.connect()
      await nc.flush()
      expect(nc.info?.jetstream).toBe(true)
      closed = nc.closed()
      expect(children.added().map(({ pid }) => pid)).toContain(server.pid)
    }
    await closed
    await children.settled()
    expect(existsSync(storeDir)).toBe(false)
  })

  test("restarts on its port and store, and survives being killed or frozen at the end", async () => {
    const children = watchChildren()
    {
      await using server = await startTestServer({ maxPayload: 4_096 })
      const { url, pid } = server
      await server.restart()
      expect(server.url).toBe(url)
      expect(server.pid).not.toBe(pid)
      expect((await server.connect()).info?.max_payload).toBe(4_096)
      await server.kill()
    }
    {
      await using server = await startTestServer()
      await server.freeze()
      server.thaw()
      await (await server.connect()).flush()
      await server.freeze()
    }
    await children.settled()
  })

  test("a server that cannot start leaves nothing behind", async () => {
    const children = watchChildren()
    await expect(startTestServer({ config: "nonsense {" })).rejects.toMatchObject({ reason: "NATS_SERVER_EXITED" })
    await children.settled()
  })
})
