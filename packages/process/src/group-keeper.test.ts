import { once } from "node:events"
import { readFileSync } from "node:fs"
import { expect, test } from "@jest/globals"
import { spawnChild } from "./child.js"

const env = { PATH: process.env.PATH ?? "" }
const MODULES = {
  child: new URL("../dist/child.js", import.meta.url).href,
  keeper: new URL("../dist/group-keeper.js", import.meta.url).href,
}

/** A parent that starts two scripts, each with a child; the second it lets go of. Prints the pids of the children. */
const PARENT = `
import { once } from "node:events"
import { spawnChild } from ${JSON.stringify(MODULES.child)}
import { GroupKeeper } from ${JSON.stringify(MODULES.keeper)}
const keeper = new GroupKeeper()
const start = async () => {
  const script = "sleep 1000 & echo $!; wait"
  const child = spawnChild({ command: "sh", args: ["-c", script], env: { PATH: "/usr/bin:/bin" } })
  keeper.begins(child.pid)
  const [line] = await once(child.stdout, "data")
  return { child, grandchild: Number(line.toString()) }
}
const [kept, gone] = [await start(), await start()]
keeper.ends(gone.child.pid)
console.log(JSON.stringify([kept.grandchild, gone.grandchild]))
setInterval(() => undefined, 1000)
`

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false // it has ended
  }
}

async function until(condition: () => boolean, name: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited 10 s for: ${name}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test("a group that has not ended is killed when its owner is, even with SIGKILL; one that has is left alone", async () => {
  if (process.platform !== "linux") return void console.warn("SKIPPED: needs linux: groups that outlive their owner")
  const parent = spawnChild({ command: process.execPath, args: ["--input-type=module", "-e", PARENT], env })
  const [line] = (await once(parent.stdout as NodeJS.ReadableStream, "data")) as [Buffer]
  const [kept, gone] = JSON.parse(line.toString()) as [number, number]
  expect([isAlive(kept), isAlive(gone)]).toEqual([true, true])
  parent.process.kill("SIGKILL")
  await until(() => !isAlive(kept), "the kept grandchild to be gone")
  expect(isAlive(gone)).toBe(true)
  process.kill(gone, "SIGKILL")
})
