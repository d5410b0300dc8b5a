/** Cancelling by id, in every kind of function that runs in a process of its own, whether the function listens or not. */
import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"
import { isAlive, processTree, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { type Platform, startPlatform } from "../support/platform.mjs"

const PLUGIN = fileURLToPath(new URL("./fixtures/patient/main.mjs", import.meta.url))
const GO_SOURCE = fileURLToPath(new URL("./fixtures/patient-go", import.meta.url))
const MODULE = `
import { setTimeout as delay } from "node:timers/promises"
export default async (event, { signal }) => {
  if (event.data?.loop) for (;;);
  await delay(60_000, undefined, event.data?.deaf ? {} : { signal })
}
`
/** Reads its event from stdin and ignores it. The one that is deaf ignores SIGTERM too. */
const SHELL = `cat > /dev/null; sleep 60`
const DEAF_SHELL = `trap "" TERM; cat > /dev/null; for i in 1 2 3 4 5 6; do sleep 10; done`

const go = findOnPath("go")

async function buildGo(out: string): Promise<string> {
  const env = { ...(process.env as Record<string, string>), CGO_ENABLED: "0" }
  const child = spawnChild({ command: go as string, args: ["build", "-o", out, "."], cwd: GO_SOURCE, env })
  let output = ""
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => (output += chunk.toString()))
  const exit = await child.exited
  if (exit.code !== 0) throw new Error(`go build: ${output}`)
  return out
}

describe("R-IV-5: cancelling an invocation that runs", () => {
  let platform: Platform

  beforeAll(async () => {
    platform = await startPlatform()
    await platform.deployModule("module", MODULE)
    await platform.deployPlugin("plugin-ts", [process.execPath, PLUGIN])
    await platform.registry.deploy({ name: "command", language: "shell", runtime: "command", command: ["/bin/sh", "-c", SHELL] })
    await platform.registry.deploy({ name: "command-deaf", language: "shell", runtime: "command", command: ["/bin/sh", "-c", DEAF_SHELL] })
    if (go) await platform.deployPlugin("plugin-go", [await buildGo(platform.folder.file("patient-go"))], { language: "go" })
  }, 180_000)
  afterAll(() => platform.dispose())

  /** Cancels it once it runs; gives what became of it, and how long that took. */
  async function cancelRunning(name: string, data: unknown): Promise<{ status: string; tookMs: number; id: string }> {
    const id = await platform.client.invokeAsync(name, { type: "wait", data })
    await until(async () => (await platform.client.status(id, { function: name })).status === "running", {
      name: `${name} to run`,
      timeoutMs: 30_000,
    })
    const began = performance.now()
    const { status } = await platform.client.cancel(id)
    return { status, tookMs: performance.now() - began, id }
  }

  const listening: [kind: string, name: string][] = [
    ["a module", "module"],
    ["a TypeScript plugin", "plugin-ts"],
    ["a Go plugin", "plugin-go"],
    ["a command", "command"],
  ]
  test.each(listening)(
    "reaches %s at once, and its result is CANCELLED",
    async (_kind, name) => {
      if (name === "plugin-go" && !go) return console.warn("SKIPPED: needs go: cancelling a Go plugin")
      const { status, tookMs, id } = await cancelRunning(name, {})
      expect(status).toBe("cancelled")
      // Its own word is a second; the rest is for a busy machine.
      expect(tookMs).toBeLessThan(2_000)
      await expect(platform.client.result(id, { timeoutMs: 5_000 })).rejects.toMatchObject({ code: "cancelled", reason: "CANCELLED" })
      await until(async () => (await platform.client.status(id)).execution?.status === "cancelled", { name: "its record" })
    },
    60_000,
  )

  const deaf: [kind: string, name: string, data: unknown][] = [
    ["a module that ignores its signal", "module", { deaf: true }],
    ["a module in an endless loop", "module", { loop: true }],
    ["a TypeScript plugin that ignores its signal", "plugin-ts", { deaf: true }],
    ["a Go plugin that ignores its context", "plugin-go", { deaf: true }],
    ["a command that ignores SIGTERM", "command-deaf", {}],
  ]
  test.each(deaf)(
    "kills %s, and its result is CANCELLED all the same",
    async (_kind, name, data) => {
      if (name === "plugin-go" && !go) return console.warn("SKIPPED: needs go: cancelling a Go plugin")
      const host = platform.hosts[0]
      if (!host) throw new Error("there is no host")
      const before = new Set(processTree(host.pid).map(({ pid }) => pid))
      const { status } = await cancelRunning(name, data)
      expect(status).toBe("cancelled")
      const ran = processTree(host.pid).map(({ pid }) => pid)
      // What ran it is gone soon: either it was there before, or it was started for it.
      await until(() => ran.some((pid) => !isAlive(pid)) || [...before].some((pid) => !isAlive(pid)), {
        name: "its process to be killed",
        timeoutMs: 15_000,
      })
      // And the next call finds a working instance.
      const id = await platform.client.invokeAsync(name, { type: "wait", data: {} })
      await until(async () => (await platform.client.status(id, { function: name })).status === "running", {
        name: "the next one to run",
        timeoutMs: 30_000,
      })
      expect((await platform.client.cancel(id)).status).toBe("cancelled")
    },
    60_000,
  )

  test("that waits in the queue keeps it from running", async () => {
    const { client } = platform
    const id = await client.invokeAsync("module", { type: "wait" }, { delayMs: 60_000 })
    await until(async () => (await client.status(id, { function: "module" })).status === "pending", { name: "it to wait" })
    expect((await client.cancel(id)).status).toBe("cancelled")
    await expect(client.result(id, { timeoutMs: 5_000 })).rejects.toMatchObject({ reason: "CANCELLED" })
  }, 60_000)
})
