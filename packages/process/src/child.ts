/**
 * A child process with an owner.
 *
 * It leads a process group of its own, so that what it starts goes with it; the kernel kills it when this process dies (tether.ts);
 * `exited` settles on the process's exit, not on the close of its pipes, which a grandchild may hold open.
 */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process"
import type { Readable, Writable } from "node:stream"
import type { ExitInfo } from "./exit.js"
import { type Rights, tether } from "./tether.js"

/** How to start a child. */
export interface SpawnOptions {
  readonly command: string
  readonly args?: readonly string[]
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Default: no stdin, pipes for stdout and stderr. Further entries are further descriptors. */
  readonly stdio?: StdioOptions
  /** Gives up rights before the command runs. Default: the child keeps ours. Throws where there is no setpriv. */
  readonly rights?: Rights
}

/** A running child. */
export interface Child {
  readonly pid: number | undefined
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /** Node's own handle, for further descriptors. */
  readonly process: ChildProcess
  /** Settles when the process has ended or could not be started; never rejects. */
  readonly exited: Promise<ExitInfo>
  /** Set once it has ended. */
  readonly exit: ExitInfo | undefined
  /** Signals the whole process group. False when it is gone. */
  kill(signal?: NodeJS.Signals): boolean
  /** SIGTERM, after `graceMs` SIGKILL, to the group; resolves when the process has ended. May be called twice. */
  terminate(options?: { graceMs?: number }): Promise<ExitInfo>
}

/** Time between SIGTERM and SIGKILL. */
const DEFAULT_GRACE_MS = 2_000

/** Starts a child; it is gone at the latest when this process is. A command that cannot be started shows in `exited`. */
export function spawnChild(options: SpawnOptions): Child {
  const { command, args } = tether(options.command, options.args ?? [], options.rights)
  const proc = spawn(command, args, {
    env: options.env,
    stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
    // A group of its own: signals reach what the child started, and a terminal's Ctrl-C reaches only us.
    detached: true,
    ...(options.cwd ? { cwd: options.cwd } : {}),
  })
  return new OwnedChild(proc)
}

class OwnedChild implements Child {
  readonly process: ChildProcess
  readonly exited: Promise<ExitInfo>
  exit: ExitInfo | undefined
  #terminating: Promise<ExitInfo> | undefined

  constructor(proc: ChildProcess) {
    this.process = proc
    this.exited = new Promise((resolve) => {
      const end = (exit: ExitInfo): void => {
        this.exit ??= exit
        // What the child left behind in its group (a grandchild holding its pipes) goes with it.
        this.#signalGroup("SIGKILL")
        resolve(this.exit)
      }
      proc.once("exit", (code, signal) => end({ code, signal }))
      proc.once("error", (spawnError) => {
        if (proc.pid === undefined) end({ code: null, signal: null, spawnError })
      })
    })
  }

  get pid(): number | undefined {
    return this.process.pid
  }
  get stdin(): Writable | null {
    return this.process.stdin
  }
  get stdout(): Readable | null {
    return this.process.stdout
  }
  get stderr(): Readable | null {
    return this.process.stderr
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): boolean {
    if (this.exit) return false
    return this.#signalGroup(signal) || this.process.kill(signal)
  }

  terminate(options: { graceMs?: number } = {}): Promise<ExitInfo> {
    this.#terminating ??= this.#terminate(options.graceMs ?? DEFAULT_GRACE_MS)
    return this.#terminating
  }

  async #terminate(graceMs: number): Promise<ExitInfo> {
    this.kill("SIGTERM")
    const timer = setTimeout(() => this.kill("SIGKILL"), graceMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  #signalGroup(signal: NodeJS.Signals): boolean {
    const pid = this.process.pid
    if (pid === undefined) return false
    try {
      process.kill(-pid, signal)
      return true
    } catch {
      return false // ESRCH: nobody is left in the group
    }
  }
}
