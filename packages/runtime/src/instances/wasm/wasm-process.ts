/**
 * One WebAssembly process seen from the host: spawned as a spare, then loaded with one module, then executing, one call at a time.
 *
 * Phases: starting → spare → loading → ready → closed. Neighbours: ../../wasm-host/main.ts is the other end, wasm-starter.ts keeps the spare,
 * wasm-instance.ts replaces a process that had to be ended.
 */
import type { Duplex } from "node:stream"
import {
  type CallHead,
  decodeResult,
  encodeCall,
  FnError,
  type FnErrorData,
  FrameKind,
  FrameReader,
  FrameWriter,
  type LoadResponse,
  messageOf,
  SlabMap,
  type WireEvent,
} from "@fn/core"
import { type Child, describeExit, type ExitInfo } from "@fn/process"
import { isIsolated, limitError } from "../../isolation/launcher.js"
import type { WasmLoad } from "../../wasm-host/messages.js"

import { readPaced } from "../paced-output.js"

const TAIL_BYTES = 8 * 1024

interface Waiter<T> {
  resolve(value: T): void
  reject(error: FnError): void
}

export class WasmProcess {
  readonly child: Child
  /** Settles with how it ended; never rejects. */
  readonly exited: Promise<ExitInfo>
  /** Takes what the program writes to stderr. */
  onStderr: (text: string) => void = () => undefined
  readonly #writer: FrameWriter
  readonly #ready: Promise<void>
  #becomeReady: () => void = () => undefined
  #load: Waiter<LoadResponse> | undefined
  readonly #calls = new SlabMap<number, Waiter<WireEvent[]>>()
  #nextCallId = 1
  #pings: (() => void)[] = []
  #stderrTail = ""

  /** Takes over a process that has just been started, its frames on descriptor 3. */
  constructor(child: Child) {
    this.child = child
    this.exited = this.child.exited
    const socket = this.child.process.stdio[3] as Duplex | null | undefined
    if (!socket) throw new FnError("internal", "the WebAssembly process has no frame socket")
    this.#writer = new FrameWriter(socket)
    this.#ready = new Promise((resolve) => {
      this.#becomeReady = resolve
    })
    const reader = new FrameReader((kind, callId, body) => this.#receive(kind, callId, body))
    socket.on("data", (chunk: Buffer) => this.#push(reader, chunk))
    socket.on("error", () => this.child.kill("SIGKILL")) // a broken pipe: `exited` says the rest
    const { stderr } = this.child
    if (stderr) {
      stderr.setEncoding("utf8")
      stderr.on("data", (text: string) => {
        this.#stderrTail = (this.#stderrTail + text).slice(-TAIL_BYTES)
      })
      readPaced(stderr, (text) => this.onStderr(text))
    }
    void this.exited.then((exit) => this.#ended(exit))
  }

  /** Resolves when the process waits for a load. @throws {FnError} unavailable FUNCTION_CRASHED */
  async spare(): Promise<this> {
    const exit = await Promise.race([this.#ready, this.exited])
    if (exit) throw await this.endError(exit, "before it was ready")
    return this
  }

  /** Loads one module. @throws {FnError} INVALID_ARTIFACT, LOAD_FAILED, MEMORY_LIMIT, FUNCTION_CRASHED */
  load(request: WasmLoad): Promise<LoadResponse> {
    return new Promise((resolve, reject) => {
      if (this.child.exit) return void this.endError(this.child.exit, "before it loaded").then(reject)
      this.#load = { resolve, reject }
      this.#writer.writeJson(FrameKind.load, 0, request)
    })
  }

  /** Runs one call. @throws {FnError} what became of it; FUNCTION_CRASHED or MEMORY_LIMIT when the process ended */
  call(head: CallHead, data: Uint8Array | undefined): Promise<WireEvent[]> {
    const callId = this.#nextCallId++
    const encoded = encodeCall(head, data)
    return new Promise((resolve, reject) => {
      if (this.child.exit) return void this.endError(this.child.exit, "before the call").then(reject)
      this.#calls.set(callId, { resolve, reject })
      this.#writer.write(FrameKind.call, callId, encoded.data === undefined ? [encoded.prefix] : [encoded.prefix, encoded.data])
    })
  }

  /** Resolves when the process takes frames; never while a program runs that does not end. */
  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.#pings.push(resolve)
      if (!this.child.exit) this.#writer.write(FrameKind.ping, 0, [])
    })
  }

  /** Asks it to end, SIGKILL after `graceMs`. A program has no shutdown: nothing of it is alive between executions. */
  async close(graceMs: number): Promise<void> {
    if (!this.child.exit) this.#writer.write(FrameKind.shutdown, 0, [])
    const timer = setTimeout(() => this.child.kill("SIGKILL"), graceMs)
    await this.exited
    clearTimeout(timer)
    if (isIsolated(this.child)) await this.child.ended
  }

  /** Why a process that ended on its own ended. */
  async endError(exit: ExitInfo, when: string): Promise<FnError> {
    const limit = await limitError(this.child)
    if (limit) return limit
    const details = { exit: describeExit(exit), stderr: this.#stderrTail }
    if (/heap out of memory|Allocation failed/.test(this.#stderrTail))
      return FnError.of("MEMORY_LIMIT", `the function's process ran out of memory ${when}`, { details })
    return FnError.of("FUNCTION_CRASHED", `the function's process ended (${details.exit}) ${when}`, { details })
  }

  async #ended(exit: ExitInfo): Promise<void> {
    this.#load?.reject(await this.endError(exit, "while it loaded"))
    const error = await this.endError(exit, "while it ran")
    for (const call of this.#calls.values()) call.reject(error)
    this.#calls.clear()
  }

  #push(reader: FrameReader, chunk: Buffer): void {
    try {
      reader.push(chunk)
    } catch (thrown) {
      this.#stderrTail += `\nfn: ${messageOf(thrown)}`
      this.child.kill("SIGKILL")
    }
  }

  #receive(kind: FrameKind, callId: number, body: Buffer): void {
    switch (kind) {
      case FrameKind.result:
        return this.#take(callId)?.resolve(decodeResult(body))
      case FrameKind.error: {
        const error = FnError.fromData(JSON.parse(body.toString("utf8")) as FnErrorData)
        return callId === 0 ? this.#load?.reject(error) : this.#take(callId)?.reject(error)
      }
      case FrameKind.loaded:
        return this.#load?.resolve(JSON.parse(body.toString("utf8")) as LoadResponse)
      case FrameKind.pong:
        for (const resolve of this.#pings.splice(0)) resolve()
        return
      case FrameKind.ready:
        return this.#becomeReady()
      default:
        return undefined // only a newer program sends others
    }
  }

  #take(callId: number): Waiter<WireEvent[]> | undefined {
    const call = this.#calls.get(callId)
    this.#calls.delete(callId)
    return call
  }
}
