/**
 * `npm run test:soak`: the long tests. Runs every e2e/soak/*.soak.mjs, one after the other. Each exports `name` and
 * `run({ scale, log }) → { passed, failed, figures }`: `scale` 1 is the full length, `figures` are the numbers worth printing.
 *
 *   npm run test:soak -- --scale 0.1          a tenth of the length, as CI does
 *   npm run test:soak -- redeploy             only those whose file name contains the word
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { root, workFolder } from "./lib/paths.mjs"
import { formatDuration } from "./lib/run.mjs"
import { ensureSetup } from "./setup.mjs"

/** Runs the soak tests; resolves to their outcomes: `{ name, passed, failed, figures, durationMs }`. */
export async function soak({ scale = 1, words = [], folder = join(root, "e2e", "soak") } = {}) {
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".soak.mjs")) : []
  const wanted = files.filter((file) => words.length === 0 || words.some((word) => file.includes(word))).sort()
  const outcomes = []
  for (const file of wanted) outcomes.push(await runOne(join(folder, file), scale))
  return outcomes
}

async function runOne(file, scale) {
  const startedAt = Date.now()
  const log = (line) => process.stderr.write(`  ${line}\n`)
  let outcome
  try {
    const test = await import(pathToFileURL(file).href)
    process.stderr.write(`▶ ${test.name}\n`)
    outcome = { name: test.name, ...(await test.run({ scale, log })) }
  } catch (error) {
    process.stderr.write(`${error.stack}\n`)
    outcome = { name: file, passed: 0, failed: 1, figures: {} }
  }
  const durationMs = Date.now() - startedAt
  for (const [figure, value] of Object.entries(outcome.figures ?? {})) process.stderr.write(`  ${figure}: ${value}\n`)
  process.stderr.write(
    `${outcome.failed === 0 ? "✓" : "✗"} ${outcome.passed} passed, ${outcome.failed} failed in ${formatDuration(durationMs)}\n`,
  )
  return { ...outcome, durationMs }
}

async function main() {
  const { values, positionals } = parseArgs({ options: { scale: { type: "string", default: "1" } }, allowPositionals: true })
  const scale = Number(values.scale)
  if (!(scale > 0)) throw new Error(`--scale must be a number above 0, not ${values.scale}`)
  await ensureSetup()
  const outcomes = await soak({ scale, words: positionals })
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0)
  mkdirSync(workFolder, { recursive: true })
  writeFileSync(join(workFolder, "soak-summary.json"), JSON.stringify({ scale, passed, failed, outcomes }, null, 2))
  process.stderr.write(outcomes.length === 0 ? "no soak tests found\n" : `\nsoak at scale ${scale}: ${passed} passed, ${failed} failed\n`)
  return failed === 0
}

if (import.meta.filename === process.argv[1]) {
  try {
    process.exitCode = (await main()) ? 0 : 1
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
