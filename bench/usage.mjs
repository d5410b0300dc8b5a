import { readFileSync } from "node:fs"

const TICK_US = 10_000

/** CPU time of a process so far, µs (user and system). Resolution 10 ms; Linux only. */
export function cpuUs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

/** Resident set of a process now, MB. */
export function rssMb(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024
}
