/**
 * Runs inside the machine that cgroup2-vm.mjs makes: do control groups of version 2 keep what they promise, in the group named by the
 * argument? Prints one line per check; exits with the number of those that failed.
 */
import { readdirSync, readFileSync } from "node:fs"
import { text } from "node:stream/consumers"
import { setTimeout as delay } from "node:timers/promises"
import { startIsolation } from "../dist/index.js"

const MIB = 1024 * 1024
const EAT = "x=0123456789abcdef; n=0; while [ $n -lt 24 ]; do x=$x$x; n=$((n + 1)); done; echo survived"
const FORK = "n=0; while [ $n -lt 40 ]; do sleep 20 & n=$((n + 1)); done; echo survived"
let failures = 0

function check(what, holds, seen) {
  if (!holds) failures++
  console.log(`${holds ? "ok" : "FAILED"}: ${where}: ${what}${holds ? "" : `: ${JSON.stringify(seen)}`}`)
}

async function run(isolation, level, script, limits, meanwhile = async () => undefined) {
  const system = level === "sandbox" ? "programs" : "none"
  const stdio = ["pipe", "pipe", "pipe"]
  const child = await isolation.launch({ level, command: "/bin/sh", args: ["-c", script], limits, system, stdio, startTimeoutMs: 60_000 })
  const printed = Promise.all([text(child.stdout), text(child.stderr)])
  await meanwhile(child)
  const end = await child.ended
  const [stdout, stderr] = await printed
  return { stdout, stderr, ...end }
}

function groupsBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
}

const [, , where] = process.argv
const isolation = await startIsolation()
for (const [name, { available, version, reason }] of Object.entries(isolation.report.mechanisms)) {
  check(`mechanism ${name}`, available && (!name.startsWith("cgroup") || version === 2), reason)
}
for (const level of ["process", "sandbox"]) {
  const memory = await run(isolation, level, EAT, { memoryBytes: 32 * MIB })
  check(`${level}: memory`, memory.reason === "MEMORY_LIMIT" && memory.usage.memoryPeakBytes <= 32 * MIB && memory.stdout === "", memory)
  // The kernel kills the whole group, not only the largest: the parent does not live on without its child.
  const group = await run(isolation, level, `(${EAT}); echo outlived`, { memoryBytes: 32 * MIB })
  check(`${level}: the whole group goes`, group.reason === "MEMORY_LIMIT" && group.stdout === "", group)
  const pids = await run(isolation, level, FORK, { pids: 20 })
  check(`${level}: pids`, pids.reason === "PIDS_LIMIT" && pids.violations.pids > 0 && pids.stdout === "", pids)
  const cpu = await run(isolation, level, "while :; do :; done", { cpu: 0.2 }, async (child) => {
    check(
      `${level}: read back`,
      (await child.verify()).every(({ holds }) => holds),
      await child.verify(),
    )
    while ((await child.usage()).throttled === 0) await delay(50)
    await child.close({ graceMs: 0 })
  })
  check(`${level}: cpu`, cpu.usage.throttled > 0, cpu)
  const daemon = await run(isolation, level, "setsid sleep 1000 & exit 0", { pids: 20 })
  check(`${level}: what left its session goes, too`, daemon.exit.code === 0, daemon)
}
await isolation.close()
const left = groupsBelow("/sys/fs/cgroup").filter((folder) => folder.includes("/fn") && !folder.endsWith("/fn-host"))
check("no control group is left", left.length === 0, left)
const alive = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commandOf(name).includes("sleep"))
check("no process is left", alive.length === 0, alive)
process.exitCode = failures

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return "" // it has ended
  }
}
