/** What every child gets and does not get, and how its start fails. */
import { once } from "node:events"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { findOnPath } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { startIsolation } from "../src/index.js"
import { can, launchShell, outcomeOf, runNode, runShell, testHost } from "./support/host.js"

const host = testHost()
const levels = ["process", "sandbox"] as const

describe.each(levels)("PL-6: a child at level %s", (level) => {
  const ready = can(`children at level ${level}`, ...(level === "sandbox" ? (["bwrap"] as const) : []))

  test("runs as nobody that anybody else is, and every promise reads back", async () => {
    if (!ready) return
    const limits = { memoryBytes: 64 * 1024 * 1024, pids: 32, cpu: 0.5, openFiles: 128, fileBytes: 1024 * 1024 }
    const soft = ["memory", "pids", "cpu", "user", "kill"] as const
    const child = await launchShell(host, "read -r _", { level, limits, stdio: ["pipe", "pipe", "pipe"], acceptSoft: soft })
    const checks = await child.verify()
    expect(checks.filter(({ holds }) => !holds)).toEqual([])
    expect(checks.length).toBeGreaterThan(5)
    child.stdin?.end()
    await outcomeOf(child)
  })

  test("has the environment it was given and nothing else, whatever is in it", async () => {
    if (!ready) return
    const env = {
      PLAIN: "x",
      QUOTED: `it's "here" $HOME \`id\` \\ %s`,
      LINES: "one\ntwo\n",
      EMPTY: "",
      HOME: "/tmp",
      TMPDIR: "/tmp",
      PATH: "/usr/bin:/bin",
    }
    const { stdout } = await runNode(host, "console.log(JSON.stringify(process.env))", { level, env })
    const { PWD, ...seen } = JSON.parse(stdout)
    expect(seen).toEqual(env)
  })

  test("a variable that makes the dynamic linker run foreign code reaches the command alone", async () => {
    if (!ready) return
    const { stdout, stderr, end } = await runShell(host, "echo ran", { level, env: { LD_PRELOAD: "/nonexistent/evil.so" } })
    expect([stdout, end.exit.code]).toEqual(["ran\n", 0])
    // Once, by the shell that is the command: neither setpriv nor the gate nor bubblewrap saw it.
    expect(stderr.match(/evil\.so/g)).toHaveLength(1)
  })

  test("its environment shows on no command line", async () => {
    if (!ready) return
    const secret = "s3cret-value"
    const { stdout } = await runShell(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", {
      level,
      env: { PATH: "/usr/bin:/bin", KEY: secret },
    })
    expect(stdout).toContain("cat /proc/")
    expect(stdout).not.toContain(secret)
  })

  test("inherits no descriptors but those it was given", async () => {
    if (!ready) return
    const script =
      "console.log(require('fs').readdirSync('/proc/self/fd').filter((fd) => { try { return require('fs').readlinkSync('/proc/self/fd/' + fd).startsWith('socket:') } catch { return false } }).join())"
    const plain = await runNode(host, script, { level })
    expect(plain.stdout.trim()).toBe("1,2")
    const more = await runNode(host, script, { level, stdio: ["ignore", "pipe", "pipe", "pipe"] })
    expect(more.stdout.trim()).toBe("1,2,3")
  })

  test("talks to its host over a descriptor of its own", async () => {
    if (!ready) return
    const child = await launchShell(host, "read -r line <&3; echo got $line >&3", { level, stdio: ["ignore", "pipe", "pipe", "pipe"] })
    const socket = child.process.stdio[3] as Duplex
    socket.write("hello\n")
    expect(String((await once(socket, "data"))[0])).toBe("got hello\n")
    await outcomeOf(child)
  })

  test("loses nothing of what a command prints that is quicker than its host", async () => {
    if (!ready) return
    const { stdout, stderr, end } = await runShell(host, "echo out; echo err >&2; exit 7", { level })
    expect([stdout, stderr, end.exit.code]).toEqual(["out\n", "err\n", 7])
  })

  test("a command that is not there fails its start", async () => {
    if (!ready) return
    await expect(host.isolation.launch({ level, command: "/nonexistent/program" })).rejects.toMatchObject({
      reason: "PLUGIN_NOT_EXECUTABLE",
      message: expect.stringContaining("/nonexistent/program"),
    })
  })

  test("the caller can give a start up", async () => {
    if (!ready) return
    const abort = new AbortController()
    const launched = launchShell(host, "sleep 30", { level, signal: abort.signal })
    abort.abort()
    await expect(launched).rejects.toMatchObject({ reason: "CANCELLED" })
  })

  test.each([
    ["a relative command", { command: "sh" }],
    ["too few processes for Node to start", { limits: { pids: 4 } }],
    ["no memory to speak of", { limits: { memoryBytes: 1024 } }],
    ["a limit that is no number", { limits: { cpu: Number.NaN } }],
    ["a NUL in a variable", { env: { X: "a\0--bind\0/\0/host" } }],
  ])("is refused with %s", async (_what, options) => {
    if (!ready) return
    await expect(host.isolation.launch({ level, command: "/bin/sh", ...options })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
  })
})

test.each(["bash", "dash", "busybox"])("the gate is any POSIX shell: %s", async (name) => {
  const program = findOnPath(name)
  if (program === undefined) return void console.warn(`SKIPPED: needs ${name}: children through that shell`)
  const folder = mkdtempSync(join(tmpdir(), "fn-shell-"))
  // Shells look at the name they are called by.
  const shell = join(folder, "sh")
  symlinkSync(program, shell)
  chmodSync(folder, 0o755)
  try {
    await using isolation = await startIsolation({ shell })
    const env = { LINES: "one\ntwo\n", QUOTED: `it's "here" $HOME`, IFS: "x", PATH: "/usr/bin:/bin", HOME: "/", TMPDIR: "/" }
    const limits = { openFiles: 100, fileBytes: 1024 * 1024 }
    const options = { level: "process", limits, env, acceptSoft: ["user", "kill", "handles"] } as const
    const { stdout } = await runNode({ isolation, node: host.node }, "console.log(JSON.stringify(process.env))", options)
    // bash sets these two for everything it becomes.
    const { _, SHLVL, ...seen } = JSON.parse(stdout)
    expect(seen).toEqual(env)
    const child = await launchShell({ isolation, node: host.node }, "read -r _", { ...options, stdio: ["pipe", "pipe", "pipe"] })
    expect((await child.verify()).filter(({ holds }) => !holds)).toEqual([])
    await child.close({ graceMs: 0 })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("a process works in a folder of its own, which goes with it", async () => {
  if (!can("the folder of a process")) return
  const accept = { acceptSoft: ["user", "kill"] as const }
  const { stdout } = await runShell(host, 'pwd; echo "$HOME $TMPDIR"; echo x > file && ls', { level: "process", limits: {}, ...accept })
  const [folder, ...rest] = stdout.trim().split("\n")
  expect(rest).toEqual([`${folder} ${folder}`, "file"])
  expect(folder).toContain("fn-isolation-")
  await expect(runShell(host, "true", { level: "process", limits: {}, cwd: folder as string, ...accept })).rejects.toThrow(/does not exist/)
})

test("a process cannot ask for what only a sandbox has", async () => {
  if (!can("requests at level process")) return
  const base = { level: "process", command: "/bin/sh", acceptSoft: ["user", "kill"] } as const
  await expect(host.isolation.launch({ ...base, network: { kind: "none" } })).rejects.toMatchObject({
    reason: "ISOLATION_UNAVAILABLE",
    message: expect.stringContaining("network: it shares the network of the host"),
    details: { unavailable: [expect.objectContaining({ guarantee: "network", available: "absent" })] },
  })
  await expect(host.isolation.launch({ ...base, system: "programs" })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
})

test("a sandbox shows the files it was granted, where it was told to", async () => {
  if (!can("files of a sandbox", "bwrap")) return
  const folder = mkdtempSync(join(tmpdir(), "fn-grant-"))
  try {
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, "read.txt"), "content\n")
    mkdirSync(join(folder, "data"))
    chmodSync(join(folder, "data"), 0o1777)
    const files = [
      { path: join(folder, "read.txt"), at: "/fn/read.txt" },
      { path: join(folder, "data"), at: "/data", writable: true },
    ]
    const script = "cat /fn/read.txt; echo x > /fn/read.txt; echo y > /data/out && echo written; touch /fn/new"
    const { stdout, stderr } = await runShell(host, script, { files })
    expect(stdout).toBe("content\nwritten\n")
    expect(stderr.match(/Read-only file system/g)).toHaveLength(2)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.each([
  ["/proc/self", "INVALID_REQUEST"],
  ["/etc/../etc/passwd", "INVALID_REQUEST"],
  ["relative", "INVALID_REQUEST"],
  ["/", "INVALID_REQUEST"],
  ["/run/fn/x", "INVALID_REQUEST"],
  ["/nonexistent", "ISOLATION_UNAVAILABLE"],
])("a sandbox is not granted %s", async (path, reason) => {
  if (!can("refused grants", "bwrap")) return
  await expect(runShell(host, "true", { files: [{ path }] })).rejects.toMatchObject({ reason })
})

test("a folder is granted for writing only if the child's own user may write there", async () => {
  if (!can("grants for writing", "bwrap", "root")) return
  await expect(runShell(host, "true", { files: [{ path: "/etc/ssl", at: "/data", writable: true }] })).rejects.toMatchObject({
    reason: "ISOLATION_UNAVAILABLE",
    message: expect.stringContaining("chmod 1777"),
  })
})

test("a file that the child's own user cannot reach fails the start, saying so", async () => {
  if (!can("unreachable files", "bwrap", "root")) return
  const folder = mkdtempSync(join(tmpdir(), "fn-closed-"))
  try {
    writeFileSync(join(folder, "file"), "x")
    await expect(runShell(host, "true", { files: [{ path: join(folder, "file") }] })).rejects.toMatchObject({
      reason: "ISOLATION_UNAVAILABLE",
      message: expect.stringMatching(/Permission denied.*users of their own/s),
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
