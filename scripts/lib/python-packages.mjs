/**
 * Python with what its SDK and tests need, as a virtual environment in the work folder; nothing is installed outside of it. Without Python,
 * or without a way to its packages, a sentence says so, and the tests that need it skip, saying so.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, workFolder } from "./paths.mjs"
import { withProgress } from "./progress.mjs"
import { runLogged } from "./run.mjs"
import { findOnPath } from "./which.mjs"

const requirements = join(root, "sdk/python/requirements-dev.txt")
const folder = join(workFolder, "python")
/** Written last: tests look for it. */
const readyFile = join(folder, "ready")

/** Makes the environment if it is not up to date. Never throws: without it everything but Python works. */
export async function installPythonPackages({ logFile, quiet = false }) {
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex")
  if (existsSync(readyFile) && readFileSync(readyFile, "utf8") === hash) return
  if (findOnPath("python3") === undefined) return report("python3 is not installed")
  try {
    await withProgress("Installing Python packages", () => install(hash, logFile), { quiet })
  } catch (error) {
    report(error.message)
  }
}

async function install(hash, logFile) {
  rmSync(folder, { recursive: true, force: true })
  const pip = join(folder, "bin/pip")
  const wheels = join(folder, "wheels")
  const options = ["--disable-pip-version-check", "--only-binary", ":all:"]
  const steps = [
    ["python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"], "this python3 is older than 3.9"],
    ["python3", ["-m", "venv", folder], "python3 cannot make virtual environments"],
    // Wheels only: compiling grpcio takes a quarter of an hour. They are kept, for tests that build functions.
    [pip, ["download", ...options, "-d", wheels, "-r", requirements], "pip could not fetch the packages"],
    [pip, ["install", ...options, "--no-index", "--find-links", wheels, "-r", requirements], "pip could not install the packages"],
  ]
  for (const [command, args, problem] of steps) {
    const { code } = await runLogged(command, args, { logFile })
    if (code !== 0) throw new Error(`${problem} (exit code ${code}; the output is in ${logFile})`)
  }
  writeFileSync(readyFile, hash)
}

function report(problem) {
  process.stderr.write(`${problem}: functions in Python cannot be tested here.\n`)
}
