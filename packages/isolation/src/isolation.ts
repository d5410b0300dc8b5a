/**
 * Starts children under enforced limits, for one host process: what it cannot enforce it refuses.
 *
 * Phases: open → closed. Neighbours: probe/ knows what this host can enforce, launch/ starts a child, isolated-process.ts is a running one.
 */
import { join } from "node:path"
import { FnError, newId } from "@fn/core"
import { type HostProgram, hostProgram } from "./files/host-program.js"
import { Staging } from "./files/staging.js"
import { type IsolatedProcess, RunningProcess } from "./isolated-process.js"
import { createHost, type Host, type HostOptions } from "./launch/host.js"
import type { LaunchOptions } from "./launch/options.js"
import { planLaunch } from "./launch/plan.js"
import { startChild } from "./launch/start.js"
import { type IsolationReport, probeWith } from "./probe/probe.js"
import { Users } from "./users.js"

/** See {@link HostOptions}. */
export type IsolationOptions = HostOptions

/** What {@link startIsolation} gives. */
export interface Isolation extends AsyncDisposable {
  /** What this host can enforce, and how that is known. */
  readonly report: IsolationReport
  /**
   * Starts a child; resolves when its command runs.
   * @throws {FnError} ISOLATION_UNAVAILABLE for what this host cannot enforce, PLUGIN_NOT_EXECUTABLE, INVALID_REQUEST, CANCELLED, HOST_DRAINING; nothing is left then
   */
  launch(options: LaunchOptions): Promise<IsolatedProcess>
  /**
   * Whether {@link launch} would refuse this: asks nothing of the system.
   * @throws {FnError} ISOLATION_UNAVAILABLE, INVALID_REQUEST
   */
  check(options: LaunchOptions): void
  /**
   * Where children can read `path`: as it is, or a copy made once, where their own users could not reach it. Give the result to `launch`.
   * Only for what never changes, such as artifacts by their digest.
   */
  reach(path: string): Promise<string>
  /**
   * A program of this machine, by path or by its name on PATH, and what a sandbox has to show for it to run. Only for programs to be trusted:
   * to ask one for its libraries is to run its loader.
   * @throws {FnError} ISOLATION_UNAVAILABLE when there is none
   */
  program(nameOrPath: string): Promise<HostProgram>
  /** Ends every child and gives everything back. May be called twice. */
  close(): Promise<void>
}

/** Finds out what this host can enforce (once per process), and readies it for children. Call it from the main thread. */
export async function startIsolation(options: IsolationOptions = {}): Promise<Isolation> {
  const report = await probeWith(options)
  return new LocalIsolation(report, await createHost(options))
}

class LocalIsolation implements Isolation {
  readonly report: IsolationReport
  readonly #host: Host
  readonly #staging: Staging | undefined
  readonly #children = new Set<RunningProcess>()
  readonly #starting = new Set<Promise<unknown>>()
  readonly #abort = new AbortController()
  #closed: Promise<void> | undefined

  constructor(report: IsolationReport, host: Host) {
    this.report = report
    this.#host = host
    this.#staging = host.users instanceof Users ? new Staging(join(host.scratch.path, "staged")) : undefined
  }

  async launch(options: LaunchOptions): Promise<IsolatedProcess> {
    if (this.#closed) throw closedError()
    const starting = this.#start(options)
    this.#starting.add(starting)
    try {
      return await starting
    } finally {
      this.#starting.delete(starting)
    }
  }

  check(options: LaunchOptions): void {
    planLaunch(options, this.report.grades[options.level])
  }

  reach(path: string): Promise<string> {
    return this.#staging ? this.#staging.reach(path) : Promise.resolve(path)
  }

  async program(nameOrPath: string): Promise<HostProgram> {
    const { path, files } = await hostProgram(nameOrPath)
    const reached = files.map(async (file) => ({ path: await this.reach(file.path), at: file.at ?? file.path }))
    return { path, hostPath: await this.reach(path), files: await Promise.all(reached) }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #start(options: LaunchOptions): Promise<IsolatedProcess> {
    const plan = planLaunch(options, this.report.grades[options.level])
    const signal = options.signal ? AbortSignal.any([options.signal, this.#abort.signal]) : this.#abort.signal
    const name = `${(options.name ?? "child").replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 64)}-${newId()}`
    const child = new RunningProcess(await startChild(this.#host, name, plan, { ...options, signal }))
    this.#children.add(child)
    void child.ended.then(
      () => this.#children.delete(child),
      () => undefined, // something of it is left: closing tells
    )
    return child
  }

  async #close(): Promise<void> {
    this.#abort.abort(closedError())
    await Promise.allSettled(this.#starting)
    await Promise.all([...this.#children].map((child) => child.close({ graceMs: 0 })))
    await this.#host.close()
  }
}

function closedError(): FnError {
  return FnError.of("HOST_DRAINING", "this host is shutting down")
}
