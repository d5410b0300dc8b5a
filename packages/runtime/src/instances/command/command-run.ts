/**
 * One execution of a command: a process of its own from start to end. docs/command-protocol.md
 *
 * Phases: preparing (folder, stdin, pipes) → running → over. However it ends, the whole process group is gone, the pipes are closed and the folder is
 * removed before its promise settles. What ended it is decided in this order: our own reason (cancelled, too much output, a caller who takes no
 * more), a signal, the exit code, what is on stdout.
 */
import { closeSync, openSync, unlinkSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { FnError, functionSource, type Logger, messageOf, type WireEvent } from "@fn/core"
import type { Usage } from "@fn/isolation"
import { type Child, describeExit, type ExitInfo, type GroupKeeper } from "@fn/process"
import type { Demand } from "../../isolation/demand.js"
import { type FunctionLauncher, isIsolated, limitError, type Program } from "../../isolation/launcher.js"
import { usageOf } from "../../isolation/usage.js"
import { stdinOf, variablesOf } from "../../stdio/input.js"
import { MAX_EVENTS, tooMany } from "../../stdio/output-event.js"
import { OutputReader, outputLimit } from "../../stdio/output-reader.js"
import { programError } from "../../stdio/program-error.js"
import { ProgramLog } from "../../stdio/program-log.js"
import { resultType } from "../../stdio/result-type.js"
import type { Execution, InstanceSpec } from "../instance.js"
import { within } from "../plugin/within.js"
import { notExecutable } from "./program-file.js"
import type { PipeStore, StdioPipes } from "./stdio-pipes.js"

/** What every execution of an instance has in common. */
export interface CommandProgram {
  readonly spec: InstanceSpec
  readonly launcher: FunctionLauncher
  readonly demand: Demand
  /** Absolute path for the child, checked. */
  readonly file: string
  readonly args: readonly string[]
  /** What a sandbox has to show for it to run. */
  readonly shows: Pick<Program, "files" | "system">
  /** Everything that does not depend on the call. */
  readonly environment: Readonly<Record<string, string>>
  /** Where executions get a folder of their own. */
  readonly scratchDir: string
  readonly pipes: PipeStore
  /** Ends with this host what programs start and do not wait for. */
  readonly groups: GroupKeeper
  /** stdout and stderr, each. */
  readonly maxOutputBytes: number
}

/** A process that escaped its group can hold the pipes open: nothing for this long after the end, and they are closed. */
const SILENCE_MS = 250
/** What is said of how much stdout was when the program failed. */
const STDOUT_TAIL_BYTES = 8 * 1024

export class CommandRun {
  readonly #program: CommandProgram
  readonly #execution: Execution
  readonly #logger: Logger
  readonly #output: OutputReader
  readonly #log: ProgramLog
  readonly #events: WireEvent[] = []
  readonly #stopped = new AbortController()
  #child: Child | undefined
  #streams: readonly Readable[] = []
  #failure: FnError | undefined
  #outputBytes = 0
  #readBytes = 0
  /** The caller's side is not ready for the next event. */
  #delivering = false
  #closed = false

  constructor(program: CommandProgram, execution: Execution) {
    const { spec, maxOutputBytes } = program
    this.#program = program
    this.#execution = execution
    this.#logger = spec.logger.child({ invocationId: execution.invocationId })
    this.#output = new OutputReader({ source: functionSource(spec.fn), type: resultType(spec.definition), maxBytes: maxOutputBytes })
    this.#log = new ProgramLog(this.#logger, maxOutputBytes)
  }

  /** Runs it to its end. Resolves with the events that were not handed to the execution's sink. @throws {FnError} why it failed */
  async run(): Promise<WireEvent[]> {
    const folder = await mkdtemp(join(this.#program.scratchDir, "run-"))
    try {
      const stdin = await this.#writeStdin(folder)
      const pipes = await this.#program.pipes.take()
      const child = await this.#start(folder, stdin, pipes)
      return await this.#attend(child, pipes)
    } finally {
      await this.#remove(folder)
    }
  }

  /** What its process uses, or used; undefined before it has started. */
  async usage(): Promise<Usage | undefined> {
    return this.#child ? await usageOf(this.#child) : undefined
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Ends it for `reason`: SIGTERM to its group, SIGKILL after `graceMs`. The first reason stays. */
  stop(reason: FnError, graceMs: number): void {
    this.#failure ??= reason
    this.#stopped.abort(reason)
    if (graceMs <= 0) this.#child?.kill("SIGKILL")
    else void this.#child?.terminate({ graceMs })
  }

  /** A file rather than a pipe: it can be read at any pace, or not at all, and opened again as /dev/stdin. Only the descriptor stays. */
  async #writeStdin(folder: string): Promise<number> {
    const path = join(folder, "stdin")
    // Readable by all: a child of another user may open its own stdin by name. The folder is not.
    await writeFile(path, stdinOf(this.#execution.event, this.#program.spec.definition.stdin), { mode: 0o644 })
    const fd = openSync(path, "r")
    unlinkSync(path)
    return fd
  }

  async #start(folder: string, stdin: number, pipes: StdioPipes | undefined): Promise<Child> {
    try {
      if (this.#failure) throw this.#failure
      this.#child = await this.#spawn(folder, stdin, pipes)
      if (this.#failure) this.#child.kill("SIGKILL")
      return this.#child
    } catch (thrown) {
      pipes?.stdout.destroy()
      pipes?.stderr.destroy()
      throw this.#startError(thrown)
    } finally {
      closeSync(stdin)
      pipes?.release()
    }
  }

  #spawn(folder: string, stdin: number, pipes: StdioPipes | undefined): Promise<Child> {
    const { file, args, environment, spec, launcher, demand, shows } = this.#program
    const { invocationId, attempt, deadline, event } = this.#execution
    const call = { fn: spec.fn, config: spec.definition.config, invocationId, attempt, timeoutMs: deadline - Date.now(), event }
    return launcher.launch(demand, {
      command: file,
      args,
      // A child with a folder of its own has these two set to it.
      env: { ...(demand.plain ? { HOME: folder, TMPDIR: folder } : {}), ...environment, ...variablesOf(call) },
      ...(demand.plain ? { cwd: folder } : {}),
      stdio: [stdin, ...(pipes?.childEnds ?? ["pipe" as const, "pipe" as const])],
      ...shows,
      name: "command",
      signal: this.#stopped.signal,
    })
  }

  #startError(thrown: unknown): FnError {
    if (this.#failure) return this.#failure
    if (FnError.is(thrown) && thrown.reason !== "PLUGIN_NOT_EXECUTABLE") return thrown
    return notExecutable(`${this.#program.file} cannot be started: ${messageOf(thrown)}`, thrown)
  }

  async #attend(child: Child, pipes: StdioPipes | undefined): Promise<WireEvent[]> {
    const stdout = (pipes?.stdout ?? child.stdout) as Readable
    const stderr = (pipes?.stderr ?? child.stderr) as Readable
    this.#streams = [stdout, stderr]
    const read = Promise.all([this.#drain(stdout, (chunk) => this.#take(chunk)), this.#drain(stderr, (chunk) => this.#log.push(chunk))])
    const exit = await this.#end(child)
    await this.#finishReading(read)
    this.#log.end()
    return await this.#outcome(child, exit)
  }

  /** What a plain child leaves behind is ended with this host; of an isolated one nothing is left once it has ended. */
  async #end(child: Child): Promise<ExitInfo> {
    if (isIsolated(child)) return (await child.ended).exit
    const { groups } = this.#program
    if (child.pid !== undefined) groups.begins(child.pid)
    const exit = await child.exited
    if (child.pid !== undefined) groups.ends(child.pid)
    return exit
  }

  /** Never rejects: what goes wrong is what the execution fails with. */
  async #drain(stream: Readable, take: (chunk: Buffer) => void | Promise<void>): Promise<void> {
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        this.#readBytes += chunk.length
        const taken = take(chunk)
        if (taken) await taken
      }
    } catch (thrown) {
      if (!this.#closed) this.stop(FnError.from(thrown), 0)
    }
  }

  async #take(chunk: Buffer): Promise<void> {
    for (const event of this.#output.push(chunk)) await this.#deliver(event)
    this.#outputBytes += chunk.length
    const { maxOutputBytes } = this.#program
    if (!this.#execution.sink && this.#outputBytes > maxOutputBytes) throw outputLimit(maxOutputBytes)
  }

  async #deliver(event: WireEvent): Promise<void> {
    const { sink } = this.#execution
    if (!sink) {
      if (this.#events.push(event) > MAX_EVENTS) throw tooMany()
      return
    }
    this.#delivering = true
    try {
      await sink.write(event)
    } finally {
      this.#delivering = false
    }
  }

  /** The process is gone, and with it its group; what is left in the pipes is read, but not waited for without end. */
  async #finishReading(read: Promise<unknown>): Promise<void> {
    const done = read.then(() => true)
    for (let before = -1; !this.#failure && (await within(SILENCE_MS, done)) === undefined; ) {
      // Looked at twice: on a loaded machine a timer fires before a pipe that has something is read.
      if (!this.#delivering && this.#readBytes === before) break
      before = this.#readBytes
    }
    this.#closed = true
    for (const stream of this.#streams) stream.destroy()
    // After a failure nobody waits for a caller who takes no more.
    if (!this.#failure) await read
  }

  async #outcome(child: Child, exit: ExitInfo): Promise<WireEvent[]> {
    const failure = this.#failure ?? (await limitError(child))
    if (failure) throw failure
    const stderr = this.#log.tail
    if (exit.spawnError) throw notExecutable(`${this.#program.file} cannot be started: ${exit.spawnError.message}`, exit.spawnError)
    if (exit.signal !== null) {
      const details = { exit: describeExit(exit), stderr: stderr.slice(-2_000) }
      throw FnError.of("FUNCTION_CRASHED", `the function's process ended (${details.exit}) while it ran`, { details })
    }
    if (exit.code !== 0) {
      // setpriv, which ties the process to us, is what was started: it is the one that says so when the program itself cannot be.
      const refused = /^setpriv: (failed to execute .*)$/m.exec(stderr)?.[1]
      if (refused !== undefined && (exit.code === 126 || exit.code === 127)) throw notExecutable(refused)
      throw programError({
        code: exit.code as number,
        stderr,
        stdout: this.#output.textTail(STDOUT_TAIL_BYTES),
        failure: this.#output.failure(),
      })
    }
    for (const event of this.#output.end()) await this.#deliver(event)
    return this.#events
  }

  async #remove(folder: string): Promise<void> {
    try {
      await rm(folder, { recursive: true, force: true })
    } catch (thrown) {
      this.#logger.warn("the execution's folder cannot be removed", { folder, error: messageOf(thrown) })
    }
  }
}
