import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { type FnDev, startFnDev, tempDir } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(180_000)

interface Stat {
  readonly file: string
  readonly change: string
  readonly added: number
  readonly removed: number
}

const require = createRequire(import.meta.url)
const cli = dirname(require.resolve("@fn/cli/package.json"))
const source = fileURLToPath(new URL("..", import.meta.url))
let fn: FnDev
let client: Client

beforeAll(async () => {
  fn = await startFnDev({ program: join(cli, "dist/main.js"), folders: [source] })
  client = await connectClient({ servers: fn.nats })
})
afterAll(async () => {
  await client?.close()
  await fn?.[Symbol.asyncDispose]()
})

async function statsOf(patch: string): Promise<Stat[]> {
  const events = await client.invoke(
    "patch-stat",
    { type: "com.example.patch", datacontenttype: "text/x-diff", data: patch },
    { timeoutMs: 20_000 },
  )
  for (const event of events)
    expect(event).toMatchObject({
      type: "com.example.patch.stat",
      source: "/functions/default/patch-stat",
      subject: (event.data as Stat).file,
    })
  return events.map(({ data }) => data as Stat)
}

function diff(...args: string[]): string {
  const { stdout, stderr } = spawnSync("diff", args, { encoding: "utf8", cwd: join(cli, "templates"), maxBuffer: 1 << 28 })
  if (stderr !== "") throw new Error(stderr)
  return stdout
}

describe("R-FN-6: a function in shell, on real patches", () => {
  test("two templates of this repository: every file, every line", async () => {
    const patch = diff("-ruN", "ts", "go")
    const stats = await statsOf(patch)
    expect(stats.length).toBeGreaterThan(5)
    for (const { file, added, removed } of stats) {
      const alone = patch.slice(patch.indexOf(`+++ ${file}`)).split("\ndiff ")[0] as string
      expect({ file, added, removed }).toEqual({
        file,
        added: alone
          .split("\n")
          .slice(1)
          .filter((line) => line.startsWith("+")).length,
        removed: alone
          .split("\n")
          .slice(1)
          .filter((line) => line.startsWith("-")).length,
      })
    }
  })

  test("files that come, go and change, as git writes them", async () => {
    await using folder = await tempDir()
    const git = (...args: string[]): string => {
      const { stdout, stderr, status } = spawnSync("git", ["-C", folder.path, "-c", "user.name=a", "-c", "user.email=a@b.c", ...args], {
        encoding: "utf8",
      })
      if (status !== 0) throw new Error(stderr)
      return stdout
    }
    if (spawnSync("git", ["--version"]).error) return console.warn("SKIPPED: needs git: patches as git writes them")
    const { writeFile, rm } = await import("node:fs/promises")
    await writeFile(folder.file("gone.txt"), "a\nb\n")
    await writeFile(folder.file("kept.txt"), "--- not a header\n+++ nor this\n@@ -1,9 +1,9 @@\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "before")
    await rm(folder.file("gone.txt"))
    await writeFile(folder.file("kept.txt"), "--- not a header\n+++ nor this either\n@@ -1,9 +1,9 @@")
    await writeFile(folder.file('na"me.txt'), "x")
    git("add", ".")
    expect(await statsOf(git("-c", "core.quotePath=false", "diff", "--cached", "--no-color"))).toEqual([
      { file: "gone.txt", change: "removed", added: 0, removed: 2 },
      { file: "kept.txt", change: "changed", added: 2, removed: 2 },
      { file: expect.stringContaining("na"), change: "added", added: 1, removed: 0 },
    ])
  })

  test("no change is no event; what is no patch is refused for good", async () => {
    expect(await statsOf("")).toEqual([])
    await expect(statsOf("hello\n")).rejects.toMatchObject({ code: "invalid_argument", message: "this is no unified diff" })
    const cut = diff("-u", "ts/README.md", "go/README.md").split("\n").slice(0, 6).join("\n")
    await expect(statsOf(cut)).rejects.toMatchObject({ code: "invalid_argument", message: expect.stringContaining("cut short") })
  })
})
