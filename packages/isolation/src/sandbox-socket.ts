/** Reaches a unix socket that a sandboxed child made, without trusting the child about where it is. */
import { closeSync, constants, fstatSync, openSync, readlinkSync } from "node:fs"
import { FnError, messageOf } from "@fn/core"
import { SHARED_FOLDER } from "./launch/bubblewrap.js"

/** A socket that can be dialled. */
export interface SandboxSocket {
  /** Dial this; it leads to the socket that was checked, whatever the child does to its name meanwhile. Valid until `close`. */
  readonly path: string
  close(): void
}

/** Refers to a file without opening it. Node has no name for it. */
const O_PATH = 0o10000000

/** What tells the sandbox from a process that got its number later. */
export interface SandboxIdentity {
  /** First process of the sandbox. */
  readonly pid: number
  readonly mountNamespace: number
  /** Owner of everything the child makes. */
  readonly uid: number
}

/**
 * Opens the socket that the child calls `path`, which must be directly below `/run/fn`.
 *
 * That folder is in memory and of a size of its own, and the child can neither move nor replace it: only the last part of the path is the
 * child's word, and there no symbolic link is followed.
 * @throws {FnError} BAD_HANDSHAKE for another path, a link, another kind of file, another owner, or nothing
 */
export function openSandboxSocket(sandbox: SandboxIdentity, path: string): SandboxSocket {
  const [, name] = /^\/run\/fn\/([A-Za-z0-9_][A-Za-z0-9._-]{0,99})$/.exec(path) ?? []
  if (name === undefined) throw refused(path, `it must be directly below ${SHARED_FOLDER}`)
  let fd: number
  try {
    fd = openSync(`/proc/${sandbox.pid}/root${SHARED_FOLDER}/${name}`, O_PATH | constants.O_NOFOLLOW)
  } catch (thrown) {
    throw refused(path, messageOf(thrown))
  }
  try {
    const stats = fstatSync(fd)
    if (!stats.isSocket()) throw refused(path, "it is no socket")
    if (stats.uid !== sandbox.uid) throw refused(path, `it belongs to user ${stats.uid} instead of ${sandbox.uid}`)
    if (!isStill(sandbox)) throw refused(path, "the sandbox has ended")
  } catch (thrown) {
    closeSync(fd)
    throw thrown
  }
  let open = true
  return {
    path: `/proc/self/fd/${fd}`,
    close: () => {
      if (open) closeSync(fd)
      open = false
    },
  }
}

/** Whether the first process of the sandbox is still the one it was. */
export function isStill({ pid, mountNamespace }: Pick<SandboxIdentity, "pid" | "mountNamespace">): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`) === `mnt:[${mountNamespace}]`
  } catch {
    return false // it has ended
  }
}

function refused(path: string, why: string): FnError {
  return FnError.of("BAD_HANDSHAKE", `the socket ${JSON.stringify(path.slice(0, 200))} is not dialled: ${why}`)
}
