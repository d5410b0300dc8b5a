/**
 * Starts the processes of functions, held to what their version demands.
 *
 * Under policy `dev`, a function that asks for nothing gets a plain child; everything else goes through @fn/isolation, which is started at the
 * first need of it. Neighbours: policy.ts and demand.ts decide, instances/ say what to run.
 */
import type { IOType } from "node:child_process"
import { basename } from "node:path"
import { FnError, type Logger, noopLogger } from "@fn/core"
import { type FileGrant, type IsolatedProcess, type Isolation, type IsolationReport, type SystemView, startIsolation } from "@fn/isolation"
import { type Child, spawnChild } from "@fn/process"
import { type Asking, type Demand, demandOf, strictDefaults } from "./demand.js"
import { type IsolationPolicy, type IsolationSettings, policyOf } from "./policy.js"

/** A file of the host as a child has it. */
export interface Place {
  /** Its path for the child. */
  readonly path: string
  /** What a sandbox has to show for that. */
  readonly files: readonly FileGrant[]
}

/** What to run. Paths are those the child sees. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Where a child works that is no sandbox. Default: a folder of its own, or ours for a plain child. */
  readonly cwd?: string
  readonly stdio: readonly (IOType | number)[]
  readonly files: readonly FileGrant[]
  readonly system: SystemView
  /** Shows in names of control groups. */
  readonly name: string
  readonly signal?: AbortSignal
}

/** Where a sandbox shows what belongs to the function. */
const FUNCTION_FOLDER = "/fn"

export class FunctionLauncher {
  readonly policy: IsolationPolicy
  readonly #settings: IsolationSettings
  readonly #logger: Logger
  /** Classes of processes of which was said that they are held softly. */
  readonly #told = new Set<string>()
  #isolation: Promise<Isolation> | undefined
  /** What it started as, or why it did not. */
  #known: Isolation | FnError | undefined
  #closed = false

  constructor(settings: IsolationSettings = {}, logger: Logger = noopLogger) {
    this.#settings = settings
    this.#logger = logger
    this.policy = policyOf(settings)
  }

  /** Why this machine cannot run even a function that asks for nothing; undefined if it can. */
  async problem(): Promise<FnError | undefined> {
    if (this.policy.name === "dev") return undefined
    try {
      const { limits, network } = strictDefaults()
      ;(await this.#started()).check({ level: "sandbox", command: "/", limits, network, acceptSoft: this.policy.acceptSoft })
      return undefined
    } catch (thrown) {
      // Functions that ask for level `process` can be run all the same; of the others refusal() says why not.
      return this.policy.allowProcess ? undefined : FnError.from(thrown)
    }
  }

  /** Resolves once it is known what this machine can enforce, if that matters for what is asked; undefined if it does not, or is known. */
  untilKnown(asking: Asking): Promise<unknown> | undefined {
    if (this.#known || this.#closed || this.#demandOf(asking)?.plain !== false) return undefined
    return this.#started().catch(() => undefined) // refusal() says why
  }

  /** Why this host does not run what asks so, as far as it is known; undefined if it does. */
  refusal(asking: Asking): FnError | undefined {
    try {
      const { plain, level, limits, network, files } = this.demandOf(asking)
      if (plain || !this.#known) return undefined
      if (FnError.is(this.#known)) return this.#known
      this.#known.check({
        level,
        command: "/",
        limits,
        network,
        files: level === "sandbox" ? files : [],
        acceptSoft: this.policy.acceptSoft,
      })
      return undefined
    } catch (thrown) {
      return FnError.from(thrown)
    }
  }

  /** What the processes of a version are held to. @throws {FnError} ISOLATION_UNAVAILABLE for what the operator does not allow */
  demandOf(definition: Asking): Demand {
    return demandOf(definition, this.policy)
  }

  /** What this machine can enforce. */
  async report(): Promise<IsolationReport> {
    return (await this.#started()).report
  }

  /** Where a child of this demand finds a file or folder of the function. */
  async place(demand: Demand, hostPath: string): Promise<Place> {
    if (demand.plain) return { path: hostPath, files: [] }
    const reached = await (await this.#started()).reach(hostPath)
    if (demand.level === "process") return { path: reached, files: [] }
    const at = `${FUNCTION_FOLDER}/${basename(hostPath)}`
    return { path: at, files: [{ path: reached, at }] }
  }

  /** Where it finds Node, the one that runs this host. */
  async node(demand: Demand): Promise<Place> {
    if (demand.plain) return { path: process.execPath, files: [] }
    const { path, hostPath, files } = await (await this.#started()).program(process.execPath)
    return demand.level === "process" ? { path: hostPath, files: [] } : { path, files }
  }

  /** Starts a child. @throws {FnError} ISOLATION_UNAVAILABLE for what this machine cannot enforce, and what starting it may throw */
  async launch(demand: Demand, program: Program): Promise<Child> {
    const { command, args, env, cwd, stdio, signal } = program
    if (demand.plain) return spawnChild({ command, args, env, stdio: [...stdio], ...(cwd === undefined ? {} : { cwd }) })
    const isolation = await this.#started()
    const { level, limits, network, files } = demand
    this.#tellSoft(demand, isolation.report)
    return await isolation.launch({
      level,
      command,
      args,
      env,
      stdio,
      limits,
      network,
      files: level === "sandbox" ? [...program.files, ...files] : [],
      system: level === "sandbox" ? program.system : "none",
      acceptSoft: this.policy.acceptSoft,
      name: program.name,
      ...(signal ? { signal } : {}),
    })
  }

  #tellSoft({ key, level }: Demand, { grades }: IsolationReport): void {
    if (this.#told.has(key)) return
    this.#told.add(key)
    const soft = Object.entries(grades[level]).flatMap(([name, { grade }]) => (grade === "soft" ? [name] : []))
    const held = soft.filter((name) => this.policy.acceptSoft.some((accepted) => accepted === name))
    if (held.length > 0) this.#logger.warn("functions are held softly", { level, guarantees: held.join(", "), policy: this.policy.name })
  }

  async close(): Promise<void> {
    this.#closed = true
    const isolation = await this.#isolation?.catch(() => undefined) // it never started: nothing to close
    await isolation?.close()
  }

  #demandOf(asking: Asking): Demand | undefined {
    try {
      return this.demandOf(asking)
    } catch {
      return undefined // refused whatever this machine can enforce: refusal() says why
    }
  }

  #started(): Promise<Isolation> {
    if (this.#closed) return Promise.reject(FnError.of("HOST_DRAINING", "this host is shutting down"))
    this.#isolation ??= this.#start()
    return this.#isolation
  }

  async #start(): Promise<Isolation> {
    const {
      policy: _policy,
      allowProcess: _process,
      allowFullNetwork: _network,
      allowFiles: _files,
      acceptSoft: _soft,
      ...options
    } = this.#settings
    try {
      const isolation = await startIsolation(options)
      this.#known = isolation
      return isolation
    } catch (thrown) {
      this.#known = FnError.from(thrown)
      throw thrown
    }
  }
}

/** Whether a child is held to more than a plain one. */
export function isIsolated(child: Child): child is IsolatedProcess {
  return "ended" in child
}

/** Why a child ended if a limit ended it: known once nothing of it is left. */
export async function limitError(child: Child): Promise<FnError | undefined> {
  if (!isIsolated(child)) return undefined
  const end = await child.ended.catch(() => undefined) // something of it is left: whoever closes it hears of that
  if (end?.reason === undefined) return undefined
  const details = { exit: end.exit, probable: end.probable, violations: end.violations }
  return FnError.of(end.reason, `the function's process: ${end.message}`, { details })
}
