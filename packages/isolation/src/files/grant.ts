/** Files and folders of the host that a sandbox shows its child. */
import { constants, statSync } from "node:fs"
import { isAbsolute, normalize } from "node:path"
import { FnError, messageOf } from "@fn/core"

/** One file or folder. */
export interface FileGrant {
  /** On the host; absolute. A symbolic link stands for what it leads to. */
  readonly path: string
  /** In the sandbox; absolute. Default: as on the host. */
  readonly at?: string
  /** Whether the child may write there. Default false. */
  readonly writable?: boolean
}

/** Where a sandbox has file systems of its own, which no grant may cover. */
const OWN_FOLDERS = ["/proc", "/dev", "/sys", "/run/fn"]

/**
 * Checks grants before anything is started.
 * @throws {FnError} INVALID_REQUEST for a path that cannot be granted, ISOLATION_UNAVAILABLE for one that is not there or that `uid` cannot write
 */
export function checkGrants(grants: readonly FileGrant[], uid: number | undefined): void {
  for (const grant of grants) {
    checkPath("path", grant.path)
    const at = grant.at ?? grant.path
    checkPath("place in the sandbox", at)
    if (at === "/" || OWN_FOLDERS.some((folder) => at === folder || at.startsWith(`${folder}/`)))
      throw FnError.of("INVALID_REQUEST", `nothing can be granted at ${at}: the sandbox has its own there`)
    checkAccess(grant, uid)
  }
}

function checkPath(what: string, path: string): void {
  if (!isAbsolute(path) || normalize(path) !== path || path.includes("\0") || (path !== "/" && path.endsWith("/")))
    throw FnError.of("INVALID_REQUEST", `the ${what} ${JSON.stringify(path)} of a grant must be absolute and without ".."`)
}

function checkAccess({ path, writable }: FileGrant, uid: number | undefined): void {
  let stats: ReturnType<typeof statSync>
  try {
    stats = statSync(path)
  } catch (thrown) {
    throw FnError.of("ISOLATION_UNAVAILABLE", `${path} cannot be granted: ${messageOf(thrown)}`, { cause: thrown })
  }
  if (!writable || uid === undefined) return
  const mine = stats.uid === uid ? constants.S_IWUSR : constants.S_IWOTH
  if ((stats.mode & mine) === 0) {
    throw FnError.of(
      "ISOLATION_UNAVAILABLE",
      `${path} cannot be granted for writing: children run as users of their own (here ${uid}), who may not write there; chmod 1777 ${path} would let them`,
    )
  }
}
