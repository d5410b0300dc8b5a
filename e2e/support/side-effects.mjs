/** Functions that leave a trace of what they ran, and how to read it. */
import { readFileSync } from "node:fs"

/**
 * A module function that appends `start {invocationId} {pid of its host} {event.data.by}` to the file of its config, takes `event.data.ms`,
 * appends `end {invocationId}`, and answers with its invocation id.
 */
export const TRACED = `
import { appendFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"
export default async (event, { config, invocationId }) => {
  appendFileSync(config.file, "start " + invocationId + " " + process.ppid + " " + event.data?.by + "\\n")
  if (event.data?.ms) await delay(event.data.ms)
  appendFileSync(config.file, "end " + invocationId + "\\n")
  return { type: "traced", data: { invocationId } }
}
`

/**
 * What a function left in its file.
 * @param {string} file
 */
export function readTrace(file) {
  /** @type {Map<string, number[]>} Host processes in which an invocation started, by invocation. */
  const starts = new Map()
  /** @type {Map<string, { host: number, by: string }>} Invocations that started and did not end: where, and who asked for it. */
  const open = new Map()
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [what, id = "", host, by = ""] = line.split(" ")
    if (what === "start") {
      starts.set(id, [...(starts.get(id) ?? []), Number(host)])
      open.set(id, { host: Number(host), by })
    } else if (what === "end") open.delete(id)
  }
  return { starts, open }
}
