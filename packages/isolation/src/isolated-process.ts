/**
 * A child whose command runs, until nothing of it is left.
 *
 * Phases: running → (closing) → exited → ended. `exited` is the end of what was spawned; then what it left behind is killed, the counters of
 * its control group are read, and everything it held is given back: that is `ended`. Neighbours: launch/start.ts makes it, isolation.ts
 * counts it.
 */
import type { ChildProcess } from "node:child_process"
import { constants } from "node:os"
import type { Readable, Writable } from "node:stream"
import { setTimeout as delay } from "node:timers/promises"
import { FnError, type Reason } from "@fn/core"
import type { Child, ExitInfo } from "@fn/process"
import type { GroupViolations } from "./cgroup/child-group.js"
import { processesOf } from "./launch/proc.js"
import { endSandbox, type StartedChild } from "./launch/start.js"
import { describeEnd, type ProcessEnd } from "./process-end.js"
import { openSandboxSocket, type SandboxSocket } from "./sandbox-socket.js"
import { readUsage, type Usage } from "./usage.js"
import { type Check, verifyChild } from "./verify.js"

/** How to end a child. */
export interface CloseOptions {
  /** Between SIGTERM and SIGKILL, ms. Default 2000; 0 kills at once. */
  readonly graceMs?: number
  /** Why, if it is ended for a limit that its owner keeps; `ended` tells it. */
  readonly reason?: Reason
}

/** A child under limits; what {@link Child} offers, and more. */
export interface IsolatedProcess extends Child {
  /** The command's process, as the host numbers it. In a sandbox this is not the process that was spawned. */
  readonly pid: number
  /** Its own user, if it has one. */
  readonly uid: number | undefined
  /** Settles when nothing of it is left: no process, no control group, no folder. Rejects only if something is. */
  readonly ended: Promise<ProcessEnd>
  /** What it uses now. */
  usage(): Promise<Usage>
  /** How often it has met a limit so far. */
  violations(): Promise<GroupViolations>
  /** Reads back every limit and wall that it was promised. */
  verify(): Promise<Check[]>
  /** Opens a socket that a sandboxed child made directly below `/run/fn`. @throws {FnError} BAD_HANDSHAKE when it is not one to trust */
  openSocket(path: string): SandboxSocket
  /** SIGTERM to the command, after the grace SIGKILL to everything. Resolves when nothing is left. May be called twice. */
  close(options?: CloseOptions): Promise<ProcessEnd>
}

const DEFAULT_GRACE_MS = 2_000
/** How long the kernel may take to end what was killed. */
const END_MS = 10_000
const WATCH_EVERY_MS = 100
/** Some have two names: the first is the one everybody knows, as SIGABRT before SIGIOT. */
const SIGNALS = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name as NodeJS.Signals]),
)

export class RunningProcess implements IsolatedProcess {
  readonly exited: Promise<ExitInfo>
  readonly ended: Promise<ProcessEnd>
  exit: ExitInfo | undefined
  readonly #started: StartedChild
  readonly #watch: NodeJS.Timeout | undefined
  #closing: CloseOptions | undefined

  constructor(started: StartedChild) {
    this.#started = started
    this.#watch = this.#watchCpuTime()
    this.exited = started.child.exited.then((exit) => this.#translate(exit))
    this.ended = this.exited.then((exit) => this.#settle(exit))
    this.ended.catch(() => undefined) // whoever closes it hears of it
  }

  get pid(): number {
    return this.#started.pid
  }
  get uid(): number | undefined {
    return this.#started.uid
  }
  get stdin(): Writable | null {
    return this.#started.child.stdin
  }
  get stdout(): Readable | null {
    return this.#started.stdout
  }
  get stderr(): Readable | null {
    return this.#started.stderr
  }
  get process(): ChildProcess {
    return this.#started.child.process
  }

  usage(): Promise<Usage> {
    return readUsage(this.#started.group, this.pid)
  }

  async violations(): Promise<GroupViolations> {
    return (await this.#started.group?.violations()) ?? { memory: 0, pids: 0 }
  }

  verify(): Promise<Check[]> {
    return verifyChild(this.#started)
  }

  openSocket(path: string): SandboxSocket {
    const { sandbox } = this.#started
    if (!sandbox) throw FnError.of("INVALID_REQUEST", "only a sandbox has a folder for sockets")
    return openSandboxSocket(sandbox, path)
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): boolean {
    if (this.exit) return false
    if (signal === "SIGKILL") {
      void this.#killAll().catch(() => undefined) // tried again, and waited for, when it has exited
      return true
    }
    // In a sandbox the spawned process is bubblewrap, which would die of the signal and take the command with it without any grace.
    return this.#started.sandbox ? signalTo(this.pid, signal) : this.#started.child.kill(signal)
  }

  async terminate(options: { graceMs?: number } = {}): Promise<ExitInfo> {
    return (await this.close(options)).exit
  }

  async close(options: CloseOptions = {}): Promise<ProcessEnd> {
    if (!this.exit) {
      this.#closing ??= options
      const graceMs = options.graceMs ?? DEFAULT_GRACE_MS
      if (graceMs > 0) {
        this.kill("SIGTERM")
        await this.#exitsWithin(graceMs)
      }
      if (!this.exit) await this.#killAll()
    }
    return await this.ended
  }

  async #exitsWithin(timeoutMs: number): Promise<void> {
    const abort = new AbortController()
    const late = delay(timeoutMs, undefined, abort).catch(() => undefined) // it ended in time
    await Promise.race([this.exited, late])
    abort.abort()
  }

  async #killAll(): Promise<void> {
    const { child, group, sandbox } = this.#started
    if (sandbox) signalTo(sandbox.pid, "SIGKILL")
    else child.kill("SIGKILL")
    await group?.end(END_MS)
    if (!this.exit) child.kill("SIGKILL")
  }

  /** bubblewrap ends as a shell does, with 128 and the number of the signal that ended the command. */
  #translate(exit: ExitInfo): ExitInfo {
    const signal = this.#started.sandbox && exit.code !== null ? SIGNALS.get(exit.code - 128) : undefined
    this.exit = signal === undefined ? exit : { code: null, signal }
    return this.exit
  }

  async #settle(exit: ExitInfo): Promise<ProcessEnd> {
    clearInterval(this.#watch)
    const { group, sandbox, uid, plan, resources, status } = this.#started
    if (sandbox) await endSandbox(sandbox, END_MS)
    await group?.end(END_MS)
    if (!group && uid !== undefined) await endUser(uid, END_MS)
    const end = describeEnd({
      exit,
      closed: this.#closing,
      violations: await this.violations(),
      usage: await this.usage(),
      memoryBytes: plan.limits.memoryBytes,
      pids: plan.limits.pids,
      softMemory: plan.softMemory,
      softCpuTimeMs: plan.inherited["Max cpu time"] === undefined ? undefined : plan.limits.cpuTimeMs,
    })
    status?.close()
    await resources.release()
    return end
  }

  #watchCpuTime(): NodeJS.Timeout | undefined {
    const { cpuTimeMs } = this.#started.plan.limits
    if (cpuTimeMs === undefined) return undefined
    const look = async (): Promise<void> => {
      const { cpuUs } = await this.usage()
      if (cpuUs === undefined || cpuUs < cpuTimeMs * 1000 || this.#closing || this.exit) return
      await this.close({ graceMs: 0, reason: "CPU_LIMIT" })
    }
    // What it cannot end now shows in `ended`.
    return setInterval(() => void look().catch(() => undefined), WATCH_EVERY_MS).unref()
  }
}

/** Without control groups, a user of its own still tells what belongs to a child. */
async function endUser(uid: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (let left = processesOf(uid); left.length > 0; left = processesOf(uid)) {
    for (const pid of left) signalTo(pid, "SIGKILL")
    if (performance.now() > deadline)
      throw FnError.of("INTERNAL", `processes ${left.join(", ")} are left ${timeoutMs} ms after SIGKILL`, { details: { left } })
    await delay(1)
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false // ESRCH: it has ended
  }
}
