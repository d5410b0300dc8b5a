/**
 * Cleans up after this process has ended, however it ends.
 *
 * A process killed with SIGKILL cleans nothing up. So a shell waits at the end of a pipe whose other end only this process holds: when the
 * pipe closes, it does what it was told to and ends.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"

/** A file or folder to remove. */
export interface LeftBehind {
  readonly path: string
  /** Remove the file only if it holds this text: another process may have put its own in its place. */
  readonly holding?: string
}

/** A waiting shell. */
export interface Keeper {
  /** Ends it; what it was to do is done now. May be called twice. */
  release(): Promise<void>
}

const REMOVE = `while [ $# -gt 1 ]; do
  if [ -z "$2" ] || grep -qF -- "$2" "$1" 2>/dev/null; then rm -rf -- "$1"; fi
  shift 2
done`

/** Starts a keeper of `left`. Without a shell on the machine nothing is kept. */
export function removeAfterDeath(left: readonly LeftBehind[]): Keeper {
  return runAfterDeath(
    REMOVE,
    left.flatMap(({ path, holding }) => [path, holding ?? ""]),
  )
}

/** Starts a keeper that runs a shell script, with `args` as `$1`, `$2` … */
export function runAfterDeath(script: string, args: readonly string[]): Keeper {
  // Its own group, so that Ctrl-C in a terminal does not end it before us.
  const keeper = spawn("/bin/sh", ["-c", `while read -r line; do :; done\n${script}`, "fn-keeper", ...args], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
  })
  keeper.on("error", () => undefined) // no shell: then only a release cleans up
  keeper.stdin?.on("error", () => undefined) // it ended before us, which a release notices
  keeper.unref()
  let released: Promise<void> | undefined
  return {
    release: () => {
      released ??= end(keeper)
      return released
    },
  }
}

async function end(keeper: ChildProcess): Promise<void> {
  if (keeper.pid === undefined || keeper.exitCode !== null || keeper.signalCode !== null) return
  const exited = once(keeper, "exit")
  keeper.ref()
  keeper.stdin?.end()
  await exited
}
