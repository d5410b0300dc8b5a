import { FnError } from "@fn/core"

/** The most a child may use. What is left out is not limited, unless a default is named. */
export interface Limits {
  /** Memory of the whole process tree, page cache and in-memory folders included. At least 8 MiB. */
  readonly memoryBytes?: number
  /** Processes and threads at once. At least 16: with fewer, Node hangs silently instead of failing. */
  readonly pids?: number
  /** Share of the processors: 0.5 is half of one, 2 is two. At least 0.01. */
  readonly cpu?: number
  /** Processor time until it is ended, ms. */
  readonly cpuTimeMs?: number
  /** Open files per process. Default 1024, at least 32. */
  readonly openFiles?: number
  /** Size of a file it writes, bytes. Default 64 MiB. */
  readonly fileBytes?: number
  /** Size of `/tmp`, and of `/dev/shm`, in a sandbox. Default 64 MiB each; both count as memory. */
  readonly tmpBytes?: number
}

/** Limits with the defaults filled in. */
export type FullLimits = Limits & Required<Pick<Limits, "openFiles" | "fileBytes" | "tmpBytes">>

const MIB = 1024 * 1024
const MINIMUM: Readonly<Record<keyof Limits, number>> = {
  memoryBytes: 8 * MIB,
  pids: 16,
  cpu: 0.01,
  cpuTimeMs: 1,
  openFiles: 32,
  fileBytes: 512,
  tmpBytes: 4096,
}

/** Fills in the defaults. @throws {FnError} INVALID_REQUEST for a limit under which nothing would run */
export function checkLimits(limits: Limits = {}): FullLimits {
  for (const [name, value] of Object.entries(limits) as [keyof Limits, number | undefined][]) {
    if (value === undefined) continue
    if (!Number.isFinite(value) || value < MINIMUM[name])
      throw FnError.of("INVALID_REQUEST", `the limit ${name} must be at least ${MINIMUM[name]}, it is ${value}`)
    if (name !== "cpu" && !Number.isSafeInteger(value))
      throw FnError.of("INVALID_REQUEST", `the limit ${name} must be a whole number, it is ${value}`)
  }
  return { ...limits, openFiles: limits.openFiles ?? 1024, fileBytes: limits.fileBytes ?? 64 * MIB, tmpBytes: limits.tmpBytes ?? 64 * MIB }
}
