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
export function tether(command: string, args: readonly string[], rights?: Rights): { command: string; args: string[] } {
  const path = setprivPath()
  if (!path) {
    if (rights) throw new Error("giving up rights needs setpriv (util-linux), and it is not on PATH")
    return { command, args: [...args] }
  }
  return { command: path, args: [...(rights ? givingUp(rights) : []), "--pdeathsig", "KILL", "--", command, ...args] }
}

/** What a child keeps of our rights. By setpriv, because the kernel forgets the parent-death signal when a process changes its user. */
export interface Rights {
  /** Become this user and the group of the same number, in no other groups, without capabilities. Needs root. Default: stay who we are. */
  readonly uid?: number
}

/** Whatever else is kept: setuid files give nothing back. */
function givingUp({ uid }: Rights): string[] {
  if (uid === undefined) return ["--no-new-privs"]
  const id = String(uid)
  return ["--reuid", id, "--regid", id, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
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
