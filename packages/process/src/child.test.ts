import { once } from "node:events"
import { readFileSync } from "node:fs"
import { describe, expect, test } from "@jest/globals"
import { spawnChild } from "./child.js"
import { describeExit } from "./exit.js"
import { canTether } from "./tether.js"

const env = { PATH: process.env.PATH ?? "" }

function isAlive(pid: number): boolean {
  try {
    // A zombie still answers kill(pid, 0): its state tells.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

async function until(condition: () => boolean, name: string): Promise<void> {
  const end = Date.now() + 5_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited 5 s for: ${name}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe("spawnChild", () => {
  test("exited tells the exit code", async () => {
    const child = spawnChild({ command: "sh", args: ["-c", "exit 3"], env })
    expect(describeExit(await child.exited)).toBe("exit code 3")
  })

  test("a command that does not exist ends with its reason", async () => {
    const exit = await spawnChild({ command: "/nonexistent/program", env }).exited
    expect(exit.spawnError !== undefined || exit.code !== 0).toBe(true)
  })

  test("terminate kills a child that ignores SIGTERM after the grace", async () => {
    const child = spawnChild({ command: "sh", args: ["-c", "trap '' TERM; echo up; while true; do sleep 1; done"], env })
    await once(child.stdout as NodeJS.ReadableStream, "data")
    expect((await child.terminate({ graceMs: 100 })).signal).toBe("SIGKILL")
  })

  test("a grandchild that holds the pipes goes with the child", async () => {
    const child = spawnChild({ command: "sh", args: ["-c", "sleep 60 & echo $!"], env })
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer]
    const grandchild = Number(line.toString())
    await child.exited
    await until(() => !isAlive(grandchild), "the grandchild to be gone")
  })

  test("nothing of our environment is inherited", async () => {
    const child = spawnChild({ command: "/usr/bin/env", env: { ONLY: "this" } })
    const [out] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer]
    expect(out.toString()).toBe("ONLY=this\n")
  })

  test("a child that gives up its rights has none, gets none back, and still dies with its parent", async () => {
    if (!canTether()) return void console.warn("SKIPPED: needs setpriv: a child that gives up its rights")
    const uid = process.getuid?.() === 0 ? 200_000 : undefined
    const script = "grep -E '^(Uid|Groups|CapBnd|NoNewPrivs):' /proc/self/status; echo end; sleep 60"
    const child = spawnChild({ command: "sh", args: ["-c", script], env, rights: uid === undefined ? {} : { uid } })
    let status = ""
    child.stdout?.on("data", (chunk: Buffer) => (status += chunk.toString()))
    await until(() => status.includes("end"), "the child's status")
    await child.terminate({ graceMs: 0 })
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
    if (uid === undefined) return
    expect(status).toMatch(/^Uid:\s+200000\s+200000\s+200000\s+200000$/m)
    expect(status).toMatch(/^Groups:\s*$/m)
    expect(status).toMatch(/^CapBnd:\s+0000000000000000$/m)
  })

  test("a child that loops dies when its parent is killed with SIGKILL", async () => {
    if (!canTether()) return void console.warn("SKIPPED: needs setpriv: a looping child whose parent is killed")
    const parent = spawnChild({
      command: process.execPath,
      args: [
        "--input-type=module",
        "-e",
        `import { spawnChild } from ${JSON.stringify(new URL("../dist/child.js", import.meta.url).href)}
         const rights = process.getuid() === 0 ? { uid: 200000 } : {}
         const child = spawnChild({ command: process.execPath, args: ["-e", "for(;;);"], env: {}, rights })
         process.stdout.write(String(child.pid)); setInterval(() => {}, 1000)`,
      ],
      env,
    })
    const [out] = (await once(parent.stdout as NodeJS.ReadableStream, "data")) as [Buffer]
    const looping = Number(out.toString())
    expect(isAlive(looping)).toBe(true)
    // Only the parent: kill() would take its group, and the child stands in another.
    process.kill(parent.pid as number, "SIGKILL")
    await until(() => !isAlive(looping), "the looping child to be gone")
  })
})
