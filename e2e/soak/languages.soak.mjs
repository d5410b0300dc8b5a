/**
 * One function in every language, built and deployed by `fn`, on one host: for the same real events all of them say the same, namely what the
 * TypeScript function says when it is called directly.
 */
import { fileURLToPath, pathToFileURL } from "node:url"
import { buildFunction } from "@fn/cli"
import { compareLabels } from "../../examples/issue-labeler/test/compare.mjs"
import { deployFolder } from "../support/fn.mjs"
import { startPlatform } from "../support/platform.mjs"
import { quantile, scaled, Tally } from "../support/tally.mjs"
import { toolchainFor } from "../support/toolchains.mjs"

export const name = "the same answers in every language"

const AT_ONCE = 32
/** Where each is, and what builds it. */
const FUNCTIONS = [
  { name: "issue-labeler", folder: "issue-labeler", language: "js" },
  { name: "issue-labeler-plugin", folder: "issue-labeler/test/as-plugin", language: "js" },
  ...["go", "python", "rust", "java"].map((language) => {
    const folder = `issue-labeler-${language}`
    return { name: folder, folder, language }
  }),
]

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const events = scaled(500, scale, 50)
  const platform = await startPlatform()
  try {
    const cache = { FN_CACHE_DIR: platform.folder.file("cache") }
    const reference = await importFunction(exampleFolder("issue-labeler"), cache)
    tally.figure("events", events)
    const deploying = FUNCTIONS.map(async ({ name, folder, language }) => {
      const { needs, env } = toolchainFor(language)
      if (needs === undefined) await deployFolder(exampleFolder(folder), { natsUrl: platform.server.url, env: { ...env, ...cache } })
      else console.warn(`SKIPPED: needs ${needs}: ${name} beside the same function in TypeScript`)
      return needs === undefined ? [name] : []
    })
    for (const name of (await Promise.all(deploying)).flat()) {
      /** @type {number[]} */
      const callMs = []
      /** @param {import("../../examples/issue-labeler/test/compare.mjs").Hook} hook */
      const label = async ({ type, payload }) => {
        const startedAt = performance.now()
        const answer = await platform.client.invoke(name, { type, source: "https://github.com/o/r", data: payload }, { timeoutMs: 60_000 })
        callMs.push(performance.now() - startedAt)
        return answer
      }
      const { differences, labels } = await compareLabels(reference, label, { events, atOnce: AT_ONCE, config: { without: [] } })
      for (const difference of differences.slice(0, 3)) log(`${name}: ${JSON.stringify(difference)}`)
      tally.check(`${name}: answers that differ`, differences.length)
      // Else the comparison would be worth little: several rules had their say.
      tally.check(`${name}: labels that were given`, labels.size, (count) => count > 4)
      tally.figure(`${name}: call, ms, p50 and p99`, `${quantile(callMs, 0.5)} ${quantile(callMs, 0.99)}`)
    }
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/** @param {string} folder */
function exampleFolder(folder) {
  return fileURLToPath(new URL(`../../examples/${folder}`, import.meta.url))
}

/**
 * The function of a folder, bundled as for a deploy, to be called directly.
 * @param {string} dir
 * @param {Readonly<Record<string, string>>} env
 * @returns {Promise<import("@fn/plugin-sdk").FunctionModule>}
 */
async function importFunction(dir, env) {
  const { artifact } = await buildFunction(dir, { env })
  return (await import(pathToFileURL(/** @type {{ path: string }} */ (artifact).path).href)).default
}
