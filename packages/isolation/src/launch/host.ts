/** What children of one host process are made with, and what they share. */
import { chmod } from "node:fs/promises"
import type { BlockList } from "node:net"
import { FnError, messageOf } from "@fn/core"
import { createScratchFolder, findOnPath, type ScratchFolder } from "@fn/process"
import { HostGroup } from "../cgroup/host-group.js"
import { parseNetworks } from "../network/addresses.js"
import { seccompFilter } from "../seccomp/filter.js"
import { type UserRange, Users } from "../users.js"

/** How to isolate. */
export interface HostOptions {
  /** User numbers for children, where this process is root. */
  readonly users?: UserRange
  /** Networks that are not public, as `10.1.0.0/16`, and that children with egress may reach all the same. Default none. */
  readonly openedNetworks?: readonly string[]
  /** Path of bubblewrap. Default: the one on PATH. */
  readonly bubblewrap?: string
  /** Path of a POSIX shell. Default `/bin/sh`. */
  readonly shell?: string
}

/** Made by {@link createHost}. */
export interface Host {
  /** Path of a POSIX shell. */
  readonly shell: string
  /** Path of bubblewrap, if it is there. */
  readonly bubblewrap: string | undefined
  /** The system call filter of sandboxes, if there is one for this machine. */
  readonly seccomp: Buffer | undefined
  readonly group: HostGroup
  /** User numbers to give away; or why there are none. */
  readonly users: Users | FnError
  readonly scratch: ScratchFolder
  readonly opened: BlockList
  /** Gives everything back; no child may be left. */
  close(): Promise<void>
}

/** @throws {FnError} INVALID_CONFIG for networks that are none */
export async function createHost(options: HostOptions = {}): Promise<Host> {
  const opened = checkedNetworks(options.openedNetworks ?? [])
  const users = await Users.claim(options.users).catch((thrown) => FnError.from(thrown, "failed_precondition", "ISOLATION_UNAVAILABLE"))
  const scratch = await createScratchFolder("fn-isolation-")
  // Children pass through it to the folder that is theirs; they cannot list it.
  await chmod(scratch.path, 0o711)
  const group = await HostGroup.create()
  return {
    shell: options.shell ?? "/bin/sh",
    bubblewrap: options.bubblewrap ?? findOnPath("bwrap") ?? findOnPath("bwrap", "/usr/local/bin:/usr/bin:/bin"),
    seccomp: seccompFilter(),
    group,
    users,
    scratch,
    opened,
    close: async () => {
      await group.close()
      await scratch.remove()
      if (users instanceof Users) await users.close()
    },
  }
}

/** Whether this process may give children users of their own. */
export function isRoot(): boolean {
  return process.getuid?.() === 0
}

function checkedNetworks(networks: readonly string[]): BlockList {
  try {
    return parseNetworks(networks)
  } catch (thrown) {
    throw FnError.of("INVALID_CONFIG", messageOf(thrown))
  }
}
