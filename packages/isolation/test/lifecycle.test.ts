/** How children end, and that nothing of them is left: no process, control group, folder or descriptor. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { spawnChild } from "@fn/process"
import { isAlive, processesWith, until, watchChildren } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { readHierarchies } from "../src/cgroup/hierarchies.js"
import { startIsolation } from "../src/index.js"
import { pidNamespace } from "../src/process-id.js"
import { can, launchShell, outcomeOf, runShell, testHost } from "./support/host.js"

const host = testHost()
const levels = ["process", "sandbox"] as const
const ready = can("the end of children", "bwrap", "root")
/** Control groups of this machine's hosts, one folder per hierarchy and host. */
const groupFolders = (): string[] =>
  readHierarchies().flatMap(({ ownFolder }) => {
    const parent = join(ownFolder, "fn")
    return existsSync(parent)
      ? readdirSync(parent, { withFileTypes: true })
          .filter((e) => e.isDirectory())
          .map(({ name }) => join(parent, name))
      : []
  })
const ownGroups = (): string[] => groupFolders().filter((folder) => folder.includes(`/${process.pid}-`))
const childGroups = (): string[] =>
  ownGroups().flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map(({ name }) => join(folder, name)),
  )
const ownFolders = (): string[] =>
  readdirSync(tmpdir())
    .filter((name) => name.startsWith("fn-isolation-"))
    .flatMap((name) => readdirSync(join(tmpdir(), name)).map((inner) => join(name, inner)))

describe.each(levels)("PL-6: the end of a child at level %s", (level) => {
  test("SIGTERM comes first, and one that heeds it ends by itself", async () => {
    if (!ready) return
    const child = await launchShell(host, 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.01; done', { level })
    await until(() => child.stdout?.readableLength, { name: "the child to be up" })
    const outcome = outcomeOf(child)
    await child.close({ graceMs: 10_000 })
    const { stdout, end } = await outcome
    expect([stdout, end.exit.code, end.reason]).toEqual(["up\nbye\n", 3, undefined])
  })

  test("one that ignores SIGTERM is killed after the grace", async () => {
    if (!ready) return
    const child = await launchShell(host, 'trap "" TERM; echo up; while :; do sleep 0.01; done', { level })
    await until(() => child.stdout?.readableLength, { name: "the child to be up" })
    const end = await child.close({ graceMs: 100, reason: "OUTPUT_LIMIT" })
    expect(end).toMatchObject({ reason: "OUTPUT_LIMIT", message: expect.stringContaining("OUTPUT_LIMIT") })
    expect(isAlive(child.pid)).toBe(false)
  })

  test("one that is stopped is ended like any other", async () => {
    if (!ready) return
    const child = await launchShell(host, "kill -STOP $$; sleep 60", { level })
    await until(() => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, "utf8")), { name: "the child to be stopped" })
    await child.close({ graceMs: 50 })
    expect(isAlive(child.pid)).toBe(false)
  })

  test("what left its session and its parents goes, too", async () => {
    if (!ready) return
    const mark = `61.${process.pid}`
    const { end } = await runShell(
      host,
      `setsid setsid sleep ${mark} & setsid sh -c 'trap "" TERM HUP; sleep ${mark}; sleep 60' & sleep 0.1; exit 0`,
      { level },
    )
    expect(end.exit.code).toBe(0)
    expect(processesWith(`sleep ${mark}`)).toEqual([])
  })

  test("a hundred dead grandchildren are buried", async () => {
    if (!ready) return
    const child = await launchShell(host, "n=0; while [ $n -lt 100 ]; do (sh -c 'exit 0' &) ; n=$((n+1)); done; echo done; read -r _", {
      level,
      stdio: ["pipe", "pipe", "pipe"],
    })
    await until(() => child.stdout?.readableLength, { name: "all to be born" })
    await until(async () => ((await child.usage()).pids ?? 0) <= 4, { name: "the dead to be gone" })
    child.stdin?.end()
    await outcomeOf(child)
  })

  test("usage and limits of one that has ended are those of its end, and closing again is no error", async () => {
    if (!ready) return
    const child = await launchShell(host, "exit 5", { level })
    const end = await child.ended
    expect(end).toMatchObject({ exit: { code: 5 }, probable: false })
    expect(end.usage.cpuUs).toBeGreaterThan(0)
    expect(await child.close()).toBe(end)
    expect(await child.terminate()).toEqual(end.exit)
    expect(child.kill()).toBe(false)
    expect((await child.verify()).some(({ holds }) => !holds)).toBe(true)
  })

  test("PL-6: a hundred lives leave nothing", async () => {
    if (!ready) return
    const children = watchChildren()
    const descriptors = (): string[] =>
      readdirSync("/proc/self/fd")
        .map((fd) => linkOf(fd))
        .filter((link) => !link.includes("/proc"))
        .sort()
    await runShell(host, "true", { level })
    const before = descriptors().length
    for (let life = 0; life < 100; life++) {
      const child = await launchShell(host, life % 2 ? "setsid sleep 60 & exit 0" : "read -r _ || sleep 60", {
        level,
        limits: { memoryBytes: 64 << 20, pids: 32, cpu: 1 },
        stdio: ["pipe", "pipe", "pipe"],
      })
      if (life % 2) await child.ended
      else await child.close({ graceMs: life % 4 ? 0 : 50 })
    }
    await children.settled()
    await until(() => descriptors().length <= before, { name: "every descriptor to be closed" })
    expect(childGroups()).toEqual([])
    expect(ownFolders().filter((path) => path.includes("child-"))).toEqual([])
  }, 120_000)
})

describe("PL-6: many children", () => {
  test("twenty start at once, each its own user, and end together with their host", async () => {
    if (!ready) return
    const isolation = await startIsolation()
    const start = (n: number) => launchShell({ ...host, isolation, node: host.node }, "sleep 60", { level: n % 2 ? "process" : "sandbox" })
    const children = await Promise.all(Array.from({ length: 20 }, (_, n) => start(n)))
    expect(new Set(children.map(({ uid }) => uid)).size).toBe(20)
    await isolation.close()
    await isolation.close()
    expect(children.filter(({ pid }) => isAlive(pid))).toEqual([])
    await expect(start(0)).rejects.toMatchObject({ reason: "HOST_DRAINING" })
  })

  test("a host that is closed while children start leaves none", async () => {
    if (!ready) return
    const isolation = await startIsolation()
    const starts = Array.from({ length: 5 }, () => launchShell({ ...host, isolation, node: host.node }, "sleep 62", {}))
    const closed = isolation.close()
    const outcomes = await Promise.allSettled(starts)
    await closed
    for (const outcome of outcomes) if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ reason: "HOST_DRAINING" })
    expect(processesWith("sleep 62")).toEqual([])
  })
})

describe("PL-6: a host that is killed", () => {
  /** A process that starts children as a host does, says so, and waits. */
  const program = (script: string): string => `
    import { startIsolation } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)}
    const isolation = await startIsolation()
    const launch = (level) => isolation.launch({ level, command: "/bin/sh", args: ["-c", ${JSON.stringify(script)}], limits: { memoryBytes: 64 << 20, pids: 32 }, system: level === "sandbox" ? "programs" : "none" })
    const children = await Promise.all([launch("process"), launch("sandbox")])
    console.log(JSON.stringify(children.map(({ pid }) => pid)))
    setInterval(() => {}, 1000)`

  test("takes its children, and what they started, with it", async () => {
    if (!ready) return
    const mark = `63.${process.pid}`
    const child = spawnChild({
      command: process.execPath,
      args: ["--input-type=module", "-e", program(`setsid sleep ${mark} & sleep ${mark}`)],
      env: { PATH: process.env.PATH ?? "" },
    })
    const [line] = await until(() => child.stdout?.read() as Buffer | null, { name: "the host to have children", timeoutMs: 20_000 }).then(
      (data) => [String(data)],
    )
    const pids = JSON.parse(line as string) as number[]
    const folders = groupFolders().filter((folder) => folder.includes(`/${child.pid}-`))
    expect(folders.length).toBeGreaterThan(0)
    await until(() => processesWith(`sleep ${mark}`).length >= 4, { name: "the grandchildren" })
    process.kill(child.pid as number, "SIGKILL")
    await until(() => pids.every((pid) => !isAlive(pid)), { name: "the children to be gone" })
    await until(() => processesWith(`sleep ${mark}`).length === 0, { name: "the grandchildren to be gone" })
    await until(() => folders.every((folder) => !existsSync(folder)), { name: "its control groups to be gone", timeoutMs: 10_000 })
  })

  test("without having been able to clean up is cleaned up after by the next", async () => {
    if (!ready) return
    // A group as one leaves that was killed together with its keeper: its number may live again, but then it started at another time.
    const name = `${process.pid}-1-${pidNamespace()}-1`
    const folders = readHierarchies()
      .filter(({ version, controllers }) => version === 2 || controllers.includes("pids"))
      .map(({ ownFolder }) => join(ownFolder, "fn", name))
    for (const folder of folders) mkdirSync(join(folder, "child-x"), { recursive: true })
    const left = spawnChild({
      command: "/bin/sh",
      args: [
        "-c",
        `for f in ${folders.map((folder) => join(folder, "child-x", "cgroup.procs")).join(" ")}; do echo $$ > $f; done; sleep 64`,
      ],
      env: { PATH: "/usr/bin:/bin" },
    })
    const foreign = readHierarchies()
      .slice(0, 1)
      .map(({ ownFolder }) => join(ownFolder, "fn", `${process.pid}-1-1-1`))
    for (const folder of foreign) mkdirSync(folder)
    try {
      await until(
        () => folders.every((folder) => readFileSync(join(folder, "child-x", "cgroup.procs"), "utf8").includes(String(left.pid))),
        { name: "the left-over to be in its group" },
      )
      await (await startIsolation()).close()
      expect(folders.filter((folder) => existsSync(folder))).toEqual([])
      await until(() => left.exit, { name: "the left-over to be gone" })
      expect(foreign.filter((folder) => existsSync(folder))).toEqual(foreign)
    } finally {
      left.kill("SIGKILL")
      for (const folder of foreign) rmdirSync(folder)
    }
  })
})

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return "/proc" // the descriptor of the listing itself
  }
}
