import type { ChildGroup, GroupUsage } from "./cgroup/child-group.js"
import { readUse } from "./launch/proc.js"

/** What a child uses. What this host cannot count is undefined, never 0. */
export interface Usage extends GroupUsage {
  /** `group`: all its processes, with page cache and in-memory files. `process`: its first process alone. */
  readonly source: "group" | "process"
}

/** What a process uses that is in no group of ours. */
export function readProcessUsage(pid: number): Usage {
  return { ...ofProcess(pid), source: "process" }
}

export async function readUsage(group: ChildGroup | undefined, pid: number): Promise<Usage> {
  if (group) {
    const usage = await group.usage()
    if (usage.memoryBytes !== undefined) return { ...usage, source: "group" }
    return { ...ofProcess(pid), ...defined(usage), source: usage.cpuUs === undefined ? "process" : "group" }
  }
  return readProcessUsage(pid)
}

function ofProcess(pid: number): GroupUsage {
  const use = readUse(pid)
  return {
    memoryBytes: use?.residentBytes,
    memoryPeakBytes: undefined,
    cpuUs: use?.cpuUs,
    pids: undefined,
    throttled: undefined,
  }
}

function defined(usage: GroupUsage): Partial<GroupUsage> {
  return Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== undefined))
}
