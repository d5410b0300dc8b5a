/** Functions that leave a trace of what they ran, and how to read it. */
import { readFileSync } from "node:fs"

/**
 * A module function that appends `start {invocationId} {pid of its host}` to the file of its config, takes `event.data.ms`, appends
 * `end {invocationId} {pid of its host}`, and answers with its invocation id.
 */
export const TRACED = `
import { appendFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"
export default async (event, { config, invocationId }) => {
  appendFileSync(config.file, "start " + invocationId + " " + process.ppid + "\\n")
  if (event.data?.ms) await delay(event.data.ms)
  appendFileSync(config.file, "end " + invocationId + " " + process.ppid + "\\n")
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
  /** @type {Set<string>} Invocations that came to their end. */
  const ends = new Set()
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [what, id = "", host] = line.split(" ")
    if (what === "start") starts.set(id, [...(starts.get(id) ?? []), Number(host)])
    else if (what === "end") ends.add(id)
  }
  return { starts, ends }
}
