import { readFileSync } from "node:fs"

/** The limits of a process by the names of `/proc/<pid>/limits`: `{ soft, hard }`, Infinity for none. Empty when it is gone. */
export function readProcessLimits(pid: number | "self"): ReadonlyMap<string, { soft: number; hard: number }> {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/limits`, "utf8")
  } catch {
    return new Map() // it has ended, or this is not Linux
  }
  return new Map(
    text.split("\n").flatMap((line) => {
      const [, name, soft, hard] = /^(Max [a-z -]+?)\s{2,}(\S+)\s+(\S+)/.exec(line) ?? []
      return name && soft && hard ? [[name, { soft: limit(soft), hard: limit(hard) }] as const] : []
    }),
  )
}

function limit(text: string): number {
  return text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text)
}
