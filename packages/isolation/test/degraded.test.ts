/** Hosts that cannot enforce everything: they say what and why, and refuse what is asked of them. */
import { text } from "node:stream/consumers"
import { describeExit, spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import type { IsolationReport, Level } from "../src/index.js"
import { startIsolation } from "../src/index.js"
import { can } from "./support/host.js"

const MIB = 1024 * 1024
const ready = can("hosts that cannot enforce everything", "bwrap", "root")

/** One launch that a host is asked for. */
interface Wish {
  readonly level: Level
  readonly script: string
  readonly limits?: Record<string, number>
  readonly acceptSoft?: readonly string[]
}

/** What became of it. */
type Granted = {
  stdout: string
  stderr: string
  end: { reason?: string; probable: boolean; exit: { code: number | null } }
  broken: unknown[]
}
type Refused = { refused: string; message: string; unavailable?: { guarantee: string; available: string }[] }

interface HostStory {
  readonly report: IsolationReport
  readonly outcomes: (Granted | Refused)[]
}

/** Runs a host as a process of its own; its children begin once everything about them was read back. `before` brings it into its situation after everything was loaded. */
async function hostStory(wishes: readonly Wish[], situation: { before?: string; inside?: readonly string[] }): Promise<HostStory> {
  const program = `
    import { text } from "node:stream/consumers"
    import { startIsolation } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)}
    ${situation.before ?? ""}
    const isolation = await startIsolation()
    const outcomes = []
    for (const { level, script, limits, acceptSoft } of ${JSON.stringify(wishes)}) {
      try {
        const child = await isolation.launch({ level, command: "/bin/sh", args: ["-c", "read -r _; " + script], stdio: ["pipe", "pipe", "pipe"], limits, acceptSoft, system: level === "sandbox" ? "programs" : "none" })
        const broken = (await child.verify()).filter(({ holds }) => !holds)
        child.stdin.end()
        const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
        outcomes.push({ stdout, stderr, broken, end: await child.ended })
      } catch (thrown) {
        outcomes.push({ refused: thrown.reason, message: thrown.message, unavailable: thrown.details?.unavailable })
      }
    }
    console.log(JSON.stringify({ report: isolation.report, outcomes }))
    await isolation.close()`
  const [command = process.execPath, ...args] = [...(situation.inside ?? []), process.execPath, "--input-type=module", "-e", program]
  const child = spawnChild({ command, args, env: { PATH: process.env.PATH ?? "", TMPDIR: "/tmp" } })
  const timer = setTimeout(() => child.kill("SIGKILL"), 40_000)
  const [stdout, stderr, exit] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream),
    text(child.stderr as NodeJS.ReadableStream),
    child.exited,
  ])
  clearTimeout(timer)
  if (exit.code !== 0) throw new Error(`the host ended with ${describeExit(exit)}: ${stderr}`)
  return JSON.parse(stdout) as HostStory
}

/** Grades in one line each: `memory soft RLIMIT_DATA`. */
const grades = ({ report }: HostStory, level: Level): Record<string, string> =>
  Object.fromEntries(Object.entries(report.grades[level]).map(([name, { grade, mechanism }]) => [name, `${grade} ${mechanism}`]))

const EAT = "x=0123456789abcdef; n=0; while [ $n -lt 24 ]; do x=$x$x; n=$((n + 1)); done; echo survived"
const FORK = "n=0; while [ $n -lt 40 ]; do sleep 0.2 & n=$((n + 1)); done; echo survived"

describe("PL-6: a host that is a plain user without control groups of its own", () => {
  const BECOME = "process.setgroups([]); process.setgid(65534); process.setuid(65534)"

  test("has hard sandboxes with soft memory, and says so", async () => {
    if (!ready) return
    const story = await hostStory([], { before: BECOME })
    expect(grades(story, "sandbox")).toEqual({
      memory: "soft RLIMIT_DATA",
      pids: "hard RLIMIT_NPROC in the sandbox",
      cpu: "absent nothing",
      cpuTime: "soft RLIMIT_CPU",
      handles: "hard rlimits",
      files: "hard mount namespace",
      network: "hard network namespace and seccomp",
      syscalls: "hard seccomp",
      user: "hard process-id and user namespace",
      kill: "hard process-id namespace",
    })
    expect(grades(story, "process")).toMatchObject({
      memory: "soft RLIMIT_DATA",
      pids: "absent nothing",
      user: "soft no new privileges",
      kill: "soft process group",
    })
    expect(story.report.mechanisms["cgroup-memory"]).toMatchObject({
      available: false,
      reason: expect.stringMatching(/no group can be made in .*EACCES/),
    })
    expect(story.report.mechanisms.users).toMatchObject({ available: false, reason: expect.stringContaining("not root") })
  })

  test("refuses hard memory and any share of processors, with the reason; takes soft memory where it was accepted", async () => {
    if (!ready) return
    const limits = { memoryBytes: 64 * MIB, pids: 20 }
    const { outcomes } = await hostStory(
      [
        { level: "sandbox", script: "true", limits },
        { level: "sandbox", script: "true", limits: { cpu: 0.5 }, acceptSoft: ["cpu"] },
        { level: "sandbox", script: EAT, limits, acceptSoft: ["memory"] },
        { level: "sandbox", script: FORK, limits, acceptSoft: ["memory"] },
        { level: "sandbox", script: "cat /etc/passwd; (echo x > /usr/x); id -u" },
        { level: "process", script: "true" },
        { level: "process", script: "ulimit -n; id -u", limits: { openFiles: 100 }, acceptSoft: ["user", "kill"] },
      ],
      { before: BECOME },
    )
    expect(outcomes[0]).toMatchObject({ refused: "ISOLATION_UNAVAILABLE", unavailable: [{ guarantee: "memory", available: "soft" }] })
    expect(outcomes[1]).toMatchObject({ refused: "ISOLATION_UNAVAILABLE", unavailable: [{ guarantee: "cpu", available: "absent" }] })
    expect(outcomes[2]).toMatchObject({ stdout: "", broken: [] })
    expect(outcomes[3]).toMatchObject({ stdout: "", stderr: expect.stringMatching(/fork/i), broken: [] })
    expect(outcomes[4]).toMatchObject({ stdout: "65534\n", stderr: expect.stringContaining("Read-only file system"), broken: [] })
    expect(outcomes[5]).toMatchObject({ refused: "ISOLATION_UNAVAILABLE", unavailable: [{ guarantee: "user" }, { guarantee: "kill" }] })
    expect(outcomes[6]).toMatchObject({ stdout: "100\n65534\n", broken: [] })
  })

  test("knows of soft memory only by the way a child ended, and says that it is a guess", async () => {
    if (!ready) return
    const script = "ulimit -c 0; kill -ABRT $$"
    const { outcomes } = await hostStory([{ level: "sandbox", script, limits: { memoryBytes: 64 * MIB }, acceptSoft: ["memory"] }], {
      before: BECOME,
    })
    expect(outcomes[0]).toMatchObject({ end: { reason: "MEMORY_LIMIT", probable: true, message: expect.stringContaining("probably") } })
  })

  test("knows of soft processor time in the same way", async () => {
    if (!ready) return
    const limits = { cpuTimeMs: 1_000 }
    const { outcomes } = await hostStory(
      [
        { level: "sandbox", script: "while :; do :; done", limits, acceptSoft: ["cpuTime"] },
        { level: "sandbox", script: "exit 3", limits, acceptSoft: ["cpuTime"] },
      ],
      { before: BECOME },
    )
    expect(outcomes[0]).toMatchObject({ end: { reason: "CPU_LIMIT", probable: true, message: expect.stringContaining("1000 ms") } })
    expect(outcomes[1]).toMatchObject({ end: { exit: { code: 3 } } })
    expect(outcomes[1]).not.toHaveProperty("end.reason")
  })
})

describe("PL-6: a host where bubblewrap does not work", () => {
  test("refuses sandboxes, naming bubblewrap, and has its processes all the same", async () => {
    if (!ready) return
    await using isolation = await startIsolation({ bubblewrap: "/nonexistent/bwrap" })
    expect(isolation.report.mechanisms.bubblewrap).toMatchObject({
      available: false,
      reason: expect.stringContaining("/nonexistent/bwrap"),
    })
    await expect(isolation.launch({ level: "sandbox", command: "/bin/sh" })).rejects.toMatchObject({
      reason: "ISOLATION_UNAVAILABLE",
      message: expect.stringMatching(/at level sandbox: [^:]*files[^:]*: .*\/nonexistent\/bwrap/),
    })
    const child = await isolation.launch({
      level: "process",
      command: "/bin/sh",
      args: ["-c", "exit 4"],
      limits: { memoryBytes: 32 * MIB, pids: 16 },
    })
    expect((await child.ended).exit.code).toBe(4)
  })

  test("because user namespaces are off: says so, and refuses", async () => {
    if (!ready) return
    const inside = [
      "bwrap",
      "--bind",
      "/",
      "/",
      "--dev",
      "/dev",
      "--proc",
      "/proc",
      "--unshare-user",
      "--disable-userns",
      "--tmpfs",
      "/sys/fs/cgroup",
      "--die-with-parent",
      "--",
    ]
    const story = await hostStory(
      [
        { level: "sandbox", script: "true" },
        { level: "process", script: EAT, limits: { memoryBytes: 16 * MIB }, acceptSoft: ["memory", "user", "kill", "handles"] },
      ],
      { inside },
    )
    expect(story.report.mechanisms).toMatchObject({
      bubblewrap: { available: false, reason: expect.stringMatching(/bwrap: .*namespace/) },
      "user-namespaces": { available: false },
      users: { available: false },
      "cgroup-memory": { available: false },
    })
    expect(story.outcomes[0]).toMatchObject({ refused: "ISOLATION_UNAVAILABLE", message: expect.stringMatching(/bwrap: .*namespace/) })
    expect(story.outcomes[1]).toMatchObject({ stdout: "" })
  })

  test("control groups that are read-only count as none", async () => {
    if (!ready) return
    const inside = [
      "bwrap",
      "--bind",
      "/",
      "/",
      "--dev",
      "/dev",
      "--proc",
      "/proc",
      "--ro-bind",
      "/sys/fs/cgroup",
      "/sys/fs/cgroup",
      "--die-with-parent",
      "--",
    ]
    const story = await hostStory(
      [
        { level: "process", script: "true", limits: { pids: 20 } },
        { level: "process", script: FORK, limits: { pids: 20 }, acceptSoft: ["kill"] },
      ],
      { inside },
    )
    expect(story.report.mechanisms["cgroup-pids"]).toMatchObject({ available: false, reason: expect.stringMatching(/EROFS|EACCES/) })
    // As root it still has users to give away, whose processes can be counted.
    expect(grades(story, "process")).toMatchObject({ memory: "soft RLIMIT_DATA", pids: "hard RLIMIT_NPROC", user: "hard own user" })
    expect(story.outcomes[0]).toMatchObject({ refused: "ISOLATION_UNAVAILABLE", unavailable: [{ guarantee: "kill" }] })
    expect(story.outcomes[1]).toMatchObject({ stdout: "", stderr: expect.stringMatching(/fork/i), broken: [] })
  })
})
