import type { Reason } from "@fn/core"
import { describeExit, type ExitInfo } from "@fn/process"
import type { GroupViolations } from "./cgroup/child-group.js"
import type { Usage } from "./usage.js"

/** How a child ended, and what it had used. */
export interface ProcessEnd {
  readonly exit: ExitInfo
  /** The limit that ended it, or the reason it was closed with. Absent when it ended by itself, or was closed without one. */
  readonly reason?: Reason
  /** The reason is only likely: a soft limit leaves no trace but the way the process ended. */
  readonly probable: boolean
  /** A sentence. */
  readonly message: string
  /** Everything it used. */
  readonly usage: Usage
  /** How often a limit was met. */
  readonly violations: GroupViolations
}

/** What is known when a child has ended. */
export interface EndFacts {
  readonly exit: ExitInfo
  /** Set when it was ended on purpose. */
  readonly closed?: { readonly reason?: Reason | undefined } | undefined
  readonly violations: GroupViolations
  readonly usage: Usage
  readonly memoryBytes: number | undefined
  readonly pids: number | undefined
  readonly softMemory: boolean
  /** The limit of processor time that each process keeps by itself, if that is what keeps it, ms. */
  readonly softCpuTimeMs: number | undefined
}

/** SIGABRT and SIGSEGV, as programs without memory end, and SIGKILL; and as shells report them. */
const OUT_OF_MEMORY_CODES = [134, 139, 137]
const OUT_OF_MEMORY_SIGNALS = ["SIGABRT", "SIGSEGV", "SIGKILL"]
/** SIGXCPU and SIGKILL, as the kernel ends who has used its processor time. */
const OUT_OF_TIME_CODES = [152, 137]
const OUT_OF_TIME_SIGNALS = ["SIGXCPU", "SIGKILL"]

/** Our own reason first, then what the kernel counted, then how it ended. */
export function describeEnd(facts: EndFacts): ProcessEnd {
  const { exit, usage, violations } = facts
  const found = classify(facts)
  const how = describeExit(exit)
  return {
    exit,
    ...(found.reason === undefined ? {} : { reason: found.reason }),
    probable: found.probable ?? false,
    message: found.why === undefined ? `it ended (${how})` : `${found.why} (${how})`,
    usage,
    violations,
  }
}

function classify(facts: EndFacts): { reason?: Reason; why?: string; probable?: boolean } {
  const { exit, closed, violations, memoryBytes, pids, softMemory, softCpuTimeMs } = facts
  if (closed)
    return closed.reason === undefined ? { why: "it was ended" } : { reason: closed.reason, why: `it was ended for ${closed.reason}` }
  if (exit.code === 0) return {}
  if (violations.memory > 0) return { reason: "MEMORY_LIMIT", why: `it used more than its ${memoryBytes ?? 0} bytes of memory` }
  if (violations.pids > 0) return { reason: "PIDS_LIMIT", why: `it was refused more than its ${pids ?? 0} processes and threads` }
  const spent = OUT_OF_TIME_CODES.includes(exit.code ?? 0) || OUT_OF_TIME_SIGNALS.includes(exit.signal ?? "")
  if (softCpuTimeMs !== undefined && spent)
    return { reason: "CPU_LIMIT", why: `it probably used more than its ${softCpuTimeMs} ms of processor time`, probable: true }
  const starved = OUT_OF_MEMORY_CODES.includes(exit.code ?? 0) || OUT_OF_MEMORY_SIGNALS.includes(exit.signal ?? "")
  if (softMemory && starved)
    return { reason: "MEMORY_LIMIT", why: `it probably used more than its ${memoryBytes ?? 0} bytes of memory`, probable: true }
  return {}
}
