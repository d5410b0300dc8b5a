/** A trial: a child started as any other, by a plan that asks for one mechanism, and what came of it. */
import { text } from "node:stream/consumers"
import { type IsolatedProcess, RunningProcess } from "../isolated-process.js"
import type { Host } from "../launch/host.js"
import type { LaunchPlan } from "../launch/plan.js"
import { startChild } from "../launch/start.js"
import { checkLimits } from "../limits.js"
import type { ProcessEnd } from "../process-end.js"

/** How a trial went. */
export interface TrialResult {
  readonly stdout: string
  readonly stderr: string
  readonly end: ProcessEnd
}

/** What differs from the plainest child, and what to do while it runs. */
export interface TrialOptions {
  readonly plan?: Partial<LaunchPlan>
  /** The child's stdin is open until this resolves. */
  readonly meanwhile?: (child: IsolatedProcess) => Promise<void>
}

const TRIAL_TIMEOUT_MS = 20_000
let count = 0

/** Runs a shell script as a child. Rejects with what kept it from starting. */
export async function tryScript(host: Host, script: string, { plan = {}, meanwhile }: TrialOptions = {}): Promise<TrialResult> {
  const level = plan.level ?? "process"
  const full: LaunchPlan = {
    level,
    command: "/bin/sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" },
    cwd: undefined,
    stdio: ["pipe", "pipe", "pipe"],
    limits: checkLimits(),
    group: {},
    inherited: {},
    innerPids: undefined,
    softMemory: false,
    network: { kind: level === "sandbox" ? "none" : "full" },
    system: level === "sandbox" ? "programs" : "none",
    files: [],
    startTimeoutMs: TRIAL_TIMEOUT_MS,
    ...plan,
  }
  const child = new RunningProcess(await startChild(host, `trial-${++count}`, full, { level, command: full.command }))
  const timer = setTimeout(() => child.kill("SIGKILL"), TRIAL_TIMEOUT_MS)
  try {
    const printed = Promise.all([child.stdout ? text(child.stdout) : "", child.stderr ? text(child.stderr) : ""])
    child.stdin?.on("error", () => undefined) // it ended without reading
    await meanwhile?.(child)
    child.stdin?.end()
    const end = await child.ended
    const [stdout, stderr] = await printed
    return { stdout, stderr, end }
  } finally {
    clearTimeout(timer)
    await child.close({ graceMs: 0 })
  }
}
