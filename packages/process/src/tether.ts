import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

let setpriv: string | undefined | null

/**
 * The command line that makes the kernel kill `command` when the process that spawns it dies, SIGKILL included
 * (prctl PR_SET_PDEATHSIG, through util-linux's setpriv, which execs: the pid stays the child's).
 *
 * Elsewhere than on Linux, or without setpriv, the command line itself: such a child must notice by itself that its pipes closed.
 * The signal follows the *thread* that spawned, so never spawn from a worker.
 */
export function tether(command: string, args: readonly string[]): { command: string; args: string[] } {
  const path = setprivPath()
  if (!path) return { command, args: [...args] }
  return { command: path, args: ["--pdeathsig", "KILL", "--", command, ...args] }
}

/** Whether children are killed by the kernel when their parent dies. */
export function canTether(): boolean {
  return setprivPath() !== undefined
}

function setprivPath(): string | undefined {
  if (setpriv === undefined)
    setpriv = process.platform === "linux" ? (findOnPath("setpriv") ?? findOnPath("setpriv", "/usr/bin:/bin") ?? null) : null
  return setpriv ?? undefined
}

/** The first executable called `name` on PATH. */
export function findOnPath(name: string, path: string = process.env.PATH ?? ""): string | undefined {
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue
    const candidate = join(folder, name)
    try {
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch {
      // not in this folder: the next one may have it
    }
  }
  return undefined
}
