/** Async invocations by the thousand, and what became of each. */
import { setTimeout as delay } from "node:timers/promises"
import { closedLoop } from "./load.mjs"
import { readTrace } from "./side-effects.mjs"

/**
 * What a load of async invocations came to.
 * @typedef {object} Outcome
 * @property {string[]} accepted ids, in the order in which they were accepted
 * @property {number} refused how often one was refused at the door and sent anew
 * @property {Map<string, string>} results `ok`, or the reason of the failure, by id
 * @property {string[]} without ids whose result never came
 * @property {string[]} wrong ids whose result is not that of the invocation
 */

/**
 * Sends `count` invocations of a traced function, each until it is accepted, then fetches every result.
 * @param {import("@fn/client").Client} client
 * @param {{ fn: string, count: number, inFlight?: number, ms?: number, onAccepted?: (soFar: number) => void, resultTimeoutMs?: number }} options
 * @returns {Promise<Outcome>}
 */
export async function asyncLoad(client, { fn, count, inFlight = 64, ms = 2, onAccepted, resultTimeoutMs = 120_000 }) {
  /** @type {string[]} */
  const accepted = []
  let refused = 0
  await closedLoop({ inFlight, count }, async () => {
    for (;;) {
      try {
        accepted.push(await client.invokeAsync(fn, { type: "asked", data: { ms } }))
        onAccepted?.(accepted.length)
        return
      } catch {
        // Refused, or not known to be accepted: its sender sends it anew.
        refused++
        await delay(50)
      }
    }
  })
  /** @type {Map<string, string>} */
  const results = new Map()
  /** @type {string[]} */
  const without = []
  /** @type {string[]} */
  const wrong = []
  await closedLoop({ inFlight, count: accepted.length }, async (n) => {
    const id = /** @type {string} */ (accepted[n])
    try {
      const [event] = await client.result(id, { timeoutMs: resultTimeoutMs })
      results.set(id, "ok")
      if (/** @type {{ invocationId?: string } | undefined} */ (event?.data)?.invocationId !== id) wrong.push(id)
    } catch (thrown) {
      const { reason } = /** @type {{ reason?: string }} */ (thrown)
      if (reason === "DEADLINE_EXCEEDED" || reason === "DISCONNECTED") without.push(id)
      else results.set(id, String(reason))
    }
  })
  return { accepted, refused, results, without, wrong }
}

/** How often invocations ran: `once`, and `more` with the number of executions too many. @param {string} file */
export function executionsIn(file) {
  const { starts } = readTrace(file)
  let again = 0
  for (const hosts of starts.values()) again += hosts.length - 1
  return { ran: starts.size, again }
}

/**
 * How many results a stream keeps.
 * @param {import("@fn/nats").NatsConnection} nc
 * @param {string} stream
 * @returns {Promise<number>}
 */
export async function messagesIn(nc, stream) {
  const reply = await nc.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: 10_000 })
  return reply.json().state.messages
}

/**
 * The server that leads a stream; undefined while there is none.
 * @param {import("@fn/nats").NatsConnection} nc
 * @param {string} stream
 * @returns {Promise<string | undefined>}
 */
export async function streamLeader(nc, stream) {
  try {
    const reply = await nc.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: 2_000 })
    return reply.json().cluster?.leader
  } catch {
    return undefined // no leader answers
  }
}
