/**
 * One trial per mechanism: each lets a child run into the very wall that is to be believed in, and looks whether it held. A trial resolves
 * with what was seen, or rejects with why the mechanism cannot be used here.
 */
import { setTimeout as delay } from "node:timers/promises"
import { FnError } from "@fn/core"
import type { Controller } from "../cgroup/controllers.js"
import type { IsolatedProcess } from "../isolated-process.js"
import type { Host } from "../launch/host.js"
import { readStatus } from "../launch/proc.js"
import { Users } from "../users.js"
import type { MechanismName } from "./mechanism.js"
import { tryScript } from "./trial.js"

const MEMORY_BYTES = 16 * 1024 * 1024
/** Doubles a text until memory ends: up to 64 MiB, in case nothing stops it. */
const EAT = "x=0123456789abcdef; n=0; while [ $n -lt 22 ]; do x=$x$x; n=$((n + 1)); done; echo survived"
const PIDS = 8
/** Twice as many processes as may be. What is left of them is killed with the shell. */
const FORK = "n=0; while [ $n -lt 16 ]; do sleep 10 & n=$((n + 1)); done; echo survived"
const SPIN = "while :; do :; done"
const SPIN_MS = 5_000

/** Looks around in a sandbox; says something only if it sees what it must not. */
const LOOK_AROUND = `(echo x > /usr/fn-trial) 2>/dev/null && echo "it can write to /usr"
[ -e /etc/passwd ] && echo "it sees /etc/passwd"
[ -n "$(tail -n +2 /proc/net/route)" ] && echo "it has a route"
[ "$(ls /proc | grep -c '^[0-9]')" -gt 8 ] && echo "it sees the processes of others"
read -r _`

type Trial = (host: Host) => Promise<string>

export const TRIALS: Readonly<Record<MechanismName, Trial>> = {
  setpriv: async (host) => {
    const { stdout } = await tryScript(host, "grep NoNewPrivs /proc/self/status")
    return seen(/NoNewPrivs:\s*1/.test(stdout), "a child gave up its rights for good", `a child kept its rights: ${stdout.trim()}`)
  },

  rlimits: async (host) => {
    const inherited = { "Max core file size": 0, "Max open files": 32, "Max file size": 4096 }
    const script = "ulimit -n; head -c 8192 /dev/zero 2>/dev/null > big; wc -c < big; (ulimit -n 64) 2>/dev/null && echo raised"
    const { stdout } = await tryScript(host, script, { plan: { inherited } })
    return seen(/^32\s+4096\s*$/.test(stdout), "limits held and could not be raised", `limits did not hold: ${stdout.trim()}`)
  },

  users: async (host) => {
    if (FnError.is(host.users)) throw host.users
    const { stdout } = await tryScript(host, `id -u; kill -0 ${process.pid} 2>/dev/null && echo "it may signal its host"`)
    return seen(/^\d+\s*$/.test(stdout) && Number(stdout) !== 0, `a child ran as user ${stdout.trim()}`, `a child said: ${stdout.trim()}`)
  },

  "user-namespaces": async (host) => {
    const { stderr, end } = await tryScript(host, "unshare --user true")
    return seen(end.exit.code === 0, "a child made a user namespace", `no user namespace can be made: ${stderr.trim()}`)
  },

  bubblewrap: async (host) => {
    let broken: string[] = []
    const { stdout } = await tryScript(host, LOOK_AROUND, {
      plan: { level: "sandbox" },
      meanwhile: async (child) => {
        const walls = (await child.verify()).filter(({ what, holds }) => !holds && what !== "Seccomp")
        broken = walls.map(({ what, actual }) => `${what} reads ${actual}`)
      },
    })
    const problems = [...broken, ...stdout.trim().split("\n").filter(Boolean)]
    return seen(problems.length === 0, "a child in a sandbox saw nothing of the host", `a sandbox leaks: ${problems.join("; ")}`)
  },

  seccomp: async (host) => {
    if (!host.seccomp) throw new Error(`there is no system call filter for ${process.arch} yet`)
    // Changing one's personality is allowed to everybody, but for the filter.
    const script =
      "command -v setarch >/dev/null && setarch $(uname -m) -R true 2>/dev/null && echo passed; grep Seccomp: /proc/self/status"
    const { stdout } = await tryScript(host, script, { plan: { level: "sandbox" } })
    return seen(/^Seccomp:\s*2\s*$/.test(stdout), "the filter refused a call", `the filter does not hold: ${stdout.trim()}`)
  },

  "cgroup-memory": async (host) => {
    requireController(host, "memory")
    const { stdout, end } = await tryScript(host, EAT, { plan: { group: { memoryBytes: MEMORY_BYTES } } })
    return seen(end.violations.memory > 0 && stdout === "", "a child over its limit was killed", "a child over its limit was not killed")
  },

  "cgroup-pids": async (host) => {
    requireController(host, "pids")
    const { stdout, end } = await tryScript(host, FORK, { plan: { group: { pids: PIDS } } })
    return seen(end.violations.pids > 0 && stdout === "", "a child was refused a process", "a child over its limit was not refused")
  },

  "cgroup-cpu": async (host) => {
    requireController(host, "cpu")
    let throttled = false
    await tryScript(host, SPIN, {
      plan: { group: { cpu: 0.1 } },
      meanwhile: async (child) => {
        throttled = await shows(child, async () => ((await child.usage()).throttled ?? 0) > 0)
      },
    })
    return seen(throttled, "a child over its share had to wait", "a child over its share never had to wait")
  },

  "cgroup-usage": async (host) => {
    requireController(host, "usage")
    let counted = false
    await tryScript(host, SPIN, {
      meanwhile: async (child) => {
        counted = await shows(child, async () => ((await child.usage()).cpuUs ?? 0) > 0)
      },
    })
    return seen(counted, "the processor time of a child was counted", "the processor time of a child is not counted")
  },

  "cgroup-kill": async (host) => {
    if (host.group.folders.length === 0) requireController(host, "kill")
    const { stdout } = await tryScript(host, "setsid sleep 60 & echo $!")
    const state = readStatus(Number(stdout)).get("State") ?? "X"
    return seen(/^[XZ]/.test(state), "what left its session was ended, too", `what leaves its session survives: process ${stdout.trim()}`)
  },

  "rlimit-data": async (host) => {
    const { stdout } = await tryScript(host, EAT, { plan: { inherited: { "Max data size": MEMORY_BYTES } } })
    return seen(stdout === "", "a child over its limit got no memory", "a child over its limit got memory")
  },

  "rlimit-nproc": async (host) => {
    const plan = host.users instanceof Users ? { inherited: { "Max processes": PIDS } } : { level: "sandbox" as const, innerPids: PIDS }
    const { stdout, stderr } = await tryScript(host, FORK, { plan })
    return seen(stdout === "" && /fork/i.test(stderr), "a child was refused a process", "a child over its limit was not refused")
  },
}

/** Whether something is seen of a child before {@link SPIN_MS} have passed; it is killed then. */
async function shows(child: IsolatedProcess, look: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + SPIN_MS
  let found = await look()
  while (!found && performance.now() < deadline && !child.exit) {
    await delay(10)
    found = await look()
  }
  child.kill("SIGKILL")
  return found
}

function requireController({ group }: Host, controller: Controller): void {
  const reason = group.missing.get(controller)
  if (reason !== undefined) throw new Error(reason)
}

function seen(held: boolean, good: string, bad: string): string {
  if (!held) throw new Error(bad)
  return good
}
