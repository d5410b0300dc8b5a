import { readdirSync, readFileSync } from "node:fs"
import { until } from "./until.js"

/** A process as the system shows it. */
export interface ProcessInfo {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/**
 * The live descendants of a process (default: this one), parents before children. Zombies do not count. Linux only: it reads /proc.
 */
export function processTree(root: number = process.pid): ProcessInfo[] {
  const byParent = new Map<number, ProcessInfo[]>()
  for (const info of allProcesses()) {
    const siblings = byParent.get(info.parent)
    if (siblings) siblings.push(info)
    else byParent.set(info.parent, [info])
  }
  const found: ProcessInfo[] = []
  const queue = [...(byParent.get(root) ?? [])]
  for (let info = queue.shift(); info; info = queue.shift()) {
    found.push(info)
    queue.push(...(byParent.get(info.pid) ?? []))
  }
  return found
}

/** Whether a process runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  return readProcess(pid) !== undefined
}

/** Remembers the children that there are now; {@link ChildWatch.settled} resolves once no others are left. */
export function watchChildren(root: number = process.pid): ChildWatch {
  const before = new Set(processTree(root).map(({ pid }) => pid))
  const added = (): ProcessInfo[] => processTree(root).filter(({ pid }) => !before.has(pid))
  return {
    added,
    settled: async (timeoutMs = 5_000) => {
      try {
        await until(() => added().length === 0, { name: "every child process to be gone", timeoutMs })
      } catch (cause) {
        const left = added().map(({ pid, command }) => `${pid} ${command}`)
        throw new Error(`child processes are left:\n  ${left.join("\n  ")}`, { cause })
      }
    },
  }
}

/** See {@link watchChildren}. */
export interface ChildWatch {
  /** Descendants started since. */
  added(): ProcessInfo[]
  /** Rejects naming what is left after `timeoutMs` (default 5000). */
  settled(timeoutMs?: number): Promise<void>
}

/** Live processes whose command line contains `text`, whoever started them: finds orphans. */
export function processesWith(text: string): ProcessInfo[] {
  return allProcesses().filter(({ pid, command }) => pid !== process.pid && command.includes(text))
}

function allProcesses(): ProcessInfo[] {
  return readdirSync("/proc").flatMap((entry) => {
    const info = /^\d+$/.test(entry) ? readProcess(Number(entry)) : undefined
    return info ? [info] : []
  })
}

function readProcess(pid: number): ProcessInfo | undefined {
  try {
    // "pid (name) state parent …": the name may hold spaces and brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (state === "Z" || state === "X") return undefined
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()
    return { pid, parent: Number(parent), command }
  } catch {
    return undefined // it ended while we looked
  }
}
