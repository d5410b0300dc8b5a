/** Ends and removes what hosts that were killed have left in their groups: soon after by a keeper, else by the next host. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { type Keeper, runAfterDeath } from "@fn/process"
import { pidNamespace, startTicks } from "../process-id.js"
import { type Branch, ChildGroup, removeFolder } from "./child-group.js"
import { readText } from "./files.js"

const END_MS = 5_000

/** Kills and removes the groups below each argument; forking bombs are stopped first. Tries for 10 s. */
const SWEEP = `attempt=0
while [ $attempt -lt 100 ]; do
  left=0
  for host in "$@"; do
    [ -d "$host" ] || continue
    for group in "$host"/*/; do
      [ -d "$group" ] || continue
      [ -e "$group/cgroup.kill" ] && echo 1 > "$group/cgroup.kill"
      [ -e "$group/pids.max" ] && echo 0 > "$group/pids.max"
      while read -r pid; do [ "$pid" -gt 0 ] && kill -KILL "$pid"; done < "$group/cgroup.procs"
      rmdir "$group"
    done
    rmdir "$host" || left=1
  done 2>/dev/null
  [ $left = 0 ] && exit
  attempt=$((attempt + 1))
  sleep 0.1
done`

/** Clears groups of this process when it dies: what a child started and lost is in them. */
export function sweepAfterDeath(hostFolders: readonly string[]): Keeper {
  return runAfterDeath(SWEEP, hostFolders)
}

/** Clears the groups below `parent` whose host is gone. Groups of other process-id namespaces are left alone: their numbers mean nothing here. */
export async function sweepStale(parent: string): Promise<void> {
  for (const name of await foldersIn(parent)) {
    const [, pid, start, namespace] = /^(\d+)-(\d+)-(\d+)-\d+$/.exec(name) ?? []
    if (!pid || namespace !== pidNamespace() || startTicks(Number(pid)) === start) continue
    // Somebody else may be sweeping it, or a process in it cannot die yet: then the next host finds it.
    await sweep(join(parent, name)).catch(() => undefined)
  }
}

async function sweep(host: string): Promise<void> {
  for (const name of await foldersIn(host)) {
    const folder = join(host, name)
    const canKill = (await readdir(folder)).includes("cgroup.kill")
    const branch: Branch = {
      version: (await readText(folder, "cgroup.events")) === undefined ? 1 : 2,
      folder,
      controllers: new Set([...(canKill ? ["kill" as const] : []), ...((await readText(folder, "pids.max")) ? ["pids" as const] : [])]),
    }
    const group = new ChildGroup([branch])
    await group.end(END_MS)
    await group.remove()
  }
  await removeFolder(host)
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return [] // not there yet, or gone meanwhile
  }
}
