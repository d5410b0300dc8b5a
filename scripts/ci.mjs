/** What `.ci/run` runs. Every part runs even if one before it failed, so that one run tells everything. */
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { root, workFolder } from "./lib/paths.mjs"
import { formatDuration, runShown } from "./lib/run.mjs"

const SOAK_SCALE = "0.1"
const counts = { passed: 0, failed: 0 }

async function main() {
  // First, where nothing is installed or built yet: that is where a newcomer starts.
  await part("demo", ["demo.mjs"], ({ code }) => count(code === 0 ? 1 : 0, code === 0 ? 0 : 1))
  await part("setup", ["setup.mjs"], ({ code }) => count(code === 0 ? 1 : 0, code === 0 ? 0 : 1))
  await part(
    "checks",
    ["verify.mjs"],
    ({ code, summary }) => {
      if (!summary) return count(0, 1)
      const failed = summary.filter((check) => !check.passed).length
      count(summary.length - failed, failed)
      if (code !== 0 && failed === 0) count(0, 1)
    },
    "verify-summary.json",
  )
  await part(
    "tests",
    ["test.mjs", "--ci"],
    ({ code, summary }) => {
      if (!summary) return count(0, 1)
      count(summary.passed, summary.failed)
      if (code !== 0 && summary.failed === 0) count(0, 1)
      countSkips(summary)
    },
    "test-summary.json",
  )
  await part(
    "soak",
    ["soak.mjs", "--scale", SOAK_SCALE],
    ({ code, summary }) => {
      if (!summary) return count(0, 1)
      count(summary.passed, summary.failed)
      if (code !== 0 && summary.failed === 0) count(0, 1)
    },
    "soak-summary.json",
  )
}

/** Runs a script, its output going to stderr, and hands its exit code and the summary it wrote to `tally`. */
async function part(title, [script, ...args], tally, summaryName) {
  const startedAt = Date.now()
  const summaryFile = summaryName && join(workFolder, summaryName)
  if (summaryFile) rmSync(summaryFile, { force: true })
  process.stdout.write(`\n── ${title}: node scripts/${[script, ...args].join(" ")}\n`)
  const code = await runShown(process.execPath, [join(root, "scripts", script), ...args])
  tally({ code, summary: summaryFile && existsSync(summaryFile) ? JSON.parse(readFileSync(summaryFile, "utf8")) : undefined })
  process.stdout.write(`── ${title}: exit code ${code} after ${formatDuration(Date.now() - startedAt)}\n`)
}

/** A skip fails the run unless this machine lacks what the test needs; one without a reason always does. */
function countSkips({ skips, pending }) {
  const unfounded = skips.filter((skip) => !skip.allowed)
  for (const { needs, what } of unfounded) {
    process.stdout.write(`skipped although it could have run: ${needs ? `needs ${needs}: ` : ""}${what}\n`)
  }
  if (pending > 0)
    process.stdout.write(`${pending} tests are marked skip or todo: print "SKIPPED: needs <thing>: <what>" and return instead\n`)
  count(0, unfounded.length + pending)
}

function count(passed, failed) {
  counts.passed += passed
  counts.failed += failed
}

try {
  await main()
} catch (error) {
  process.stdout.write(`${error.stack}\n`)
  count(0, 1)
}
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed\n`)
process.exitCode = counts.failed === 0 ? 0 : 1
