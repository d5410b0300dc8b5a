import { mkdir, rename, rm, writeFile } from "node:fs/promises"
import { tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { FolderWatch } from "./folder-watch.js"

/** A watch that counts, with a quiet time short enough for tests. */
async function watchCounting(
  root: string,
  { built, quietMs = 60 }: { built?: { inputs: string[]; outputs: string[] }; quietMs?: number } = {},
): Promise<{ watch: FolderWatch; changes: () => number } & Disposable> {
  let changes = 0
  const watch = new FolderWatch(root, {
    onChange: () => {
      changes++
      void watch.refresh()
    },
    onProblem: (message) => {
      throw new Error(message)
    },
    quietMs,
  })
  await watch.refresh(built)
  return { watch, changes: () => changes, [Symbol.dispose]: () => watch.close() }
}

describe("watching a function's folder", () => {
  test("a storm of saves is one change", async () => {
    await using dir = await tempDir()
    await mkdir(dir.file("src"))
    using counting = await watchCounting(dir.path, { quietMs: 300 })
    for (let i = 0; i < 50; i++) await writeFile(dir.file("src", `f${i % 5}.ts`), String(i))
    await until(() => counting.changes() > 0, { name: "the change to be told" })
    // A marker after the storm: had there been a second change on the way, it would have been told before this one.
    await writeFile(dir.file("marker"), "")
    await until(() => counting.changes() > 1, { name: "the marker to be told" })
    expect(counting.changes()).toBe(2)
  })

  test("a save by renaming over the file is seen, and so is the next one", async () => {
    await using dir = await tempDir()
    await writeFile(dir.file("index.ts"), "0")
    using counting = await watchCounting(dir.path)
    for (const round of [1, 2]) {
      await writeFile(dir.file(".index.ts.swp"), String(round))
      await rename(dir.file(".index.ts.swp"), dir.file("index.ts"))
      await until(() => counting.changes() === round, { name: `save ${round} to be told` })
    }
  })

  test("a folder that is made later is watched too", async () => {
    await using dir = await tempDir()
    using counting = await watchCounting(dir.path)
    await mkdir(dir.file("lib", "deep"), { recursive: true })
    await until(() => counting.changes() === 1, { name: "the new folder to be told" })
    await counting.watch.refresh()
    await writeFile(dir.file("lib", "deep", "x.ts"), "")
    await until(() => counting.changes() === 2, { name: "the file in the new folder to be told" })
    await rm(dir.file("lib"), { recursive: true })
    await until(() => counting.changes() === 3, { name: "its removal to be told" })
  })

  test("sources elsewhere that went in are watched; packages, hidden folders and the build command's own output are not", async () => {
    await using dir = await tempDir()
    for (const folder of ["fn", "fn/.git", "fn/node_modules", "fn/target", "shared"]) await mkdir(dir.file(folder))
    using counting = await watchCounting(dir.file("fn"), {
      built: { inputs: [dir.file("shared", "a.ts")], outputs: [dir.file("fn", "target", "release", "x")] },
    })
    await writeFile(dir.file("fn", ".git", "HEAD"), "")
    await writeFile(dir.file("fn", "node_modules", "x.js"), "")
    await writeFile(dir.file("fn", "notes.txt~"), "")
    // A watch of the output itself, begun last: once it has told, the other would have told too.
    using control = await watchCounting(dir.file("fn", "target"))
    await writeFile(dir.file("fn", "target", "x.o"), "")
    await until(() => control.changes() === 1, { name: "the output to be told to whoever watches it" })
    expect(counting.changes()).toBe(0)
    await writeFile(dir.file("shared", "a.ts"), "")
    await until(() => counting.changes() === 1, { name: "the shared source to be told" })
  })
})
