/** What `/proc` tells of a process. Everything answers undefined, or nothing, for one that has ended. */
import { readdirSync, readFileSync } from "node:fs"

/** USER_HZ, which is 100 on every architecture Node runs on. */
const TICK_US = 10_000

/** Its command line, arguments separated by NUL. */
export function commandLine(pid: number): string | undefined {
  return read(`/proc/${pid}/cmdline`)
}

/** The fields of `/proc/<pid>/status`. */
export function readStatus(pid: number): ReadonlyMap<string, string> {
  const lines = (read(`/proc/${pid}/status`) ?? "").split("\n")
  return new Map(
    lines.flatMap((line) => {
      const colon = line.indexOf(":")
      return colon < 0
        ? []
        : [
            [
              line.slice(0, colon),
              line
                .slice(colon + 1)
                .trim()
                .replaceAll(/\s+/g, " "),
            ] as const,
          ]
    }),
  )
}

/** Its children. */
export function childrenOf(pid: number): number[] {
  const text = read(`/proc/${pid}/task/${pid}/children`)
  if (text !== undefined) return text.split(" ").filter(Boolean).map(Number)
  // A kernel without that list (CONFIG_PROC_CHILDREN): ask everybody for their parent.
  return allProcesses().filter((candidate) => readStatus(candidate).get("PPid") === String(pid))
}

/** The processes of a user. */
export function processesOf(uid: number): number[] {
  return allProcesses().filter((pid) => {
    const status = readStatus(pid)
    return status.get("Uid")?.split(" ").includes(String(uid)) === true && !status.get("State")?.startsWith("Z")
  })
}

/** Resident memory and processor time of one process. */
export function readUse(pid: number): { residentBytes: number; cpuUs: number } | undefined {
  const stat = read(`/proc/${pid}/stat`)
  const resident = readStatus(pid).get("VmRSS")
  if (stat === undefined || resident === undefined) return undefined
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { residentBytes: Number.parseInt(resident, 10) * 1024, cpuUs: (Number(fields[11]) + Number(fields[12])) * TICK_US }
}

function allProcesses(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return undefined // it has ended, or we may not ask
  }
}
