/** What is written to set a limit, what it reads back as, and where use and violations are counted: the same questions, asked of both versions. */
import { keyOf, readKey, readNumber, readText, writeValue } from "./files.js"

/** The controllers that matter here. `usage` measures processor time; `kill` ends a whole group in one write. */
export type Controller = "memory" | "pids" | "cpu" | "usage" | "kill"

type Version = 1 | 2
type Read = (folder: string) => Promise<number | undefined>

interface LimitFiles {
  set(folder: string, value: number): Promise<void>
  /** The limit in force; Infinity for none. */
  readonly limit: Read
  /** In use now. */
  readonly now: Read
  /** How often the limit was met with a refusal or a kill. */
  readonly violations: Read
}

const PERIOD_US = 100_000

/** Bytes. */
export const MEMORY: Readonly<Record<Version, LimitFiles & { readonly peak: Read }>> = {
  1: {
    set: async (folder, bytes) => {
      await writeValue(folder, "memory.limit_in_bytes", bytes)
      // After the limit itself, which may never be above it. Absent where the kernel does not account for swap.
      if ((await readNumber(folder, "memory.memsw.limit_in_bytes")) !== undefined)
        await writeValue(folder, "memory.memsw.limit_in_bytes", bytes)
    },
    limit: (folder) => readNumber(folder, "memory.limit_in_bytes"),
    now: (folder) => readNumber(folder, "memory.usage_in_bytes"),
    peak: (folder) => readNumber(folder, "memory.max_usage_in_bytes"),
    violations: (folder) => readKey(folder, "memory.oom_control", "oom_kill"),
  },
  2: {
    set: async (folder, bytes) => {
      await writeValue(folder, "memory.max", bytes)
      // No swap, and all of the group goes when one of it has to.
      if ((await readNumber(folder, "memory.swap.max")) !== undefined) await writeValue(folder, "memory.swap.max", 0)
      if ((await readNumber(folder, "memory.oom.group")) !== undefined) await writeValue(folder, "memory.oom.group", 1)
    },
    limit: (folder) => readNumber(folder, "memory.max"),
    now: (folder) => readNumber(folder, "memory.current"),
    peak: (folder) => readNumber(folder, "memory.peak"),
    violations: (folder) => readKey(folder, "memory.events", "oom_kill"),
  },
}

const PIDS_FILES: LimitFiles = {
  set: (folder, count) => writeValue(folder, "pids.max", count),
  limit: (folder) => readNumber(folder, "pids.max"),
  now: (folder) => readNumber(folder, "pids.current"),
  violations: (folder) => readKey(folder, "pids.events", "max"),
}

/** Processes and threads. */
export const PIDS: Readonly<Record<Version, LimitFiles>> = { 1: PIDS_FILES, 2: PIDS_FILES }

/** Processors: 0.5 is half of one. */
export const CPU: Readonly<Record<Version, Pick<LimitFiles, "set" | "limit" | "violations">>> = {
  1: {
    set: async (folder, cpu) => {
      await writeValue(folder, "cpu.cfs_period_us", PERIOD_US)
      await writeValue(folder, "cpu.cfs_quota_us", Math.round(cpu * PERIOD_US))
    },
    limit: async (folder) => share(await readText(folder, "cpu.cfs_quota_us"), await readText(folder, "cpu.cfs_period_us")),
    violations: (folder) => readKey(folder, "cpu.stat", "nr_throttled"),
  },
  2: {
    set: (folder, cpu) => writeValue(folder, "cpu.max", `${Math.round(cpu * PERIOD_US)} ${PERIOD_US}`),
    limit: async (folder) => {
      const [quota, period] = (await readText(folder, "cpu.max"))?.split(" ") ?? []
      return share(quota, period)
    },
    violations: (folder) => readKey(folder, "cpu.stat", "nr_throttled"),
  },
}

/** Processor time used, microseconds. */
export const CPU_TIME: Readonly<Record<Version, Read>> = {
  1: async (folder) => {
    const nanoseconds = await readNumber(folder, "cpuacct.usage")
    return nanoseconds === undefined ? undefined : Math.round(nanoseconds / 1000)
  },
  2: async (folder) => keyOf(await readText(folder, "cpu.stat"), "usage_usec"),
}

function share(quota: string | undefined, period: string | undefined): number | undefined {
  if (quota === undefined || period === undefined) return undefined
  return quota === "max" || quota === "-1" ? Number.POSITIVE_INFINITY : Number(quota) / Number(period)
}
