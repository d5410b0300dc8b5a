/** Finds out what this host can enforce, by trying all of it. */
import { messageOf } from "@fn/core"
import type { Controller } from "../cgroup/controllers.js"
import { gradeLevels } from "../grades.js"
import type { Level, LevelGrades } from "../guarantee.js"
import { createHost, type Host, type HostOptions, isRoot } from "../launch/host.js"
import { MECHANISMS, type Mechanism, type MechanismName, type Mechanisms } from "./mechanism.js"
import { TRIALS } from "./trials.js"

/** What a host can enforce. */
export interface IsolationReport {
  readonly mechanisms: Mechanisms
  /** How firmly each guarantee is kept at each level. */
  readonly grades: Readonly<Record<Level, LevelGrades>>
  /** How long the trials took, ms. */
  readonly durationMs: number
}

const CONTROLLERS: Readonly<Partial<Record<MechanismName, Controller>>> = {
  "cgroup-memory": "memory",
  "cgroup-pids": "pids",
  "cgroup-cpu": "cpu",
  "cgroup-usage": "usage",
  "cgroup-kill": "kill",
}

let report: Promise<IsolationReport> | undefined

/** Tries every mechanism with a child of its own, once per process: some hundred milliseconds. What cannot be used says why. */
export function probeIsolation(): Promise<IsolationReport> {
  report ??= probe({})
  return report
}

/** The same with options of one's own, every time anew. */
export async function probeWith(options: HostOptions): Promise<IsolationReport> {
  return Object.keys(options).length === 0 ? await probeIsolation() : await probe(options)
}

async function probe(options: HostOptions): Promise<IsolationReport> {
  const startedAt = performance.now()
  const host = await createHost(options)
  try {
    const tried = await Promise.all(MECHANISMS.map(async (name) => [name, await tryMechanism(host, name)] as const))
    const mechanisms = Object.fromEntries(tried) as Record<MechanismName, Mechanism>
    return { mechanisms, grades: gradeLevels(mechanisms, isRoot()), durationMs: Math.round(performance.now() - startedAt) }
  } finally {
    await host.close()
  }
}

/** Once more before it is given up: on a busy machine a trial may take too long, and its answer holds for the life of this process. */
async function tryMechanism(host: Host, name: MechanismName): Promise<Mechanism> {
  const first = await tryOnce(host, name)
  return first.available ? first : await tryOnce(host, name)
}

async function tryOnce(host: Host, name: MechanismName): Promise<Mechanism> {
  try {
    const reason = await TRIALS[name](host)
    const version = versionOf(host, name)
    return { available: true, reason, ...(version === undefined ? {} : { version }) }
  } catch (thrown) {
    return { available: false, reason: messageOf(thrown) }
  }
}

/** Groups are killed by version 2, or member by member in whatever version there is. */
function versionOf({ group }: Host, name: MechanismName): 1 | 2 | undefined {
  const controller = CONTROLLERS[name]
  return controller && (group.versions.get(controller) ?? 1)
}
