/**
 * One WASI program: compiled once, instantiated for each execution, so that nothing of one is seen by the next. docs/wasm.md
 *
 * It runs on this thread until it ends; nothing else happens meanwhile, and only the end of the process stops it.
 */
import { openSync, writeSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { WASI } from "node:wasi"
import { FnError, functionSource, messageOf, type WireEvent } from "@fn/core"
import { type WasmMemory, type WasmModule, wasm } from "../instances/wasm/wasm-engine.js"
import { capMemory, checkInterface, compile } from "../instances/wasm/wasm-module.js"
import { type ProgramInput, stdinOf, variablesOf } from "../stdio/input.js"
import { MAX_EVENTS, tooMany } from "../stdio/output-event.js"
import { OutputReader, outputLimit } from "../stdio/output-reader.js"
import { programError } from "../stdio/program-error.js"
import { withStreams } from "./guest-stdio.js"
import type { WasmLoad } from "./messages.js"

/** What an execution may say in its log. */
const LOGGED_BYTES = 1024 * 1024
const TAIL_BYTES = 8 * 1024
const STDERR = 2
/** A program that fails with this much of its memory in use failed for want of it. */
const FULL = 7 / 8
/** What the languages say when an allocation fails: Rust, Go and TinyGo, C++. */
const ALLOCATION_FAILED = /memory allocation of \d+ bytes failed|out of memory|std::bad_alloc|cannot allocate memory/

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

export class WasmProgram {
  readonly #load: WasmLoad
  readonly #module: WasmModule
  /** /dev/null, for whatever a program does with its streams beside reading and writing. */
  readonly #nowhere = openSync("/dev/null", "r+")
  #garbageBytes = 0

  private constructor(load: WasmLoad, module: WasmModule) {
    this.#load = load
    this.#module = module
  }

  /** @throws {FnError} INVALID_ARTIFACT, LOAD_FAILED, MEMORY_LIMIT */
  static async load(load: WasmLoad): Promise<WasmProgram> {
    const module = await compile(capMemory(await readFile(load.path), load.memoryMb))
    checkInterface(module)
    return new WasmProgram(load, module)
  }

  /** Runs it once. @throws {FnError} what became of it */
  run(input: ProgramInput): WireEvent[] {
    return new WasmRun(this.#load, input).run((run) => this.#start(run))
  }

  /** Instantiates it and runs its `_start`; gives its exit code. */
  #start(run: WasmRun): number {
    const { env, fn } = this.#load
    const wasi = new WASI({
      version: "preview1",
      args: [fn.name],
      env: { ...env, ...run.variables },
      preopens: {},
      stdin: this.#nowhere,
      stdout: this.#nowhere,
      stderr: this.#nowhere,
      returnOnExit: true,
    })
    const functions = (wasi.getImportObject() as { wasi_snapshot_preview1: Record<string, unknown> }).wasi_snapshot_preview1
    const instance = new wasm.Instance(this.#module, { wasi_snapshot_preview1: withStreams(functions, () => run.memory, run.streams) })
    run.memory = instance.exports.memory as WasmMemory
    try {
      return wasi.start(instance) as unknown as number
    } finally {
      this.#collect(run.memory.buffer.byteLength)
    }
  }

  /** The memory of executions that are over counts towards the process's limit until it is collected, which an idle engine has no hurry to do. */
  #collect(memoryBytes: number): void {
    this.#garbageBytes += memoryBytes
    if (this.#garbageBytes < this.#load.memoryMb * 1024 * 1024) return
    this.#garbageBytes = 0
    setImmediate(collectGarbage)
  }
}

/** One execution. */
class WasmRun {
  memory: WasmMemory | undefined
  readonly variables: Readonly<Record<string, string>>
  readonly #load: WasmLoad
  readonly #input: ProgramInput
  readonly #output: OutputReader
  readonly #events: WireEvent[] = []
  #outputBytes = 0
  #logBytes = 0
  #tail: Buffer = Buffer.alloc(0)

  constructor(load: WasmLoad, input: ProgramInput) {
    this.#load = load
    this.#input = input
    this.variables = variablesOf(input)
    this.#output = new OutputReader({ source: functionSource(load.fn), type: load.resultType, maxBytes: load.maxOutputBytes })
  }

  get streams() {
    return {
      stdin: Buffer.concat(stdinOf(this.#input.event, this.#load.stdin)),
      stdout: (bytes: Uint8Array) => this.#write(bytes),
      stderr: (bytes: Uint8Array) => this.#log(bytes),
    }
  }

  run(start: (run: WasmRun) => number): WireEvent[] {
    let code: number
    try {
      code = start(this)
    } catch (thrown) {
      throw this.#endError(thrown)
    }
    if (code !== 0) throw this.#memoryError() ?? this.#exitError(code)
    for (const event of this.#output.end()) this.#collect(event)
    return this.#events
  }

  #write(bytes: Uint8Array): void {
    this.#outputBytes += bytes.length
    if (this.#outputBytes > this.#load.maxOutputBytes) throw outputLimit(this.#load.maxOutputBytes)
    for (const event of this.#output.push(Buffer.from(bytes))) this.#collect(event)
  }

  #collect(event: WireEvent): void {
    if (this.#events.push(event) > MAX_EVENTS) throw tooMany()
  }

  /** Straight to the host, so that it is there even when the program never ends. */
  #log(bytes: Uint8Array): void {
    const { maxOutputBytes } = this.#load
    const logged = this.#logBytes < LOGGED_BYTES
    this.#logBytes += bytes.length
    if (this.#logBytes > maxOutputBytes) throw outputLimit(maxOutputBytes)
    this.#tail = Buffer.concat([this.#tail, bytes.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES)
    if (!logged) return
    for (let sent = 0; sent < bytes.length; ) sent += writeSync(STDERR, bytes, sent)
    if (this.#logBytes >= LOGGED_BYTES)
      writeSync(STDERR, `\nfn: what the function logs beyond ${LOGGED_BYTES} bytes in one execution is dropped\n`)
  }

  #exitError(code: number): FnError {
    const stdout = this.#output.textTail(TAIL_BYTES)
    return programError({ code, stderr: this.#stderr, stdout, failure: this.#output.failure() })
  }

  /** A trap, or what one of our own functions threw through the program. */
  #endError(thrown: unknown): FnError {
    if (FnError.is(thrown)) return thrown
    // An instance that cannot even be made, by a limit of the engine's: there was no memory to be had.
    const outOfMemory = this.#memoryError(this.memory === undefined && thrown instanceof RangeError)
    if (outOfMemory) return outOfMemory
    const stderr = this.#stderr.trim().slice(-2_000)
    return FnError.of("FUNCTION_CRASHED", `the function trapped: ${messageOf(thrown)}`, { details: { trap: messageOf(thrown), stderr } })
  }

  #memoryError(isCertain = false): FnError | undefined {
    const { memoryMb } = this.#load
    const isFull = (this.memory?.buffer.byteLength ?? 0) >= memoryMb * 1024 * 1024 * FULL
    if (!isCertain && !isFull && !ALLOCATION_FAILED.test(this.#stderr)) return undefined
    return FnError.of("MEMORY_LIMIT", `the function ran out of memory: it may have ${memoryMb} MB (memoryMb)`, {
      details: { stderr: this.#stderr.trim().slice(-2_000) },
    })
  }

  get #stderr(): string {
    return this.#tail.toString("utf8")
  }
}
