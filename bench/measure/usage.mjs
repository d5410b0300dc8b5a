import { readFileSync } from "node:fs"
import { processTree } from "@fn/testing"

const TICK_US = 10_000

/** CPU time of a process so far, µs (user and system). Resolution 10 ms; Linux only. */
export function cpuUs(pid) {
  const [own] = cpuTicks(pid)
  return own * TICK_US
}

/** CPU time of everything a process has started, dead or alive, µs. What a dead child had started itself counts if that child waited for it. */
export function descendantsCpuUs(pid) {
  const [, waitedFor] = cpuTicks(pid)
  const live = processTree(pid).map((child) => {
    const [own, ofChildren] = cpuTicks(child.pid)
    return own + ofChildren
  })
  return live.reduce((sum, ticks) => sum + ticks, waitedFor) * TICK_US
}

/** Resident set of a process now, MB. */
export function rssMb(pid) {
  return statusMb(pid, "VmRSS")
}

/** Largest resident set of a process so far, MB. */
export function peakRssMb(pid) {
  return statusMb(pid, "VmHWM")
}

/** Of a process, and of the children it waited for; zeros when it is gone. */
function cpuTicks(pid) {
  const fields = read(`/proc/${pid}/stat`)?.split(") ").at(-1).split(" ")
  return fields ? [Number(fields[11]) + Number(fields[12]), Number(fields[13]) + Number(fields[14])] : [0, 0]
}

function statusMb(pid, field) {
  const kilobytes = new RegExp(`${field}:\\s+(\\d+)`).exec(read(`/proc/${pid}/status`) ?? "")?.[1]
  return kilobytes === undefined ? Number.NaN : Number(kilobytes) / 1024
}

/** Undefined when the process has ended meanwhile. */
function read(path) {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ESRCH") return undefined
    throw error
  }
}
