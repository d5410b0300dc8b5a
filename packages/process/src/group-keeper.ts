/**
 * Kills process groups after this process has ended, however it ends.
 *
 * The kernel kills a child with its parent (tether.ts), but not the child's children: of a shell script killed so, the program it was waiting for
 * would go on. So a shell waits at the end of a pipe whose other end only this process holds, is told of each group that begins and ends, and
 * kills those that are left when the pipe closes.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"

const SCRIPT = `groups=
while read -r what group; do
  rest=
  for other in $groups; do [ "$other" = "$group" ] || rest="$rest $other"; done
  if [ "$what" = begins ]; then groups="$rest $group"; else groups=$rest; fi
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done`

/** Remembers the groups of this process's children, in another process. */
export class GroupKeeper {
  #shell: ChildProcess | undefined
  #released = false

  /** The child `pid` leads a group that is to end with us. */
  begins(pid: number): void {
    if (this.#released) return
    this.#shell ??= startShell()
    this.#shell.stdin?.write(`begins ${pid}\n`)
  }

  /** The group is gone: its number may become another's. */
  ends(pid: number): void {
    this.#shell?.stdin?.write(`ends ${pid}\n`)
  }

  /** Ends the shell; groups it still knows are killed. May be called twice. */
  async release(): Promise<void> {
    this.#released = true
    const shell = this.#shell
    if (shell?.pid === undefined || shell.exitCode !== null || shell.signalCode !== null) return
    const exited = once(shell, "exit")
    shell.ref()
    shell.stdin?.end()
    await exited
  }
}

function startShell(): ChildProcess {
  // Its own group, so that Ctrl-C in a terminal does not end it before us.
  const shell = spawn("/bin/sh", ["-c", SCRIPT, "fn-group-keeper"], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
  })
  shell.on("error", () => undefined) // no shell: then what a child started goes on without it
  shell.stdin?.on("error", () => undefined) // it ended before us: nothing more can be kept
  shell.unref()
  const { stdin } = shell
  if (stdin && "unref" in stdin && typeof stdin.unref === "function") stdin.unref()
  return shell
}
