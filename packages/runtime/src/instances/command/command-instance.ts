import { FnError, type WireEvent } from "@fn/core"
import type { Usage } from "@fn/isolation"
import { sumOf } from "../../isolation/usage.js"
import type { Execution, Instance } from "../instance.js"
import { within } from "../plugin/within.js"
import { type CommandProgram, CommandRun } from "./command-run.js"

const NOTHING: Usage = {
  memoryBytes: undefined,
  memoryPeakBytes: undefined,
  cpuUs: undefined,
  pids: undefined,
  throttled: undefined,
  source: "group",
}

/** A command that can be run: no process waits, each execution starts one and is over when it is. So an instance cannot crash. */
export class CommandInstance implements Instance {
  readonly id: string
  readonly exited: Promise<undefined>
  readonly #program: CommandProgram
  readonly #killGraceMs: number
  readonly #runs = new Map<CommandRun, Promise<unknown>>()
  #end: () => void = () => undefined
  #closed = false
  /** Processor time of executions that are over, as far as it was counted. */
  #pastCpuUs: number | undefined

  constructor(program: CommandProgram, killGraceMs: number) {
    this.id = program.spec.fn.instance
    this.#program = program
    this.#killGraceMs = killGraceMs
    this.exited = new Promise((resolve) => {
      this.#end = () => resolve(undefined)
    })
  }

  async execute(execution: Execution): Promise<WireEvent[]> {
    if (this.#closed) throw closedError()
    const run = new CommandRun(this.#program, execution)
    execution.cancel = (reason) => run.stop(reason, this.#killGraceMs)
    const result = run.run()
    this.#runs.set(run, result)
    try {
      return await result
    } finally {
      this.#runs.delete(run)
      const cpuUs = (await run.usage())?.cpuUs
      if (cpuUs !== undefined) this.#pastCpuUs = (this.#pastCpuUs ?? 0) + cpuUs
    }
  }

  /** Of one execution that runs. */
  get pid(): number | undefined {
    for (const { pid } of this.#runs.keys()) if (pid !== undefined) return pid
    return undefined
  }

  /** Of the executions that run, and the processor time of those that did. */
  async usage(): Promise<Usage | undefined> {
    const running = await Promise.all(Array.from(this.#runs.keys(), (run) => run.usage()))
    const past: Usage = { ...NOTHING, cpuUs: this.#pastCpuUs }
    return sumOf([...running.flatMap((usage) => usage ?? []), ...(this.#pastCpuUs === undefined ? [] : [past])])
  }

  /** Lets what runs finish for half of the grace, then ends it. */
  async close({ graceMs }: { graceMs: number }): Promise<void> {
    this.#closed = true
    const over = Promise.allSettled(this.#runs.values())
    if (graceMs > 0) await within(graceMs / 2, over)
    for (const run of this.#runs.keys()) run.stop(closedError(), graceMs / 2)
    await over
    this.#end()
  }
}

function closedError(): FnError {
  return FnError.of("FUNCTION_CRASHED", "the instance was closed")
}
