/**
 * The control group below which all children of this process have theirs: `…/fn/<pid>-<start>-<namespace>-<n>` in every hierarchy.
 *
 * The name tells whose it is, so that groups of hosts that were killed are found and cleared by the next one. Neighbours: hierarchies.ts
 * finds the trees, child-group.ts is one child, sweep.ts clears what others left.
 */
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, rmdir } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { messageOf } from "@fn/core"
import type { Keeper } from "@fn/process"
import { pidNamespace, startTicks } from "../process-id.js"
import { type Branch, ChildGroup, type GroupLimits, removeFolder } from "./child-group.js"
import type { Controller } from "./controllers.js"
import { readProcesses, readText, writeValue } from "./files.js"
import { type Hierarchy, readHierarchies } from "./hierarchies.js"
import { sweepAfterDeath, sweepStale } from "./sweep.js"

const PARENT = "fn"
/** Where a process of version 2 moves itself: a group with processes of its own cannot hand controllers down. */
const LEAF = "fn-host"
const WANTED: Readonly<Record<string, Controller>> = { memory: "memory", pids: "pids", cpu: "cpu", cpuacct: "usage" }

let count = 0

export class HostGroup {
  /** Why a controller cannot be used here, a sentence each. */
  readonly missing: ReadonlyMap<Controller, string>
  /** Which version serves a controller. */
  readonly versions: ReadonlyMap<Controller, 1 | 2>
  /** The folders it has made. */
  readonly folders: readonly string[]
  readonly #branches: readonly Branch[]
  readonly #keeper: Keeper | undefined

  private constructor(branches: readonly Branch[], missing: ReadonlyMap<Controller, string>) {
    this.#branches = branches
    this.missing = missing
    this.versions = new Map(branches.flatMap(({ version, controllers }) => [...controllers].map((name) => [name, version] as const)))
    this.folders = branches.map(({ folder }) => folder)
    this.#keeper = branches.length > 0 ? sweepAfterDeath(this.folders) : undefined
  }

  /** Makes the group in every hierarchy that lets us, and clears what dead hosts left there. Never rejects: what is not possible is in `missing`. */
  static async create(): Promise<HostGroup> {
    const builder = new Builder(`${process.pid}-${startTicks("self")}-${pidNamespace()}-${++count}`)
    const hierarchies = readHierarchies()
    // Version 2 first: one controller is never in both, and only version 2 kills whole groups.
    for (const hierarchy of [...hierarchies].sort((a, b) => b.version - a.version)) await builder.add(hierarchy)
    return new HostGroup(builder.branches, builder.missing())
  }

  /** A group for one child, its limits in force. Rejects with what is not. */
  async create(name: string, limits: GroupLimits): Promise<ChildGroup> {
    const branches = this.#branches.map((branch) => ({ ...branch, folder: join(branch.folder, name) }))
    const group = new ChildGroup(branches)
    try {
      for (const { folder } of branches) await mkdir(folder)
      await group.limit(limits)
      return group
    } catch (thrown) {
      await group.remove()
      throw thrown
    }
  }

  /** Removes the folders; groups of children must be gone. */
  async close(): Promise<void> {
    await this.#keeper?.release()
    for (const folder of this.folders) {
      await removeFolder(folder)
      // The common parent, if no other host has its group there.
      await rmdir(dirname(folder)).catch(() => undefined)
    }
  }
}

class Builder {
  readonly branches: Branch[] = []
  readonly #name: string
  readonly #problems = new Map<Controller, string>()

  constructor(name: string) {
    this.#name = name
  }

  async add(hierarchy: Hierarchy): Promise<void> {
    const controllers = hierarchy.version === 1 ? hierarchy.controllers.flatMap((name) => WANTED[name] ?? []) : undefined
    if (controllers?.every((name) => this.#has(name))) return
    try {
      const branch = hierarchy.version === 2 ? await this.#makeTwo(hierarchy.ownFolder) : await this.#make(hierarchy.ownFolder)
      this.branches.push({ version: hierarchy.version, folder: branch.folder, controllers: branch.controllers ?? new Set(controllers) })
    } catch (thrown) {
      for (const name of controllers ?? (["kill", "usage"] as const))
        this.#problems.set(name, `no group can be made in ${hierarchy.ownFolder}: ${messageOf(thrown)}`)
    }
  }

  missing(): Map<Controller, string> {
    const all: readonly Controller[] = ["memory", "pids", "cpu", "usage", "kill"]
    return new Map(
      all.flatMap((name) => (this.#has(name) ? [] : [[name, this.#problems.get(name) ?? "no such controller is mounted"] as const])),
    )
  }

  #has(controller: Controller): boolean {
    return this.branches.some(({ controllers }) => controllers.has(controller))
  }

  async #make(base: string): Promise<{ folder: string; controllers?: ReadonlySet<Controller> }> {
    const parent = join(base, PARENT)
    const folder = join(parent, this.#name)
    // A mount that something else hides is in the list of mounts, too.
    if (!existsSync(join(base, "cgroup.procs"))) throw new Error("there is no control group")
    await sweepStale(parent)
    await mkdir(parent).catch((thrown) => {
      if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown
    })
    await mkdir(folder)
    return { folder }
  }

  async #makeTwo(own: string): Promise<{ folder: string; controllers: ReadonlySet<Controller> }> {
    const base = basename(own) === LEAF ? dirname(own) : own
    const { folder } = await this.#make(base)
    const controllers = new Set<Controller>()
    // Write-only, and newer than version 2 itself (Linux 5.14).
    if ((await readdir(folder)).includes("cgroup.kill")) controllers.add("kill")
    if ((await readText(folder, "cpu.stat")) !== undefined) controllers.add("usage")
    const offered = ((await readText(base, "cgroup.controllers")) ?? "").split(" ").filter((name) => name in WANTED)
    for (const name of offered) {
      const controller = WANTED[name] as Controller
      try {
        await this.#handDown(base, folder, name)
        controllers.add(controller)
      } catch (thrown) {
        this.#problems.set(controller, `the controller ${name} cannot be handed down in ${base}: ${messageOf(thrown)}`)
      }
    }
    return { folder, controllers }
  }

  /** Enables a controller for the children of every group from `base` to `folder`. */
  async #handDown(base: string, folder: string, controller: string): Promise<void> {
    for (const group of [base, dirname(folder), folder]) {
      if ((await readText(group, "cgroup.subtree_control"))?.split(" ").includes(controller)) continue
      if (group === base) await vacate(base)
      await writeValue(group, "cgroup.subtree_control", `+${controller}`)
    }
  }
}

/**
 * Moves this process, and what it has started, from `base` to a leaf below it: only a group without processes of its own may hand controllers
 * down. (Some could be all the same, and would leave groups that no process can join.) Rejects if others live there, too.
 */
async function vacate(base: string): Promise<void> {
  // The root of the tree has no type, and may do both.
  if (!existsSync(join(base, "cgroup.type"))) return
  const members = await readProcesses(base)
  for (const pid of members) {
    if (!(await descendsFromUs(pid))) throw new Error(`process ${pid}, which is not ours, is in the group, too`)
  }
  if (members.length === 0) return
  const leaf = join(base, LEAF)
  if (!existsSync(leaf)) await mkdir(leaf)
  for (const pid of members) await writeValue(leaf, "cgroup.procs", pid)
}

async function descendsFromUs(pid: number): Promise<boolean> {
  for (let ancestor = pid; ancestor > 1; ) {
    if (ancestor === process.pid) return true
    const status = await readFile(`/proc/${ancestor}/status`, "utf8").catch(() => "")
    ancestor = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? 0)
  }
  return pid === process.pid
}
