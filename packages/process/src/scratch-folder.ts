/**
 * A folder for sockets and the like that is gone when its process is, however that ends.
 *
 * A process killed with SIGKILL cleans nothing up. So a shell waits at the end of a pipe whose other end only this process holds: when
 * the pipe closes, it removes the folder and ends.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** See the head of this file. */
export interface ScratchFolder extends AsyncDisposable {
  readonly path: string
  /** Removes the folder and ends its keeper. May be called twice. */
  remove(): Promise<void>
}

/** Makes an empty folder in the system's temporary folder, its name beginning with `prefix`. */
export async function createScratchFolder(prefix: string): Promise<ScratchFolder> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  const keeper = startKeeper(path)
  let removed: Promise<void> | undefined
  const remove = (): Promise<void> => {
    removed ??= end(keeper, path)
    return removed
  }
  return { path, remove, [Symbol.asyncDispose]: remove }
}

function startKeeper(path: string): ChildProcess {
  // `read` is the shell's own: no further process. Its own group, so that Ctrl-C in a terminal does not end it before us.
  const script = 'while read -r line; do :; done; rm -rf -- "$1"'
  const keeper = spawn("/bin/sh", ["-c", script, "fn-scratch-keeper", path], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
  })
  keeper.on("error", () => undefined) // no shell: then only remove() cleans up
  keeper.stdin?.on("error", () => undefined) // it ended before us, which remove() notices
  keeper.unref()
  return keeper
}

async function end(keeper: ChildProcess, path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
  if (keeper.pid === undefined || keeper.exitCode !== null || keeper.signalCode !== null) return
  const exited = once(keeper, "exit")
  keeper.ref()
  keeper.stdin?.end()
  await exited
}
