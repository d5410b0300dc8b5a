/** Reads back what is in force for a running child. */
import { readlinkSync } from "node:fs"
import { readStatus } from "./launch/proc.js"
import { readProcessLimits } from "./launch/process-limits.js"
import type { StartedChild } from "./launch/start.js"

/** One thing that was asked for and what is. */
export interface Check {
  readonly what: string
  readonly wanted: string
  readonly actual: string
  readonly holds: boolean
}

const NAMESPACES = ["mnt", "pid", "ipc", "uts", "user"] as const
const SECCOMP_FILTER = "2"

/** Everything that can be read back. Of a child that has ended nothing holds. */
export async function verifyChild(child: StartedChild): Promise<Check[]> {
  return [...(await groupChecks(child)), ...limitChecks(child), ...rightsChecks(child), ...sandboxChecks(child)]
}

async function groupChecks({ group, plan, pid }: StartedChild): Promise<Check[]> {
  if (!group) return []
  const wanted = { memoryBytes: plan.group.memoryBytes, pids: plan.group.pids, cpu: plan.group.cpu }
  const actual = await group.limits()
  const shortfalls = await group.shortfalls(plan.group)
  const limits = (["memoryBytes", "pids", "cpu"] as const).flatMap((name): Check[] =>
    wanted[name] === undefined
      ? []
      : [
          {
            what: `control group: ${name}`,
            wanted: String(wanted[name]),
            actual: String(actual[name] ?? "unlimited"),
            holds: !shortfalls.some((shortfall) => shortfall.startsWith(`${name} `)),
          },
        ],
  )
  const member = await group.holds(pid)
  return [...limits, { what: "member of its control group", wanted: "yes", actual: member ? "yes" : "no", holds: member }]
}

function limitChecks({ plan, pid }: StartedChild): Check[] {
  const limits = readProcessLimits(pid)
  const inner = plan.innerPids === undefined ? {} : { "Max processes": plan.innerPids }
  return Object.entries({ ...plan.inherited, ...inner }).map(([name, wanted]) => {
    const actual = limits.get(name)?.hard
    return check(name, String(wanted), String(actual ?? "unknown"), actual !== undefined && actual <= wanted)
  })
}

function rightsChecks({ uid, pid }: StartedChild): Check[] {
  const status = readStatus(pid)
  const equal = (name: string, wanted: string): Check => check(name, wanted, status.get(name) ?? "unknown", status.get(name) === wanted)
  if (uid === undefined) return [equal("NoNewPrivs", "1")]
  const ids = `${uid} ${uid} ${uid} ${uid}`
  return [equal("NoNewPrivs", "1"), equal("Uid", ids), equal("Gid", ids), equal("CapBnd", "0000000000000000")]
}

function sandboxChecks({ sandbox, plan, pid }: StartedChild): Check[] {
  if (!sandbox) return []
  const status = readStatus(pid)
  const namespaces = [...NAMESPACES, ...(plan.network.kind === "full" ? [] : (["net"] as const))]
  return [
    check("Seccomp", SECCOMP_FILTER, status.get("Seccomp") ?? "unknown", status.get("Seccomp") === SECCOMP_FILTER),
    check("CapEff", "0000000000000000", status.get("CapEff") ?? "unknown", status.get("CapEff") === "0000000000000000"),
    ...namespaces.map((name) => {
      const [ours, its] = [namespaceOf("self", name), namespaceOf(pid, name)]
      return check(`namespace: ${name}`, `not ${ours}`, its ?? "unknown", its !== undefined && its !== ours)
    }),
  ]
}

function namespaceOf(pid: number | "self", name: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${name}`)
  } catch {
    return undefined // it has ended
  }
}

function check(what: string, wanted: string, actual: string, holds: boolean): Check {
  return { what, wanted, actual, holds }
}
