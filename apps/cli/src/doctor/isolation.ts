/** What this machine can enforce: the trials that a host makes at its start, and what to do about those that fail. */
import { existsSync } from "node:fs"
import { findOnPath } from "@fn/process"
import { FunctionLauncher, type Guarantee, type IsolationReport, type IsolationSettings, type Level, type MechanismName } from "@fn/runtime"
import type { IsolationFinding, Lack } from "./report.js"

type Settings = Pick<IsolationSettings, "acceptSoft" | "bubblewrap">

/** What every function is held to, at each level. */
export const NEEDED: Readonly<Record<Level, readonly Guarantee[]>> = {
  process: ["memory", "pids", "handles", "user", "kill"],
  sandbox: ["memory", "pids", "handles", "user", "kill", "files", "network", "syscalls"],
}

const GROUPS = "run the host as root, or give it a control group of its own (Delegate=yes in its systemd unit)"
const REMEDIES: Readonly<Partial<Record<MechanismName, string>>> = {
  setpriv: "apt-get install util-linux",
  users: "run the host as root: it gives each function a user of its own",
  "cgroup-memory": GROUPS,
  "cgroup-pids": GROUPS,
  "cgroup-cpu": GROUPS,
  "cgroup-usage": GROUPS,
  "cgroup-kill": GROUPS,
  seccomp: "there is a filter for x86-64 only: run sandboxed functions on such a machine",
}
/** Which mechanism would make a guarantee hard. */
const MAKES_HARD: Readonly<Record<Guarantee, Readonly<Record<Level, readonly MechanismName[]>>>> = {
  memory: { process: ["users", "cgroup-memory"], sandbox: ["cgroup-memory"] },
  pids: { process: ["users", "cgroup-pids"], sandbox: ["cgroup-pids"] },
  cpu: { process: ["users", "cgroup-cpu"], sandbox: ["cgroup-cpu"] },
  cpuTime: { process: ["users", "cgroup-usage"], sandbox: ["cgroup-usage"] },
  handles: { process: ["rlimits"], sandbox: ["rlimits"] },
  files: { process: [], sandbox: ["bubblewrap"] },
  network: { process: [], sandbox: ["bubblewrap", "seccomp"] },
  syscalls: { process: [], sandbox: ["bubblewrap", "seccomp"] },
  user: { process: ["users"], sandbox: ["bubblewrap", "users"] },
  kill: { process: ["users", "cgroup-kill"], sandbox: ["bubblewrap"] },
}

/** Tries everything, as a strict host with these settings would: about half a second. */
export async function examineIsolation(settings: Settings): Promise<IsolationFinding> {
  const launcher = new FunctionLauncher({ policy: "strict", ...settings })
  try {
    const problem = await launcher.problem()
    const report = await launcher.report()
    return {
      ...report,
      lacks: {
        process: lacksOf("process", NEEDED.process, report, settings),
        sandbox: lacksOf("sandbox", NEEDED.sandbox, report, settings),
      },
      ...(problem ? { strictProblem: problem.toData() } : {}),
    }
  } finally {
    await launcher.close()
  }
}

/** What of `needed` this machine does not keep, and what to do about it. */
export function lacksOf(
  level: Level,
  needed: readonly Guarantee[],
  report: IsolationReport,
  { acceptSoft: accepted = [], bubblewrap }: Settings,
): Lack[] {
  const isInstalled = bubblewrap === undefined ? findOnPath("bwrap") !== undefined : existsSync(bubblewrap)
  const byWhy = new Map<string, { guarantees: Guarantee[]; remedy: string }>()
  for (const guarantee of needed) {
    const { grade, mechanism, reason = "" } = report.grades[level][guarantee]
    if (grade === "hard" || (grade === "soft" && accepted.includes(guarantee))) continue
    const why = grade === "absent" ? reason : `only softly, by ${mechanism}: ${reason}`
    const lack = byWhy.get(why) ?? { guarantees: [], remedy: remedyOf(guarantee, level, report, isInstalled) }
    lack.guarantees.push(guarantee)
    byWhy.set(why, lack)
  }
  return [...byWhy].map(([why, { guarantees, remedy }]) => ({ what: `${guarantees.join(", ")}: ${why}`, remedy }))
}

function remedyOf(guarantee: Guarantee, level: Level, { mechanisms }: IsolationReport, isInstalled: boolean): string {
  const broken = MAKES_HARD[guarantee][level].find((name) => !mechanisms[name].available)
  if (broken === "bubblewrap") {
    if (!mechanisms.setpriv.available) return REMEDIES.setpriv as string
    return isInstalled
      ? "run the host as root, or let its user make user namespaces (docs/isolation.md#running-it)"
      : "apt-get install bubblewrap"
  }
  return (broken && REMEDIES[broken]) ?? "see docs/isolation.md#running-it"
}
