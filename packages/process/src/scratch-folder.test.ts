import { once } from "node:events"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "@jest/globals"
import { spawnChild } from "./child.js"
import { createScratchFolder } from "./scratch-folder.js"

test("a scratch folder is gone when it is removed", async () => {
  const folder = await createScratchFolder("fn-scratch-test-")
  writeFileSync(join(folder.path, "file"), "x")
  await folder.remove()
  await folder.remove()
  expect(existsSync(folder.path)).toBe(false)
})

test("a scratch folder is gone soon after its process was killed with SIGKILL", async () => {
  const owner = spawnChild({
    command: process.execPath,
    args: [
      "--input-type=module",
      "-e",
      `import { createScratchFolder } from ${JSON.stringify(new URL("../dist/scratch-folder.js", import.meta.url).href)}
       const { path } = await createScratchFolder("fn-scratch-test-")
       process.stdout.write(path); setInterval(() => {}, 1000)`,
    ],
    env: { PATH: process.env.PATH ?? "" },
  })
  const [path] = (await once(owner.stdout as NodeJS.ReadableStream, "data")) as [Buffer]
  expect(existsSync(path.toString())).toBe(true)
  owner.kill("SIGKILL")
  const end = Date.now() + 2_000
  while (existsSync(path.toString())) {
    if (Date.now() > end) throw new Error("waited 2 s for the folder to be gone")
    await new Promise((resolve) => setImmediate(resolve))
  }
})
