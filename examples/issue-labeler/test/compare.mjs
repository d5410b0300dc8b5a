/**
 * Whether a function that labels issues, however it is written and run, says the same as this one called directly. For the tests of all of them,
 * and for the soak tests, which run without a build: hence plain JavaScript.
 */
import { isDeepStrictEqual } from "node:util"
import { testFunction } from "@fn/plugin-sdk/testing"
import { hookAt } from "./webhooks.mjs"

/** @typedef {import("./webhooks.mjs").Hook} Hook */
/** An event that came back. @typedef {{ type?: string | undefined, subject?: string | undefined, data?: unknown }} Answer */
/** An answer that is not as it should be. @typedef {{ index: number, type: string, expected: unknown, found: unknown }} Difference */
/**
 * @typedef {object} CompareOptions
 * @property {number} events how many are sent
 * @property {number} [atOnce] how many of them at the same time; all unless said
 * @property {Record<string, unknown>} [config] configuration of both functions
 */

/**
 * Sends real webhooks to both. The labels that were given tell whether the comparison is worth something: several rules should have had their say.
 * @param {import("@fn/plugin-sdk").FunctionModule} reference
 * @param {(hook: Hook) => Promise<readonly Answer[]>} label
 * @param {CompareOptions} options
 * @returns {Promise<{ differences: Difference[], labels: Set<string> }>}
 */
export async function compareLabels(reference, label, { events, atOnce = events, config = {} }) {
  const typescript = await testFunction(reference, { config, strict: true })
  /** @type {Difference[]} */
  const differences = []
  /** @type {Set<string>} */
  const labels = new Set()
  let next = 0
  const compareSome = async () => {
    for (let index = next++; index < events; index = next++) {
      const hook = hookAt(index)
      const answered = label(hook)
      const expected = plain(await typescript.invoke({ type: hook.type, source: "https://github.com/o/r", data: hook.payload }))
      const found = plain(await answered)
      if (!isDeepStrictEqual(found, expected)) differences.push({ index, type: hook.type, expected, found })
      for (const { data } of expected) for (const name of /** @type {{ labels: string[] }} */ (data).labels) labels.add(name)
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, compareSome))
    return { differences, labels }
  } finally {
    await typescript[Symbol.asyncDispose]()
  }
}

/** What must be the same of events, as values of one realm. @param {readonly Answer[]} events @returns {Answer[]} */
function plain(events) {
  return JSON.parse(JSON.stringify(events.map(({ type, subject, data }) => ({ type, subject, data }))))
}
