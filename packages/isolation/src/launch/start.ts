/**
 * Starts one child by its plan.
 *
 * Phases: group with limits → gate (a shell that is already the child's user) → it joins the group → limits are read back → the gate opens →
 * sandbox → the command runs. Foreign code runs only after the last check; a failure in any phase leaves nothing behind.
 * Neighbours: plan.ts decides, gate.ts and bubblewrap.ts are the command lines, ../isolated-process.ts is the child from then on.
 */
import { existsSync } from "node:fs"
import { chown, mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Duplex, Readable } from "node:stream"
import { setTimeout as delay } from "node:timers/promises"
import { FnError, messageOf } from "@fn/core"
import { type Child, describeExit, spawnChild } from "@fn/process"
import type { ChildGroup } from "../cgroup/child-group.js"
import { hostProgram } from "../files/host-program.js"
import { startEgressProxy } from "../network/egress-proxy.js"
import { isStill, type SandboxIdentity } from "../sandbox-socket.js"
import { Users } from "../users.js"
import { bubblewrapOptions, encodeOptions } from "./bubblewrap.js"
import { GATE_FAILED, gateLine, gateScript, type InheritedLimits } from "./gate.js"
import type { Host } from "./host.js"
import type { LaunchOptions } from "./options.js"
import { allStdio, feed, GatePipe, keptOutput, numberPipes, type PipeNumbers, StatusPipe } from "./pipes.js"
import { checkFiles, type LaunchPlan } from "./plan.js"
import { childrenOf, commandLine } from "./proc.js"
import { readProcessLimits } from "./process-limits.js"
import { Resources } from "./resources.js"

/** A child whose command runs. */
export interface StartedChild {
  readonly plan: LaunchPlan
  /** What was spawned: it became the command, or bubblewrap, which waits for it. */
  readonly child: Child
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /** The command's process, as the host numbers it. */
  readonly pid: number
  readonly uid: number | undefined
  readonly sandbox: SandboxIdentity | undefined
  /** Follows the sandbox. */
  readonly status: StatusPipe | undefined
  readonly group: ChildGroup | undefined
  /** To be released when nothing of the child runs any more. */
  readonly resources: Resources
}

/** What the programs before the command see of an environment. */
const LAUNCH_ENV = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" }
const LOOK_EVERY_MS = 1
/** How long what is left of a failed start may take to die. */
const END_MS = 10_000

/**
 * Resolves when the command runs.
 * @throws {FnError} ISOLATION_UNAVAILABLE, PLUGIN_NOT_EXECUTABLE, INVALID_REQUEST, CANCELLED; nothing is left then
 */
export async function startChild(host: Host, name: string, plan: LaunchPlan, options: LaunchOptions): Promise<StartedChild> {
  const start = new Start(host, name, plan, options)
  try {
    return await start.run()
  } catch (thrown) {
    await start.abandon()
    throw thrown
  }
}

class Start {
  readonly #host: Host
  readonly #name: string
  readonly #plan: LaunchPlan
  readonly #options: LaunchOptions
  readonly #resources = new Resources()
  readonly #pipes: PipeNumbers
  #uid: number | undefined
  #group: ChildGroup | undefined
  #child: Child | undefined
  #stderr: Readable | null = null
  #status: StatusPipe | undefined
  #opened = false
  #over = false

  constructor(host: Host, name: string, plan: LaunchPlan, options: LaunchOptions) {
    this.#host = host
    this.#name = name
    this.#plan = plan
    this.#options = options
    this.#pipes = numberPipes(plan.stdio)
  }

  async run(): Promise<StartedChild> {
    this.#options.signal?.throwIfAborted()
    this.#takeUser()
    checkFiles(this.#plan, this.#uid)
    await this.#makeGroup()
    const folder = await this.#makeFolder()
    const { argv, options } = await this.#command(folder)
    const child = this.#spawn(argv, folder)
    const stdout = keptOutput(child.process, 1)
    this.#stderr = keptOutput(child.process, 2)
    const pid = await this.#inTime(this.#open(child, options, folder))
    return {
      plan: this.#plan,
      child,
      stdout,
      stderr: this.#stderr,
      pid,
      uid: this.#uid,
      sandbox: this.#sandbox(),
      status: this.#status,
      group: this.#group,
      resources: this.#resources,
    }
  }

  /** Ends what was started, and gives back what was taken. */
  async abandon(): Promise<void> {
    this.#over = true
    const sandbox = this.#sandbox()
    this.#child?.kill("SIGKILL")
    await this.#child?.exited
    if (sandbox) await endSandbox(sandbox, END_MS)
    await this.#group?.end(END_MS)
    this.#status?.close()
    await this.#resources.release()
  }

  #takeUser(): void {
    const { users } = this.#host
    if (!(users instanceof Users)) return
    const uid = users.take()
    this.#uid = uid
    this.#resources.add(() => users.free(uid))
  }

  async #makeGroup(): Promise<void> {
    const { group } = this.#host
    if (group.folders.length === 0) return
    const own = await group.create(this.#name, this.#plan.group).catch((thrown) => {
      throw unavailable(`its control group cannot be made: ${messageOf(thrown)}`, thrown)
    })
    this.#group = own
    this.#resources.add(() => own.remove())
    const shortfalls = await own.shortfalls(this.#plan.group)
    if (shortfalls.length > 0) throw unavailable(`limits are not in force: ${shortfalls.join("; ")}`)
  }

  /** A folder of the child's own on the host: a process works there, a sandbox gets its egress socket from there. */
  async #makeFolder(): Promise<string> {
    const folder = join(this.#host.scratch.path, this.#name)
    const { level, network } = this.#plan
    if (level === "sandbox" && network.kind !== "egress") return folder
    await mkdir(folder, { mode: 0o700 })
    this.#resources.add(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
    if (this.#uid !== undefined) await chown(folder, this.#uid, this.#uid)
    return folder
  }

  /** What the gate becomes, and for a sandbox the options that make it. */
  async #command(folder: string): Promise<{ argv: string[]; options?: Buffer }> {
    const { command, args, level, network, innerPids, limits, env, system, cwd } = this.#plan
    if (level === "process") return { argv: [command, ...args] }
    const { bubblewrap, seccomp } = this.#host
    if (!bubblewrap) throw unavailable("bubblewrap is not installed")
    const egressSocket = network.kind === "egress" ? await this.#startEgress(network.allow, folder) : undefined
    const limiter = innerPids === undefined ? undefined : await hostProgram("prlimit")
    const options = bubblewrapOptions({
      system,
      files: [...this.#plan.files, ...(limiter && system === "none" ? limiter.files : [])],
      network,
      ...(egressSocket === undefined ? {} : { egressSocket }),
      env,
      cwd: cwd ?? "/tmp",
      tmpBytes: limits.tmpBytes,
      ...(seccomp ? { seccompFd: this.#pipes.seccomp } : {}),
      statusFd: this.#pipes.status,
    })
    const limiting = limiter ? [limiter.path, `--nproc=${innerPids}:${innerPids}`, "--"] : []
    return {
      argv: [bubblewrap, "--args", String(this.#pipes.options), "--", ...limiting, command, ...args],
      options: encodeOptions(options),
    }
  }

  async #startEgress(allow: readonly string[], folder: string): Promise<string> {
    const path = join(folder, "egress.sock")
    const { opened } = this.#host
    const proxy = await startEgressProxy(path, { allow, opened, uid: this.#uid, onDecision: this.#options.onEgress })
    this.#resources.add(() => proxy.close())
    return path
  }

  #spawn(argv: readonly string[], folder: string): Child {
    const { stdio, inherited, level, cwd } = this.#plan
    if (level === "process" && cwd !== undefined && !existsSync(cwd))
      throw FnError.of("INVALID_REQUEST", `the folder ${cwd} does not exist`)
    const script = gateScript(this.#pipes.gate, withinOwnLimits(inherited))
    const child = spawnChild({
      command: this.#host.shell,
      args: ["-c", script, "fn-gate", ...argv],
      env: LAUNCH_ENV,
      cwd: level === "sandbox" ? "/" : (cwd ?? folder),
      stdio: allStdio(stdio, level === "sandbox" ? { seccomp: this.#host.seccomp !== undefined } : undefined),
      rights: this.#uid === undefined ? {} : { uid: this.#uid },
    })
    this.#child = child
    return child
  }

  /** From the gate to the running command; resolves with its process id. */
  async #open(child: Child, options: Buffer | undefined, folder: string): Promise<number> {
    const pipes = child.process.stdio as readonly (Duplex | null | undefined)[]
    const gate = new GatePipe(pipe(pipes, this.#pipes.gate))
    if (options) {
      feed(pipe(pipes, this.#pipes.options), options)
      this.#status = new StatusPipe(pipe(pipes, this.#pipes.status))
      if (this.#host.seccomp) feed(pipe(pipes, this.#pipes.seccomp), this.#host.seccomp)
    }
    const { level, env } = this.#plan
    const own = child.pid ?? 0
    // While the gate sets itself up: to change its group may cost the kernel milliseconds.
    const joined = own === 0 ? undefined : this.#group?.join(own)
    await this.#orEnd(Promise.all([gate.ready, joined])).catch((thrown) => {
      if (!child.exit) throw unavailable(`it cannot be put into its control group: ${messageOf(thrown)}`, thrown)
    })
    await this.#hasRun()
    this.#checkInherited(own)
    this.#opened = true
    const gateCommand = commandLine(own)
    gate.open(gateLine(level === "sandbox" ? {} : { HOME: folder, TMPDIR: folder, ...env }))
    return this.#status ? await this.#sandboxed(this.#status) : await this.#becomes(own, gateCommand)
  }

  #checkInherited(pid: number): void {
    const limits = readProcessLimits(pid)
    for (const [name, wanted] of Object.entries(withinOwnLimits(this.#plan.inherited))) {
      const { soft, hard } = limits.get(name) ?? {}
      if (soft !== wanted || hard !== wanted) throw unavailable(`${name} reads ${hard ?? "nothing"} instead of ${wanted}`)
    }
  }

  /** Follows the start of a sandbox to the process that is the command. */
  async #sandboxed(status: StatusPipe): Promise<number> {
    while (status.now.childPid === undefined && !(await this.#hasRun())) await this.#orEnd(status.more())
    const first = status.now.childPid ?? 0
    while (!(await this.#hasRun())) {
      // The first process stays bubblewrap's; its only child becomes the command.
      const [inner] = childrenOf(first)
      if (inner !== undefined && runsAnother(inner, commandLine(first)) && this.#isLimited(inner)) return inner
      await this.#orEnd(delay(LOOK_EVERY_MS))
    }
    return first // it was over before we saw it
  }

  /** Where the sandbox itself limits its processes, a program that does so runs before the command. */
  #isLimited(pid: number): boolean {
    const { innerPids } = this.#plan
    return innerPids === undefined || readProcessLimits(pid).get("Max processes")?.hard === innerPids
  }

  /** Waits until the gate has become the command. */
  async #becomes(pid: number, gateCommand: string | undefined): Promise<number> {
    while (!runsAnother(pid, gateCommand) && !(await this.#hasRun())) await this.#orEnd(delay(LOOK_EVERY_MS))
    return pid
  }

  /** Whether the child has ended after its command ran, however briefly. @throws {FnError} when it ended before */
  async #hasRun(): Promise<boolean> {
    if (this.#over) throw unavailable("its start was given up")
    const exit = this.#child?.exit
    if (!exit) return false
    const ran = this.#status ? (await this.#status.all()).exitCode !== undefined : this.#opened && !isShellFailure(exit.code)
    if (ran) return true
    throw await this.#neverRan(describeExit(exit), exit.code)
  }

  /** Waits for a step, or for the end of the child. */
  async #orEnd(step: Promise<unknown>): Promise<void> {
    await Promise.race([step, this.#child?.exited])
  }

  async #neverRan(how: string, code: number | null): Promise<FnError> {
    if (((await this.#group?.violations())?.memory ?? 0) > 0)
      return FnError.of(
        "MEMORY_LIMIT",
        `the child ran out of memory as it started (${how}); it may have ${this.#plan.limits.memoryBytes} bytes`,
      )
    const said = this.#stderr ? await lastWords(this.#stderr) : ""
    const hint =
      this.#uid !== undefined && /permission denied/i.test(said)
        ? `; children run as users of their own (here ${this.#uid}), who must be able to reach and read what they run`
        : ""
    const message = `the child ended (${how}) before its command ran${said === "" ? "" : `: ${said}${hint}`}`
    const refused = this.#status ? said.includes("execvp ") : code === 126 || code === 127
    return refused ? FnError.of("PLUGIN_NOT_EXECUTABLE", message) : unavailable(message)
  }

  /** The steps of the start within its time, and only as long as the caller wants it. */
  async #inTime<T>(steps: Promise<T>): Promise<T> {
    const { startTimeoutMs } = this.#plan
    const { signal } = this.#options
    const abort = new AbortController()
    const stop = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal
    try {
      const late = delay(startTimeoutMs, undefined, { signal: stop }).then(() => {
        throw unavailable(`the child did not start within ${startTimeoutMs} ms`)
      })
      return await Promise.race([steps, late])
    } catch (thrown) {
      steps.catch(() => undefined) // given up: it fails for that reason
      throw signal?.aborted ? FnError.from(signal.reason, "cancelled", "CANCELLED") : thrown
    } finally {
      abort.abort()
    }
  }

  #sandbox(): SandboxIdentity | undefined {
    const { childPid, mountNamespace } = this.#status?.now ?? {}
    if (childPid === undefined || mountNamespace === undefined) return undefined
    return { pid: childPid, mountNamespace, uid: this.#uid ?? process.getuid?.() ?? 0 }
  }
}

/** Kills the first process of a sandbox, with which the kernel ends all others, and resolves when it is gone. @throws {FnError} INTERNAL when it is not after `timeoutMs` */
export async function endSandbox(sandbox: SandboxIdentity, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (isStill(sandbox)) {
    try {
      process.kill(sandbox.pid, "SIGKILL")
    } catch {
      return // ESRCH: it has ended between the two calls
    }
    if (performance.now() > deadline)
      throw FnError.of("INTERNAL", `the sandbox of process ${sandbox.pid} is left ${timeoutMs} ms after SIGKILL`)
    await delay(LOOK_EVERY_MS)
  }
}

/** Limits that this process has itself cannot be raised, and need not be. */
function withinOwnLimits(wanted: InheritedLimits): InheritedLimits {
  const own = readProcessLimits("self")
  return Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => [name, Math.min(value, own.get(name)?.hard ?? Number.POSITIVE_INFINITY)]),
  )
}

/** Whether a process has another command line than `before`. One that is dead has none. */
function runsAnother(pid: number, before: string | undefined): boolean {
  const line = commandLine(pid)
  return line !== undefined && line !== "" && line !== before
}

/** How a shell ends that could not become its command. */
function isShellFailure(code: number | null): boolean {
  return code === GATE_FAILED || code === 126 || code === 127
}

/** What a child that never ran its command has printed: its launcher's reason. */
async function lastWords(stderr: Readable): Promise<string> {
  let text = ""
  stderr.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString("utf8")).slice(-2_000)
  })
  await Promise.race([new Promise((resolve) => stderr.once("close", resolve)), delay(500)])
  return text.trim()
}

function pipe(pipes: readonly (Duplex | null | undefined)[], number: number): Duplex {
  const found = pipes[number]
  if (!found) throw FnError.of("INTERNAL", `the child was spawned without descriptor ${number}`)
  return found
}

function unavailable(message: string, cause?: unknown): FnError {
  return FnError.of("ISOLATION_UNAVAILABLE", message, cause === undefined ? {} : { cause })
}
