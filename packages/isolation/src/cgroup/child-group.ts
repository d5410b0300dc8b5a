/**
 * The control group of one child: its limits, its members, what they use, and their common end.
 *
 * One folder per hierarchy. Made by {@link HostGroup.create} with its limits written and read back; a process joins all folders before it runs
 * foreign code; `remove` once nothing is left in it.
 */
import { rmdir } from "node:fs/promises"
import { setTimeout as delay } from "node:timers/promises"
import { FnError, messageOf } from "@fn/core"
import { type Controller, CPU, CPU_TIME, MEMORY, PIDS } from "./controllers.js"
import { keyOf, readProcesses, readText, writeValue } from "./files.js"

/** A folder in one hierarchy and what its controllers are used for. */
export interface Branch {
  readonly version: 1 | 2
  readonly folder: string
  readonly controllers: ReadonlySet<Controller>
}

/** What the members of a group use. What this machine does not count is undefined, never 0. */
export interface GroupUsage {
  readonly memoryBytes: number | undefined
  readonly memoryPeakBytes: number | undefined
  readonly cpuUs: number | undefined
  readonly pids: number | undefined
  /** How often the group had to wait for its next share of a processor. */
  readonly throttled: number | undefined
}

/** How often a limit was met. */
export interface GroupViolations {
  /** Processes the kernel killed because memory ran out. */
  readonly memory: number
  /** Processes or threads it refused to start. */
  readonly pids: number
}

/** Limits of a group, as {@link Limits} has them. */
export interface GroupLimits {
  readonly memoryBytes?: number
  readonly pids?: number
  readonly cpu?: number
}

const LOOK_EVERY_MS = 2
const PAGE_BYTES = 4096

export class ChildGroup {
  readonly #branches: readonly Branch[]

  constructor(branches: readonly Branch[]) {
    this.#branches = branches
  }

  /** Writes the limits. Rejects with the kernel's reason. */
  async limit({ memoryBytes, pids, cpu }: GroupLimits): Promise<void> {
    const memory = this.#branch("memory")
    const tasks = this.#branch("pids")
    const processor = this.#branch("cpu")
    if (memoryBytes !== undefined && memory) await MEMORY[memory.version].set(memory.folder, memoryBytes)
    if (pids !== undefined && tasks) await PIDS[tasks.version].set(tasks.folder, pids)
    if (cpu !== undefined && processor) await CPU[processor.version].set(processor.folder, cpu)
  }

  /** The limits in force, read back; undefined where none is. */
  async limits(): Promise<{ [Name in keyof Required<GroupLimits>]: number | undefined }> {
    const [memory, tasks, processor] = [this.#branch("memory"), this.#branch("pids"), this.#branch("cpu")]
    const finite = (value: number | undefined): number | undefined => (Number.isFinite(value) ? value : undefined)
    return {
      memoryBytes: finite(memory && (await MEMORY[memory.version].limit(memory.folder))),
      pids: finite(tasks && (await PIDS[tasks.version].limit(tasks.folder))),
      cpu: finite(processor && (await CPU[processor.version].limit(processor.folder))),
    }
  }

  /** What of `wanted` is not in force, one sentence each. Memory is rounded down to whole pages by the kernel. */
  async shortfalls(wanted: GroupLimits): Promise<string[]> {
    const actual = await this.limits()
    const names = ["memoryBytes", "pids", "cpu"] as const
    return names.flatMap((name) => {
      const [want, have] = [wanted[name], actual[name]]
      if (want === undefined) return []
      const slack = name === "memoryBytes" ? PAGE_BYTES : name === "cpu" ? 0.001 : 0
      return have !== undefined && have <= want + slack && have >= want - slack
        ? []
        : [`${name} reads ${have ?? "unlimited"} instead of ${want}`]
    })
  }

  /** Puts a process into the group; what it starts is born in it. */
  async join(pid: number): Promise<void> {
    for (const { folder } of this.#branches) await writeValue(folder, "cgroup.procs", pid)
  }

  /** Whether a process is in every folder of the group. */
  async holds(pid: number): Promise<boolean> {
    for (const { folder } of this.#branches) if (!(await readProcesses(folder)).includes(pid)) return false
    return this.#branches.length > 0
  }

  async usage(): Promise<GroupUsage> {
    const [memory, tasks, processor, time] = [this.#branch("memory"), this.#branch("pids"), this.#branch("cpu"), this.#branch("usage")]
    return {
      memoryBytes: memory && (await MEMORY[memory.version].now(memory.folder)),
      memoryPeakBytes: memory && (await MEMORY[memory.version].peak(memory.folder)),
      cpuUs: time && (await CPU_TIME[time.version](time.folder)),
      pids: tasks && (await PIDS[tasks.version].now(tasks.folder)),
      throttled: processor && (await CPU[processor.version].violations(processor.folder)),
    }
  }

  async violations(): Promise<GroupViolations> {
    const [memory, tasks] = [this.#branch("memory"), this.#branch("pids")]
    return {
      memory: (memory && (await MEMORY[memory.version].violations(memory.folder))) ?? 0,
      pids: (tasks && (await PIDS[tasks.version].violations(tasks.folder))) ?? 0,
    }
  }

  /**
   * Kills every member and resolves when none is left.
   * @throws {FnError} INTERNAL when some are left after `timeoutMs`
   */
  async end(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      await this.#kill()
      if (await this.#isEmpty()) return
      if (performance.now() > deadline) {
        const left = await this.members()
        throw FnError.of("INTERNAL", `processes ${left.join(", ")} are left ${timeoutMs} ms after SIGKILL`, { details: { left } })
      }
      await delay(LOOK_EVERY_MS)
    }
  }

  /** The processes in the group. */
  async members(): Promise<number[]> {
    const [branch] = this.#branches
    return branch ? await readProcesses(branch.folder) : []
  }

  /** Removes the folders, in which nothing may run any more. */
  async remove(): Promise<void> {
    for (const { folder } of this.#branches) await removeFolder(folder)
  }

  async #kill(): Promise<void> {
    const killer = this.#branch("kill")
    if (killer) return await writeValue(killer.folder, "cgroup.kill", 1).catch(ignoreGone)
    // Without cgroup.kill a bomb could fork faster than it is killed: first nothing may fork any more.
    const tasks = this.#branch("pids")
    if (tasks) await writeValue(tasks.folder, "pids.max", 0).catch(ignoreGone)
    for (const pid of await this.members()) signal(pid)
  }

  async #isEmpty(): Promise<boolean> {
    for (const { version, folder } of this.#branches) {
      if ((await readProcesses(folder)).length > 0) return false
      // Version 2 also knows of members that are dead but not yet gone.
      if (version === 2 && keyOf(await readText(folder, "cgroup.events"), "populated") === 1) return false
    }
    return true
  }

  #branch(controller: Controller): Branch | undefined {
    return this.#branches.find(({ controllers }) => controllers.has(controller))
  }
}

/** Removes a group's folder; the kernel may be busy with its last process for some ms. */
export async function removeFolder(folder: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await rmdir(folder)
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException
      if (code === "ENOENT") return
      if (code !== "EBUSY" || attempt >= 500)
        throw FnError.of("INTERNAL", `the control group ${folder} cannot be removed: ${messageOf(thrown)}`, { cause: thrown })
      await delay(LOOK_EVERY_MS)
    }
  }
}

function ignoreGone(thrown: unknown): void {
  const { code } = thrown as NodeJS.ErrnoException
  if (code !== "ENOENT" && code !== "ENODEV") throw thrown
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // ESRCH: it has ended meanwhile. One that may not be killed shows as left over.
  }
}
