/**
 * Programs of the system that some tests need and that no package of npm brings. Where we are root on Debian they are installed; elsewhere
 * a sentence says what is missing, and the tests that need it skip, saying so.
 */

import { withProgress } from "./progress.mjs"
import { runLogged } from "./run.mjs"
import { findOnPath } from "./which.mjs"

/** Program, its Debian package, what it is for. */
const TOOLS = [
  { program: "bwrap", debianPackage: "bubblewrap", purpose: "sandboxes for functions" },
  { program: "ruby", debianPackage: "ruby", purpose: "functions in Ruby" },
  { program: "php", debianPackage: "php-cli", purpose: "functions in PHP" },
]
/** Of Rust, where rustup is there to fetch it: for functions in Rust as WebAssembly. */
const RUST_TARGET = "wasm32-wasip1"

/** Installs what is missing, if that is possible here. Never throws: without these programs everything else works. */
export async function installSystemTools({ logFile, quiet = false }) {
  await installPackages({ logFile, quiet })
  await installRustTarget({ logFile, quiet })
}

async function installPackages({ logFile, quiet }) {
  const missing = TOOLS.filter(({ program }) => process.platform === "linux" && findOnPath(program) === undefined)
  if (missing.length === 0) return
  if (process.getuid?.() !== 0 || findOnPath("apt-get") === undefined) return report(missing)
  const packages = missing.map(({ debianPackage }) => debianPackage)
  try {
    await withProgress(`Installing ${packages.join(", ")}`, () => aptInstall(packages, logFile), { quiet })
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    report(missing)
  }
}

async function aptInstall(packages, logFile) {
  const env = { DEBIAN_FRONTEND: "noninteractive" }
  // Without the lists of a fresh machine nothing can be found; with lists that are hours old, mostly everything.
  const install = () => runLogged("apt-get", ["install", "-y", "--no-install-recommends", ...packages], { logFile, env })
  if ((await install()).code === 0) return
  await runLogged("apt-get", ["update"], { logFile, env })
  const { code } = await install()
  if (code !== 0) throw new Error(`apt-get could not install ${packages.join(", ")} (exit code ${code}); its output is in ${logFile}`)
}

async function installRustTarget({ logFile, quiet }) {
  if (findOnPath("rustup") === undefined) return
  const { output } = await runLogged("rustup", ["target", "list", "--installed"], { logFile })
  if (output.split("\n").includes(RUST_TARGET)) return
  const add = () => runLogged("rustup", ["target", "add", RUST_TARGET], { logFile })
  const { code } = await withProgress(`Adding ${RUST_TARGET} to Rust`, add, { quiet })
  if (code !== 0)
    process.stderr.write(`rustup could not add ${RUST_TARGET} (functions in Rust as WebAssembly); its output is in ${logFile}\n`)
}

function report(missing) {
  for (const { program, debianPackage, purpose } of missing)
    process.stderr.write(`${program} is not installed (${purpose}): install ${debianPackage} with your system's package manager.\n`)
}
