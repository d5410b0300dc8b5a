/**
 * Where the control groups of this machine are: which controllers, in which version, and which group this process is in.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

/** One mounted tree of control groups. Version 1 has one per controller (or a few together), version 2 a single one. */
export interface Hierarchy {
  readonly version: 1 | 2
  /** Empty for version 2: those are read from the group itself. */
  readonly controllers: readonly string[]
  /** Folder of the group that this process is in. */
  readonly ownFolder: string
}

/** The hierarchies of this machine; none where there are no control groups. */
export function readHierarchies(): Hierarchy[] {
  try {
    return parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8"))
  } catch {
    return [] // not Linux, or a kernel without control groups
  }
}

/** What `/proc/self/mountinfo` and `/proc/self/cgroup` say together. */
export function parseHierarchies(mountinfo: string, cgroup: string): Hierarchy[] {
  const groups = parseGroups(cgroup)
  const seen = new Set<string>()
  return mountinfo.split("\n").flatMap((line): Hierarchy[] => {
    const mount = parseMount(line)
    if (!mount) return []
    const group = groups.find(({ controllers }) =>
      mount.version === 2 ? controllers.length === 0 : controllers.length > 0 && controllers.every((name) => mount.options.includes(name)),
    )
    const key = `${mount.version} ${group?.controllers.join()}`
    if (!group || seen.has(key)) return []
    seen.add(key)
    return [{ version: mount.version, controllers: group.controllers, ownFolder: join(mount.point, below(mount.root, group.path)) }]
  })
}

interface Group {
  readonly controllers: readonly string[]
  readonly path: string
}

/** Lines are `id:controllers:path`; version 2 has no controllers, `name=…` is a tree without any. */
function parseGroups(cgroup: string): Group[] {
  return cgroup.split("\n").flatMap((line) => {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (names === undefined || path === undefined || names.startsWith("name=")) return []
    return [{ controllers: names === "" ? [] : names.split(","), path }]
  })
}

/** Lines are `id parent device root point options … - type source options`. */
function parseMount(line: string): { version: 1 | 2; root: string; point: string; options: readonly string[] } | undefined {
  const [front, back] = line.split(" - ")
  const [, , , root, point] = (front ?? "").split(" ")
  const [type, , options] = (back ?? "").split(" ")
  if (!root || !point || (type !== "cgroup" && type !== "cgroup2")) return undefined
  return { version: type === "cgroup2" ? 2 : 1, root: unescapePath(root), point: unescapePath(point), options: (options ?? "").split(",") }
}

/** A group's path as seen below a mount that shows only the tree below `root`, as containers have it. */
function below(root: string, path: string): string {
  if (root === "/" || root === "") return path.startsWith("/..") ? "/" : path
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : "/"
}

/** The kernel writes spaces, tabs, line breaks and backslashes as octal numbers. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
