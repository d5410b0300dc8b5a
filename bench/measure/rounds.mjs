/**
 * Closed loops in turns. All that is to be compared takes part in every round, forwards and then backwards, so that what the machine does to one
 * it does to all; a ratio is taken within a round.
 */
import { median, rangeOf } from "./statistics.mjs"
import { cpuUs, descendantsCpuUs, peakRssMb } from "./usage.mjs"

const WARM_UP = { inFlight: 64, durationMs: 1_500 }

/** What a load is called: two rows that need the same one share it. */
export function keyOf({ target, inFlight, sizeBytes = 256, runtimes = 1 }) {
  return `${target} ${inFlight} ${sizeBytes} ${runtimes}`
}

/**
 * Runs each of `loads` (`{ target, inFlight, sizeBytes?, runtimes? }`, each once) in every round. Resolves with `{ samples }` or, where a call
 * failed or a reply was wrong, `{ error }`, by key.
 */
export async function measureLoads(lab, loads, { rounds, roundMs, onProgress }) {
  const measured = new Map()
  for (const load of loads) measured.set(keyOf(load), { load, samples: [] })
  const attempt = async (entry, work) => {
    if (entry.error) return
    try {
      await work()
    } catch (error) {
      entry.error = error
      onProgress(`${entry.load.target} failed: ${error.message}`)
    }
  }
  for (const entry of measured.values()) {
    onProgress(`warming up: ${entry.load.target}`)
    await attempt(entry, async () => {
      entry.running = await lab.target(entry.load.target, entry.load)
      await entry.running.client.closedLoop({ ...WARM_UP, durationMs: Math.min(WARM_UP.durationMs, roundMs) })
    })
  }
  for (let round = 0; round < rounds; round++) {
    onProgress(`round ${round + 1} of ${rounds}`)
    const entries = [...measured.values()]
    for (const entry of round % 2 === 0 ? entries : entries.reverse())
      await attempt(entry, async () => void entry.samples.push(await sample(entry, roundMs)))
  }
  return measured
}

async function sample({ load, running }, durationMs) {
  const before = cpuOf(running.pids)
  const run = await running.client.closedLoop({ inFlight: load.inFlight, durationMs })
  const after = cpuOf(running.pids)
  const cpuUsPerCall = Object.fromEntries(Object.keys(after).map((role) => [role, (after[role] - before[role]) / run.calls]))
  return { ...run, cpuUsPerCall, rssMb: rssOf(running.pids) }
}

/** CPU time by role. What a runtime-service has started is the functions'. */
function cpuOf(pids) {
  const byRole = Object.fromEntries(Object.entries(pids).map(([role, ids]) => [role, sum(ids.map(cpuUs))]))
  return pids.runtime ? { ...byRole, functions: sum(pids.runtime.map(descendantsCpuUs)) } : byRole
}

function rssOf(pids) {
  return Object.fromEntries(Object.entries(pids).map(([role, ids]) => [role, sum(ids.map(peakRssMb))]))
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}

/** Medians of what was sampled, as a row has them. */
export function summaryOf(samples) {
  const middle = (pick) => median(samples.map(pick))
  const byRole = (field, digits) =>
    Object.fromEntries(
      Object.keys(samples[0][field]).map((role) => [
        role,
        round(
          middle((one) => one[field][role]),
          digits,
        ),
      ]),
    )
  return {
    throughput: Math.round(middle(({ perSecond }) => perSecond)),
    p50us: Math.round(middle(({ p50us }) => p50us)),
    p99us: Math.round(middle(({ p99us }) => p99us)),
    cpuUsPerCall: byRole("cpuUsPerCall", 1),
    rssMb: byRole("rssMb", 0),
  }
}

/** Ratios of the rounds: their median, and from where to where they went. */
export function ratioOf(ratios) {
  return { ratio: round(median(ratios), 3), range: rangeOf(ratios).map((ratio) => round(ratio, 3)) }
}

export function round(value, digits) {
  return Number(value.toFixed(digits))
}
