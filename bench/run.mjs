/** From scenarios to rows: what was asked for, what can run here, measured. */
import { createLab } from "./lab.mjs"
import { loadOutcome, loadsOf, referenceOutcome } from "./measure/load-rows.mjs"
import { keyOf, measureLoads } from "./measure/rounds.mjs"
import { rowOf } from "./measure/row.mjs"

const LOAD_DEFAULTS = { rounds: 7, roundMs: 1_000 }

/**
 * Runs the rows of `scenarios` whose name `isWanted`. Resolves with all of them, those included that were skipped or have failed, and after them
 * what they were compared with. `settings` are `{ isolation, rounds?, roundMs?, scale, onProgress }`.
 */
export async function runScenarios(scenarios, { isWanted = () => true, ...settings }) {
  const wanted = scenarios.map((scenario) => ({ scenario, promises: scenario.rows(settings).filter(({ name }) => isWanted(name)) }))
  const promises = wanted.flatMap((one) => one.promises)
  const outcomes = new Map()
  for (const promise of promises) {
    const missing = (promise.needs ?? []).find(({ isThere }) => !isThere())
    if (missing) outcomes.set(promise, { skipped: `needs ${missing.thing}` })
  }
  const runnable = (promise) => !outcomes.has(promise)
  const references = await runLoads(
    promises.filter((promise) => promise.load && runnable(promise)),
    outcomes,
    settings,
  )
  for (const { scenario, promises: own } of wanted) {
    const rest = own.filter((promise) => !promise.load && runnable(promise))
    if (rest.length > 0) await runOne(scenario, rest, outcomes, settings)
  }
  return [...promises.map((promise) => rowOf(promise, outcomes.get(promise))), ...references]
}

/** Loads in turns, those with as many calls in flight, bytes and rounds together. Resolves with the rows of what they were compared with. */
async function runLoads(promises, outcomes, settings) {
  const measured = new Map()
  const groups = groupBy(promises, groupOf)
  await inLab(settings, async (lab) => {
    for (const group of groups.values()) {
      const loads = new Map(group.flatMap(loadsOf).map((load) => [keyOf(load), load]))
      const results = await measureLoads(lab, [...loads.values()], { ...LOAD_DEFAULTS, rounds: roundsOf(group[0]), ...settings })
      for (const promise of group) outcomes.set(promise, loadOutcome(promise, results))
      // What was measured in more than one group: as in the first, which is that of the rows with goals.
      for (const [key, result] of results) if (!measured.has(key)) measured.set(key, result)
    }
  })
  const names = new Set(promises.map(({ name }) => name))
  const against = new Map(promises.map((promise) => loadsOf(promise)[1]).map((load) => [keyOf(load), load]))
  return [...against.values()]
    .map((load) => ({ name: referenceName(load), load }))
    .filter(({ name }) => !names.has(name))
    .map(({ name, load }) =>
      rowOf(
        { name, reference: name, policy: "it is a reference", durability: "that of a reference" },
        referenceOutcome(measured.get(keyOf(load))),
      ),
    )
}

function groupOf(promise) {
  const { inFlight = 64, sizeBytes = 256 } = promise.load
  return `${inFlight} ${sizeBytes} ${roundsOf(promise)}`
}

function roundsOf({ load }) {
  return load.rounds ?? LOAD_DEFAULTS.rounds
}

function groupBy(values, keyOfValue) {
  const groups = new Map()
  for (const value of values) groups.set(keyOfValue(value), [...(groups.get(keyOfValue(value)) ?? []), value])
  return groups
}

function referenceName({ target, inFlight, sizeBytes }) {
  const size = sizeBytes === 256 ? "" : `-${sizeBytes}`
  return `${target}${size}${inFlight === 64 ? "" : `-${inFlight}`}`
}

async function runOne(scenario, promises, outcomes, settings) {
  try {
    const results = await inLab(settings, (lab) => scenario.run(lab, promises, settings))
    for (const [at, promise] of promises.entries()) outcomes.set(promise, results[at])
  } catch (error) {
    // The other rows run all the same: one run tells everything.
    settings.onProgress(error.stack)
    for (const promise of promises) outcomes.set(promise, { failed: error.message })
  }
}

/** A lab for `work` alone. */
async function inLab(settings, work) {
  const lab = createLab(settings)
  try {
    return await work(lab)
  } finally {
    await lab.stop()
  }
}
