/** What is decided about a child before it starts: which mechanism keeps which limit, or that this host cannot keep one. */
import type { IOType } from "node:child_process"
import { FnError } from "@fn/core"
import type { GroupLimits } from "../cgroup/child-group.js"
import { checkGrants, type FileGrant } from "../files/grant.js"
import type { SystemView } from "../files/system.js"
import { KEPT_BY } from "../grades.js"
import type { Guarantee, Level, LevelGrades } from "../guarantee.js"
import { checkLimits, type FullLimits } from "../limits.js"
import { checkNetwork, type Network } from "../network/network.js"
import type { InheritedLimits } from "./gate.js"
import type { LaunchOptions } from "./options.js"

/** A checked launch. */
export interface LaunchPlan {
  readonly level: Level
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
  readonly stdio: readonly (IOType | number)[]
  readonly limits: FullLimits
  /** Limits of its control group. */
  readonly group: GroupLimits
  /** Limits that each of its processes inherits. */
  readonly inherited: InheritedLimits
  /** Processes its user may have in its sandbox, where that is what limits them. */
  readonly innerPids: number | undefined
  /** Memory is limited by a soft mechanism: how a child ends is then the only sign of it. */
  readonly softMemory: boolean
  readonly network: Network
  readonly system: SystemView
  readonly files: readonly FileGrant[]
  readonly startTimeoutMs: number
}

const DEFAULT_START_TIMEOUT_MS = 10_000
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
/** Processes of bubblewrap itself, which are no child's doing: the one that waits outside, and the first one inside. */
const SANDBOX_PIDS = 2

/**
 * Checks a launch against what this host can keep.
 * @throws {FnError} INVALID_REQUEST for what makes no sense, ISOLATION_UNAVAILABLE for what cannot be enforced
 */
export function planLaunch(options: LaunchOptions, grades: LevelGrades): LaunchPlan {
  const { level, command } = options
  const limits = checkLimits(options.limits)
  const network = options.network ?? { kind: level === "sandbox" ? "none" : "full" }
  checkNetwork(network)
  if (!command.startsWith("/")) throw FnError.of("INVALID_REQUEST", `the command ${command} is not an absolute path`)
  if (level === "process" && (options.files?.some(({ at }) => at !== undefined) || (options.system ?? "none") !== "none"))
    throw FnError.of("INVALID_REQUEST", "only a sandbox can show files in another place")
  refuseWhatIsNotKept(options, grades, required(level, limits, network))
  return {
    level,
    command,
    args: options.args ?? [],
    env: { PATH: DEFAULT_PATH, ...(level === "sandbox" ? { HOME: "/tmp", TMPDIR: "/tmp" } : {}), ...options.env },
    cwd: options.cwd,
    stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
    limits,
    ...kept(level, limits, grades),
    softMemory: limits.memoryBytes !== undefined && grades.memory.mechanism === KEPT_BY.data,
    network,
    system: options.system ?? "none",
    files: level === "sandbox" ? (options.files ?? []) : [],
    startTimeoutMs: options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS,
  }
}

/** Checks what can be checked only once the child's user is known. */
export function checkFiles({ files }: LaunchPlan, uid: number | undefined): void {
  checkGrants(files, uid)
}

function required(level: Level, { memoryBytes, pids, cpu, cpuTimeMs }: FullLimits, network: Network): Guarantee[] {
  return [
    ...(["handles", "user", "kill"] as const),
    ...(level === "sandbox" ? (["files", "syscalls"] as const) : []),
    ...(network.kind === "full" ? [] : (["network"] as const)),
    ...(memoryBytes === undefined ? [] : (["memory"] as const)),
    ...(pids === undefined ? [] : (["pids"] as const)),
    ...(cpu === undefined ? [] : (["cpu"] as const)),
    ...(cpuTimeMs === undefined ? [] : (["cpuTime"] as const)),
  ]
}

function refuseWhatIsNotKept({ level, acceptSoft }: LaunchOptions, grades: LevelGrades, needed: readonly Guarantee[]): void {
  const unavailable = needed.flatMap((guarantee) => {
    const { grade, mechanism, reason } = grades[guarantee]
    if (grade === "hard" || (grade === "soft" && acceptSoft?.includes(guarantee))) return []
    return [{ guarantee, wanted: acceptSoft?.includes(guarantee) ? "soft" : "hard", available: grade, mechanism, reason: reason ?? "" }]
  })
  if (unavailable.length === 0) return
  // One mechanism that does not work takes several guarantees with it.
  const byReason = new Map<string, string[]>()
  for (const { guarantee, available, mechanism, reason } of unavailable) {
    const why = available === "absent" ? reason : `only softly by ${mechanism}, ${reason}`
    byReason.set(why, [...(byReason.get(why) ?? []), guarantee])
  }
  const sentences = [...byReason].map(([why, guarantees]) => `${guarantees.join(", ")}: ${why}`)
  throw FnError.of("ISOLATION_UNAVAILABLE", `this host cannot enforce at level ${level}: ${sentences.join("; ")}`, {
    details: { level, unavailable },
  })
}

function kept(level: Level, limits: FullLimits, grades: LevelGrades): Pick<LaunchPlan, "group" | "inherited" | "innerPids"> {
  const by = (guarantee: Guarantee, mechanism: string): boolean => grades[guarantee].mechanism === mechanism
  const byGroup = (guarantee: Guarantee): boolean => grades[guarantee].mechanism.startsWith("cgroup")
  const { memoryBytes, pids, cpu, cpuTimeMs, openFiles, fileBytes } = limits
  const allPids = pids === undefined ? undefined : pids + (level === "sandbox" ? SANDBOX_PIDS : 0)
  return {
    group: {
      ...(memoryBytes !== undefined && byGroup("memory") ? { memoryBytes } : {}),
      ...(allPids !== undefined && byGroup("pids") ? { pids: allPids } : {}),
      ...(cpu !== undefined && byGroup("cpu") ? { cpu } : {}),
    },
    inherited: {
      "Max core file size": 0,
      "Max open files": openFiles,
      "Max file size": Math.floor(fileBytes / 512) * 512,
      ...(memoryBytes !== undefined && by("memory", KEPT_BY.data) ? { "Max data size": Math.floor(memoryBytes / 1024) * 1024 } : {}),
      ...(allPids !== undefined && by("pids", KEPT_BY.processes) ? { "Max processes": allPids } : {}),
      ...(cpuTimeMs !== undefined && by("cpuTime", KEPT_BY.cpuTime) ? { "Max cpu time": Math.ceil(cpuTimeMs / 1000) } : {}),
    },
    innerPids: allPids !== undefined && by("pids", KEPT_BY.innerProcesses) ? allPids : undefined,
  }
}
