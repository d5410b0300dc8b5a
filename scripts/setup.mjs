/**
 * Makes a checkout ready to run: installs what the lockfile says and builds every package. `npm run setup`, which also installs what of the
 * system the tests need; the other scripts call `ensureSetup()` first. Needs Node and npm alone. What is up to date is skipped in a few
 * milliseconds, by a stamp in node_modules: the hash of everything an install depends on, and the moment the last successful build began.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { installJavaPackages } from "./lib/java-packages.mjs"
import { packageFolders, readManifest, root, workFolder } from "./lib/paths.mjs"
import { withProgress } from "./lib/progress.mjs"
import { installPythonPackages } from "./lib/python-packages.mjs"
import { runLogged, tail } from "./lib/run.mjs"
import { installSystemTools } from "./lib/system-tools.mjs"

const MIN_NODE = [20, 19]
const stampFile = join(root, "node_modules", ".fn-setup.json")
const lockFolder = join(workFolder, "setup.lock")
const logFile = join(workFolder, "setup.log")

/** Installs and builds what is not up to date. Throws an Error whose message a person can act on. */
export async function ensureSetup({ quiet = false } = {}) {
  checkNode()
  if (isInstalled() && isBuilt()) return
  await withLock(async () => {
    rmSync(logFile, { force: true })
    if (!isInstalled()) await install({ quiet })
    if (!isBuilt()) await build({ quiet })
  })
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number)
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return
  throw new Error(
    `fn needs Node ${MIN_NODE.join(".")} or newer, but this is ${process.version}. Install the current LTS release from https://nodejs.org and try again.`,
  )
}

async function install({ quiet }) {
  const [, version] = readManifest(".").packageManager.split("@")
  // pnpm through npx, so that nobody has to install it; in CI mode, so that it never asks.
  const args = ["--yes", `pnpm@${version}`, "install", "--frozen-lockfile", "--prefer-offline", "--reporter=append-only"]
  const hash = installHash()
  await step("Installing packages", "npx", args, { env: { CI: "true" }, quiet })
  writeStamp({ install: hash })
}

async function build({ quiet }) {
  const builtAt = Date.now() // before the build: what changes while it runs is built next time
  await step("Building packages", "turbo", ["run", "build", "--concurrency=2"], { quiet })
  writeStamp({ builtAt })
}

async function step(label, command, args, { quiet, env = {} }) {
  await withProgress(
    label,
    async () => {
      const { code } = await runLogged(command, args, { logFile, env })
      if (code !== 0) throw new Error(`${label} failed (exit code ${code}). The end of ${logFile}:\n\n${tail(logFile, 30)}`)
    },
    { quiet },
  )
}

function isInstalled() {
  return readStamp().install === installHash()
}

/** Everything that decides what an install puts into node_modules. */
function installHash() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`)
  const files = ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json", ...packageFolders().map((folder) => join(folder, "package.json"))]
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest("hex")
}

/** Whether no source is newer than the last build. turbo and tsc look closer; this only saves starting them. */
function isBuilt() {
  const { builtAt } = readStamp()
  if (builtAt === undefined) return false
  if (newerThan(join(root, "tsconfig.base.json"), builtAt) || newerThan(join(root, "turbo.json"), builtAt)) return false
  return packageFolders().every((folder) => {
    const path = join(root, folder)
    if (!existsSync(join(path, "dist")) && readManifest(folder).scripts?.build !== undefined) return false
    if (newerThan(join(path, "package.json"), builtAt) || newerThan(join(path, "tsconfig.json"), builtAt)) return false
    return !hasNewer(join(path, "src"), builtAt)
  })
}

/** Whether anything below `folder` changed after `time`; folders count too, for files that were deleted. Tests are not built. */
function hasNewer(folder, time) {
  if (!existsSync(folder)) return false
  if (newerThan(folder, time)) return true
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return hasNewer(path, time)
    return !/\.test(-d)?\.ts$/.test(entry.name) && newerThan(path, time)
  })
}

function newerThan(path, time) {
  return existsSync(path) && statSync(path).mtimeMs > time
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"))
  } catch {
    return {} // no stamp yet, or one that was cut short: do the work again
  }
}

function writeStamp(change) {
  writeFileSync(stampFile, JSON.stringify({ ...readStamp(), ...change }))
}

/** One setup at a time: two scripts started together must not install into the same node_modules. */
async function withLock(work) {
  mkdirSync(workFolder, { recursive: true })
  const ownerFile = join(lockFolder, "pid")
  while (!tryLock(ownerFile)) await new Promise((resolve) => setTimeout(resolve, 200))
  try {
    await work()
  } finally {
    rmSync(lockFolder, { recursive: true, force: true })
  }
}

function tryLock(ownerFile) {
  try {
    mkdirSync(lockFolder)
    writeFileSync(ownerFile, String(process.pid))
    return true
  } catch (error) {
    if (error.code !== "EEXIST") throw error
  }
  // Held by somebody; left over when its owner is gone, or died before it wrote its pid.
  const owner = existsSync(ownerFile) ? Number(readFileSync(ownerFile, "utf8")) : 0
  const abandoned = owner > 0 ? !isRunning(owner) : !newerThan(lockFolder, Date.now() - 5_000)
  if (abandoned) rmSync(lockFolder, { recursive: true, force: true })
  return false
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

if (import.meta.filename === process.argv[1]) {
  try {
    await ensureSetup()
    await installSystemTools({ logFile })
    await installPythonPackages({ logFile })
    await installJavaPackages({ logFile })
    process.stderr.write("Ready.\n")
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
