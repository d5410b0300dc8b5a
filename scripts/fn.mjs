/**
 * The `fn` command from a clone: `npm run -s fn -- <args>`. Makes the checkout ready first (saying so on stderr only), then runs the
 * command in this process, so that its output, exit code and signals are the command's own.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { root } from "./lib/paths.mjs"
import { ensureSetup } from "./setup.mjs"

const WATCH_NPM_EVERY_MS = 500

try {
  await ensureSetup({ quiet: !process.stderr.isTTY })
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(4)
}

const main = join(root, "apps/cli/dist/main.js")
// What hints tell people to type.
process.env.FN_COMMAND ??= "npm run -s fn --"
// npm runs scripts in the repository's root; relative paths on the command line mean the folder it was called in.
if (process.env.INIT_CWD) process.chdir(process.env.INIT_CWD)
if (process.env.npm_lifecycle_event === "fn") endWithNpm()
process.argv[1] = main
await import(pathToFileURL(main).href)

/** A killed npm cannot tell its script. Without this, `fn dev` would go on with nobody to stop it. */
function endWithNpm() {
  const ancestors = npmAncestors()
  const timer = setInterval(() => {
    if (ancestors.every(({ pid, startedAt }) => readProcess(pid)?.startedAt === startedAt)) return
    clearInterval(timer)
    process.kill(process.pid, "SIGTERM")
  }, WATCH_NPM_EVERY_MS)
  timer.unref()
}

/** From this process's parent up to npm: usually npm itself, or a shell that it runs scripts with. Empty where there is no /proc. */
function npmAncestors() {
  const ancestors = []
  for (let next = readProcess(process.ppid); next; next = readProcess(next.parent)) {
    ancestors.push(next)
    if (/^npm\b/.test(next.command) || /\bnpm(-cli\.js)?\b/.test(next.command)) return ancestors
    if (ancestors.length === 3) break
  }
  return ancestors.slice(0, 1)
}

function readProcess(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
    return { pid, parent: Number(fields[1]), startedAt: fields[19], command }
  } catch {
    return undefined // it ended, or this system has no /proc
  }
}
