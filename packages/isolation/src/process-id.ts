import { readFileSync, readlinkSync } from "node:fs"

/** When a process started, in ticks since boot: with its number, what tells it from a later process of the same number. */
export function startTicks(pid: number | "self"): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // "pid (name) state …": the name may hold spaces and brackets; the start is field 22.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined // no such process
  }
}

/** The process-id namespace of this process: numbers of another one mean nothing here. */
export function pidNamespace(): string {
  return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0"
}
