/**
 * `npm run verify`: everything that can be checked without running the product. Checks run one after the other, all of them even if one
 * fails; the output of those that fail is shown. `npm run verify -- lint docs` runs only the checks whose name begins with one of the words.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { checkDocs } from "./docs.mjs"
import { root, workFolder } from "./lib/paths.mjs"
import { formatDuration, runLogged } from "./lib/run.mjs"
import { ensureSetup } from "./setup.mjs"

const logFile = join(workFolder, "verify.log")
/** Of a failed check's output this much is shown. */
const MAX_LINES = 100
const turbo = (task) => ["turbo", "run", task, "--continue", "--concurrency=2"]

/** Each check: a command line, or a function that resolves to the problems it found. */
const CHECKS = {
  types: turbo("typecheck"),
  "lint: biome": ["biome", "ci", "--colors=off", "--max-diagnostics=30", "."],
  "lint: layers": ["depcruise", "proto", "packages", "apps", "--config", ".dependency-cruiser.cjs"],
  "lint: eslint": ["eslint", "--cache", "--cache-location", join(workFolder, "eslintcache"), "."],
  "lint: unused": ["knip", "--no-config-hints"],
  "lint: proto": { command: ["buf", "lint"], cwd: join(root, "proto") },
  "generated code": checkGenerated,
  "package: publint": turbo("publint"),
  "package: types": turbo("attw"),
  docs: checkDocs,
}

/** Runs the checks; resolves to their outcomes: `{ name, passed, durationMs }`. */
export async function verify({ only = [] } = {}) {
  rmSync(logFile, { force: true })
  const outcomes = []
  for (const [name, check] of Object.entries(CHECKS)) {
    if (only.length > 0 && !only.some((word) => name.startsWith(word))) continue
    const startedAt = Date.now()
    const problems = await runCheck(check)
    const durationMs = Date.now() - startedAt
    outcomes.push({ name, passed: problems === "", durationMs })
    process.stderr.write(`${problems === "" ? "✓" : "✗"} ${name} (${formatDuration(durationMs)})\n`)
    if (problems !== "") process.stderr.write(`${problems.trimEnd().replace(/^/gm, "    ")}\n`)
  }
  return outcomes
}

async function runCheck(check) {
  if (typeof check === "function") return (await check()).join("\n")
  const { command, cwd } = Array.isArray(check) ? { command: check, cwd: root } : check
  const [tool, ...args] = command
  const { code, output } = await runLogged(tool, args, { cwd, logFile })
  if (code === 0) return ""
  return output.trim() === "" ? `exit code ${code}` : shortened(output)
}

function shortened(output) {
  const lines = output.trimEnd().split("\n")
  return lines.length <= MAX_LINES
    ? output
    : `${lines.slice(0, MAX_LINES).join("\n")}\n… ${lines.length - MAX_LINES} more lines in ${logFile}`
}

/** Generates the code from the .proto files anew, elsewhere, and compares it with what is committed. */
async function checkGenerated() {
  const folder = mkdtempSync(join(tmpdir(), "fn-generated-"))
  try {
    const { code, output } = await runLogged("buf", ["generate", "--output", folder], { cwd: join(root, "proto"), logFile })
    if (code !== 0) return [`buf generate failed with exit code ${code}: ${output}`]
    const [committed, fresh] = [join(root, "proto", "src", "gen"), join(folder, "src", "gen")]
    const files = [...new Set([...filesOf(committed), ...filesOf(fresh)])].sort()
    const stale = files.filter((file) => contentOf(join(committed, file)) !== contentOf(join(fresh, file)))
    return stale.map((file) => `proto/src/gen/${file} is not what the .proto files say: run npm run generate`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
}

function contentOf(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined
}

if (import.meta.filename === process.argv[1]) {
  try {
    await ensureSetup()
    const startedAt = Date.now()
    const outcomes = await verify({ only: process.argv.slice(2) })
    const failed = outcomes.filter((outcome) => !outcome.passed)
    writeFileSync(join(workFolder, "verify-summary.json"), JSON.stringify(outcomes))
    process.stderr.write(
      `\n${outcomes.length - failed.length} checks passed, ${failed.length} failed in ${formatDuration(Date.now() - startedAt)}\n`,
    )
    process.exitCode = failed.length === 0 ? 0 : 1
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
