import { text } from "node:stream/consumers"
import { findOnPath } from "@fn/process"
import { afterAll, beforeAll, jest } from "@jest/globals"
import {
  type HostProgram,
  type IsolatedProcess,
  type Isolation,
  type LaunchOptions,
  type ProcessEnd,
  startIsolation,
} from "../../src/index.js"

// Real processes on a machine that others use, too.
jest.setTimeout(60_000)

/** What a group of tests needs of the machine. */
export type Need = "linux" | "root" | "bwrap"

/** What of `needs` this machine lacks. */
export function missing(needs: readonly Need[]): Need | undefined {
  return needs.find((need) => {
    if (need === "linux") return process.platform !== "linux"
    if (need === "root") return process.getuid?.() !== 0
    return findOnPath(need) === undefined
  })
}

/** Whether tests can run here; says loudly if not. */
export function can(what: string, ...needs: Need[]): boolean {
  const need = missing(["linux", ...needs])
  if (need !== undefined) console.warn(`SKIPPED: needs ${need}: ${what}`)
  return need === undefined
}

/** Isolation and Node for sandboxes, shared by the tests of a file. */
export interface TestHost {
  readonly isolation: Isolation
  readonly node: HostProgram
}

/** Starts them before the tests of a file and ends them after. Of no use where {@link can} says no. */
export function testHost(): TestHost {
  let isolation: Isolation | undefined
  let node: HostProgram | undefined
  beforeAll(async () => {
    if (missing(["linux"])) return
    isolation = await startIsolation()
    node = await isolation.program(process.execPath)
  }, 60_000)
  afterAll(() => isolation?.close(), 60_000)
  return {
    get isolation() {
      if (!isolation) throw new Error("isolation was not started")
      return isolation
    },
    get node() {
      if (!node) throw new Error("Node was not found")
      return node
    },
  }
}

/** What a child printed and how it ended. */
export interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly end: ProcessEnd
}

const DEADLINE_MS = 20_000

/** Reads a child to its end; kills it when it takes too long. */
export async function outcomeOf(child: IsolatedProcess, deadlineMs: number = DEADLINE_MS): Promise<Outcome> {
  const timer = setTimeout(() => void child.close({ graceMs: 0, reason: "FUNCTION_TIMEOUT" }), deadlineMs)
  try {
    const [stdout, stderr] = await Promise.all([child.stdout ? text(child.stdout) : "", child.stderr ? text(child.stderr) : ""])
    return { stdout, stderr, end: await child.ended }
  } finally {
    clearTimeout(timer)
    await child.close({ graceMs: 0 })
  }
}

/** Limits under which a machine survives whatever a child does. */
export const LIMITS = { memoryBytes: 128 * 1024 * 1024, pids: 64, tmpBytes: 16 * 1024 * 1024 } as const

/** Runs a program of Node's in a sandbox that shows nothing but Node. */
export async function launchNode(host: TestHost, script: string, options: Partial<LaunchOptions> = {}): Promise<IsolatedProcess> {
  return await host.isolation.launch({
    level: "sandbox",
    command: options.level === "process" ? host.node.hostPath : host.node.path,
    args: ["-e", script],
    limits: LIMITS,
    ...options,
    files: [...(options.level === "process" ? [] : host.node.files), ...(options.files ?? [])],
  })
}

/** The same to its end. */
export async function runNode(host: TestHost, script: string, options: Partial<LaunchOptions> = {}): Promise<Outcome> {
  return await outcomeOf(await launchNode(host, script, options))
}

/** Runs a shell script, by default in a sandbox that shows the programs of this machine. */
export async function launchShell(host: TestHost, script: string, options: Partial<LaunchOptions> = {}): Promise<IsolatedProcess> {
  const system = options.level === "process" ? "none" : "programs"
  return await host.isolation.launch({ level: "sandbox", command: "/bin/sh", args: ["-c", script], limits: LIMITS, system, ...options })
}

/** The same to its end. */
export async function runShell(host: TestHost, script: string, options: Partial<LaunchOptions> = {}): Promise<Outcome> {
  return await outcomeOf(await launchShell(host, script, options))
}
