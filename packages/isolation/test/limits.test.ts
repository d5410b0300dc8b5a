/** Children that take all they can get. Each runs under limits that were read back before it started, and is killed when a test takes too long. */
import { readdirSync, readFileSync } from "node:fs"
import { isAlive, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import type { LaunchOptions } from "../src/index.js"
import { can, launchNode, launchShell, outcomeOf, runNode, runShell, testHost } from "./support/host.js"

const MIB = 1024 * 1024
const host = testHost()
/** Control groups are made by root here. */
const grouped = can("limits by control group", "root", "bwrap")
const levels = ["process", "sandbox"] as const

describe.each(levels)("PL-6: the limits of a child at level %s", (level) => {
  test("a fork bomb is refused its processes, and nothing of it is left", async () => {
    if (!grouped) return
    const bomb = "bomb() { bomb | bomb & }; bomb; while :; do sleep 0.01; done"
    const child = await launchShell(host, bomb, { level, limits: { pids: 20, memoryBytes: 64 * MIB } })
    await until(async () => (await child.violations()).pids > 0, { name: "the bomb to be refused", timeoutMs: 10_000 })
    expect((await child.usage()).pids).toBeLessThanOrEqual(22)
    const end = await child.close({ graceMs: 0, reason: "FUNCTION_TIMEOUT" })
    expect(end.violations.pids).toBeGreaterThan(0)
    // A shell that cannot start anything may give up before it is ended.
    expect(["FUNCTION_TIMEOUT", "PIDS_LIMIT"]).toContain(end.reason)
  })

  test("Node that starts processes without end fails by itself, for PIDS_LIMIT", async () => {
    if (!grouped) return
    const script = `const { spawn } = require("child_process")
      for (let n = 0; n < 200; n++) spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" })`
    const { end } = await runNode(host, script, { level, limits: { pids: 24, memoryBytes: 512 * MIB } })
    expect(end.exit.code === 0 ? "no failure" : end.reason).toBe("PIDS_LIMIT")
  })

  test.each([
    ["JavaScript objects", "const kept = []; for (;;) kept.push(new Array(1e5).fill(0).map((_, i) => ({ i })))"],
    ["buffers outside of the heap", "const kept = []; for (;;) kept.push(Buffer.alloc(8 << 20, 1))"],
    [
      "WebAssembly memory",
      "const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); for (;;) { m.grow(64); new Uint8Array(m.buffer).fill(1) }",
    ],
  ])("a child that fills memory with %s is killed, for MEMORY_LIMIT", async (_what, script) => {
    if (!grouped) return
    const { end } = await runNode(host, script, {
      level,
      args: ["--max-old-space-size=4096", "-e", script],
      limits: { memoryBytes: 96 * MIB, pids: 32 },
    })
    expect(end).toMatchObject({
      reason: "MEMORY_LIMIT",
      probable: false,
      message: expect.stringContaining(`more than its ${96 * MIB} bytes`),
    })
    expect(end.usage.memoryPeakBytes).toBeGreaterThan(80 * MIB)
    expect(end.usage.memoryPeakBytes).toBeLessThanOrEqual(97 * MIB)
  })

  test("a child that spins gets its share of the processors, and the rest goes to others", async () => {
    if (!grouped) return
    const child = await launchShell(host, "while :; do :; done", { level, limits: { cpu: 0.2, pids: 16 } })
    const startedAt = performance.now()
    const [before, throttledBefore] = await child.usage().then(({ cpuUs, throttled }) => [cpuUs ?? 0, throttled ?? 0] as const)
    await until(async () => ((await child.usage()).throttled ?? 0) > throttledBefore + 5, {
      name: "the child to be throttled",
      timeoutMs: 10_000,
    })
    const used = ((await child.usage()).cpuUs ?? 0) - before
    // A fifth, and what a period may begin with.
    expect(used / 1000).toBeLessThan((performance.now() - startedAt) * 0.2 + 100)
    await child.close({ graceMs: 0 })
  })

  test("a child that has used up its processor time is ended, for CPU_LIMIT", async () => {
    if (!grouped) return
    const { end } = await runShell(host, "while :; do :; done", { level, limits: { cpuTimeMs: 200, pids: 16 } })
    expect(end.reason).toBe("CPU_LIMIT")
    expect(end.usage.cpuUs).toBeGreaterThan(200_000)
  })

  test("a child that opens files without end is refused, and its host is not", async () => {
    if (!can("bounded files", ...(level === "sandbox" ? (["bwrap"] as const) : []))) return
    const script = `const fs = require("fs"); let count = 0
      try { for (;;) { fs.openSync("/proc/self/status"); count++ } } catch (e) { console.log(e.code, count < 64) }`
    const options: Partial<LaunchOptions> = { level, limits: { openFiles: 64 }, acceptSoft: ["user", "kill"] }
    const { stdout } = await runNode(host, script, options)
    expect(stdout.trim()).toBe("EMFILE true")
    expect(readdirSync("/proc/self/fd").length).toBeGreaterThan(0)
  })

  test("a child cannot write a file larger than it may, nor leave a core dump", async () => {
    if (!can("bounded file sizes", ...(level === "sandbox" ? (["bwrap"] as const) : []))) return
    const script = "head -c 2000000 /dev/zero > $TMPDIR/big; wc -c < $TMPDIR/big; ulimit -c"
    const { stdout } = await runShell(host, script, { level, limits: { fileBytes: MIB }, acceptSoft: ["user", "kill"] })
    expect(stdout.trim().split(/\s+/)).toEqual([String(MIB), "0"])
  })

  test("a child cannot raise its limits", async () => {
    if (!grouped) return
    const script = `ulimit -n 4096; ulimit -f unlimited; ulimit -c unlimited
      for f in /sys/fs/cgroup/*/fn/*/*/pids.max /sys/fs/cgroup/fn/*/*/pids.max; do echo max > $f; done; for f in /sys/fs/cgroup/*/cgroup.procs; do echo $$ > $f; done`
    const child = await launchShell(host, `${script}; echo tried; read -r _`, {
      level,
      stdio: ["pipe", "pipe", "pipe"],
      limits: { pids: 20, memoryBytes: 64 * MIB },
    })
    child.stdout?.once("data", () => undefined)
    await until(async () => (await child.verify()).length > 0, { name: "the read-back" })
    expect((await child.verify()).filter(({ holds }) => !holds)).toEqual([])
    child.stdin?.end()
    await outcomeOf(child)
  })
})

describe("PL-6: what a sandbox keeps in memory is bounded and counted", () => {
  test.each([["/tmp"], ["/dev/shm"]])("a child that fills %s meets the end of it", async (folder) => {
    if (!can("folders in memory", "bwrap")) return
    const script = `head -c 40000000 /dev/zero > ${folder}/fill; echo "$(wc -c < ${folder}/fill)"`
    const { stdout, stderr } = await runShell(host, script, { limits: { tmpBytes: 4 * MIB } })
    expect(Number(stdout)).toBe(4 * MIB)
    expect(stderr).toContain("No space left on device")
  })

  test("the folder of sockets holds a mebibyte, and costs the disk of the host nothing", async () => {
    if (!can("the folder of sockets", "bwrap")) return
    const { stdout, stderr } = await runShell(
      host,
      "stat -f -c %T /run/fn; head -c 40000000 /dev/zero > /run/fn/fill; wc -c < /run/fn/fill",
      { limits: {} },
    )
    expect(stdout.trim().split(/\s+/)).toEqual(["tmpfs", String(MIB)])
    expect(stderr).toContain("No space left on device")
  })

  test.each(["/tmp", "/dev/shm"])("a child whose files in %s are larger than its memory is killed, for MEMORY_LIMIT", async (folder) => {
    if (!grouped) return
    const script = `exec head -c 200000000 /dev/zero > ${folder}/fill`
    const { end } = await runShell(host, script, { limits: { memoryBytes: 24 * MIB, tmpBytes: 512 * MIB, fileBytes: 512 * MIB, pids: 16 } })
    expect(end.reason).toBe("MEMORY_LIMIT")
  })

  test.each(["/", "/dev", "/run", "/proc", "/usr", "/etc"])("nothing can be written to %s", async (folder) => {
    if (!can("read-only folders", "bwrap")) return
    const { stdout } = await runShell(host, `(echo x > ${folder}/file) 2>/dev/null && echo written`)
    expect(stdout).toBe("")
  })
})

describe("PL-6: what a child uses is measured", () => {
  test.each(levels)("at level %s", async (level) => {
    if (!grouped) return
    const script =
      "const kept = Buffer.alloc(32 << 20, 1); const end = Date.now() + 50; while (Date.now() < end); console.log(kept.length); process.stdin.resume()"
    const child = await launchNode(host, script, { level, stdio: ["pipe", "pipe", "pipe"] })
    const usage = await until(
      async () => {
        const now = await child.usage()
        return (now.memoryBytes ?? 0) > 32 * MIB && now
      },
      { name: "the child to have its memory", timeoutMs: 10_000 },
    )
    expect(usage).toMatchObject({ source: "group", pids: expect.any(Number) })
    expect(usage.memoryPeakBytes).toBeGreaterThanOrEqual(usage.memoryBytes as number)
    expect(usage.cpuUs).toBeGreaterThan(10_000)
    expect(readFileSync(`/proc/${child.pid}/cmdline`, "utf8")).toContain("Buffer.alloc")
    child.stdin?.end()
    const { end } = await outcomeOf(child)
    expect(end.usage.memoryPeakBytes).toBeGreaterThan(32 * MIB)
    expect(isAlive(child.pid)).toBe(false)
  })
})
