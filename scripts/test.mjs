/**
 * `npm test`: sets the checkout up, checks the types of sources and tests, then runs every jest project. Arguments go to jest
 * (`npm test -- packages/core -t "frames"`), and the type check is left out then. Ends with a summary; exit code 0 only if all passed.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, workFolder } from "./lib/paths.mjs"
import { withProgress } from "./lib/progress.mjs"
import { formatDuration, runLogged, runShown } from "./lib/run.mjs"
import { findSkips } from "./lib/skips.mjs"
import { ensureSetup } from "./setup.mjs"

const jestArgs = process.argv.slice(2)
const jestResults = join(workFolder, "jest-results.json")
/** What `.ci/run` reads. */
const summaryFile = join(workFolder, "test-summary.json")

async function main() {
  const startedAt = Date.now()
  await ensureSetup()
  const typesPassed = jestArgs.length > 0 || (await checkTypes())
  const tests = await runJest()
  const summary = { ...tests, typesPassed, durationMs: Date.now() - startedAt }
  writeFileSync(summaryFile, JSON.stringify(summary))
  report(summary)
  return typesPassed && tests.exitCode === 0
}

async function checkTypes() {
  const logFile = join(workFolder, "typecheck.log")
  rmSync(logFile, { force: true })
  const { code, output } = await withProgress("Checking types", () =>
    runLogged("turbo", ["run", "typecheck", "--continue", "--concurrency=2"], { logFile }),
  )
  if (code === 0) return true
  process.stderr.write(
    `${output
      .split("\n")
      .filter((line) => /error|warning/i.test(line))
      .join("\n")}\nAll of it: ${logFile}\n`,
  )
  return false
}

async function runJest() {
  mkdirSync(workFolder, { recursive: true })
  rmSync(jestResults, { force: true })
  let output = ""
  const color = process.stderr.isTTY && !process.env.NO_COLOR ? ["--colors"] : []
  const exitCode = await runShown(
    process.execPath,
    [
      // Given to node here, not by NODE_OPTIONS, which every process that a test starts would inherit.
      "--experimental-vm-modules",
      "--disable-warning=ExperimentalWarning",
      join(root, "node_modules", "jest", "bin", "jest.js"),
      "--maxWorkers=2",
      "--json",
      `--outputFile=${jestResults}`,
      ...color,
      ...jestArgs,
    ],
    { onOutput: (text) => (output += text) },
  )
  const results = existsSync(jestResults) ? JSON.parse(readFileSync(jestResults, "utf8")) : undefined
  return {
    exitCode,
    passed: results?.numPassedTests ?? 0,
    // A file that could not even be loaded has no tests to count: it counts as one.
    failed: (results?.numFailedTests ?? 0) + (results?.numRuntimeErrorTestSuites ?? 1),
    pending: (results?.numPendingTests ?? 0) + (results?.numTodoTests ?? 0),
    skips: findSkips(output),
  }
}

function report({ passed, failed, pending, skips, typesPassed, durationMs }) {
  const lines = [""]
  for (const skip of skips) lines.push(`SKIPPED: ${skip.needs ? `needs ${skip.needs}: ` : ""}${skip.what}`)
  const types = jestArgs.length > 0 ? [] : [typesPassed ? "types ok" : "types FAILED"]
  const skipped = pending + skips.length
  const counts = [...types, `${passed} tests passed`, `${failed} failed`, ...(skipped > 0 ? [`${skipped} skipped`] : [])]
  lines.push(`${counts.join(", ")} in ${formatDuration(durationMs)}`, "")
  process.stderr.write(lines.join("\n"))
}

try {
  process.exitCode = (await main()) ? 0 : 1
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
