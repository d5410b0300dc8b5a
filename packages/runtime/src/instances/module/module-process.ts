/**
 * One module process seen from the host: spawned as a spare, then loaded with one version, then executing.
 *
 * Phases: starting → spare → loading → ready → closed. Neighbours: ../../module-host/main.ts is the other end,
 * module-starter.ts keeps the spares, module-instance.ts turns a loaded process into an Instance.
 */
import type { Duplex } from "node:stream"
import {
  encodeCredit,
  FnError,
  type FnErrorData,
  FrameKind,
  FrameReader,
  FrameWriter,
  type LoadRequest,
  type LoadResponse,
  type LogBody,
  messageOf,
} from "@fn/core"
import { type Child, describeExit, type ExitInfo } from "@fn/process"
import { isIsolated, limitError } from "../../isolation/launcher.js"

import { readPaced } from "../paced-output.js"

/** How much of the process's stderr is kept to explain its end. */
const TAIL_BYTES = 8 * 1024

/** What a process tells its owner. */
export interface ModuleProcessEvents {
  result(callId: number, body: Buffer): void
  /** Events of a call that streams, before its result. What this throws ends the process: it broke the protocol. */
  events(callId: number, body: Buffer): void
  error(callId: number, error: FnErrorData): void
  log(callId: number, line: LogBody): void
  /** What the function printed. */
  output(channel: "stdout" | "stderr", text: string): void
}

/** A Node process that runs one bundle. */
export class ModuleProcess {
  readonly child: Child
  /** Settles with how it ended; never rejects. */
  readonly exited: Promise<ExitInfo>
  readonly #writer: FrameWriter
  readonly #ready: Promise<void>
  #becameReady: () => void = () => undefined
  #load: { resolve: (response: LoadResponse) => void; reject: (error: FnError) => void } | undefined
  #events: ModuleProcessEvents | undefined
  #stderrTail = ""
  #pings: (() => void)[] = []

  /** Takes over a process that has just been started, its frames on descriptor 3. */
  constructor(child: Child) {
    this.child = child
    this.exited = this.child.exited
    const socket = this.child.process.stdio[3] as Duplex | null | undefined
    if (!socket) throw new FnError("internal", "the module process has no frame socket")
    this.#writer = new FrameWriter(socket)
    this.#ready = new Promise((resolve) => {
      this.#becameReady = resolve
    })
    const reader = new FrameReader((kind, callId, body) => this.#receive(kind, callId, body))
    socket.on("data", (chunk: Buffer) => this.#push(reader, chunk))
    socket.on("error", () => this.child.kill("SIGKILL")) // a broken pipe: `exited` says the rest
    this.#drain("stdout")
    this.#drain("stderr")
    void this.exited.then(async (exit) => this.#load?.reject(await this.endError(exit, "while it loaded")))
  }

  /** Resolves when the process waits for a load. @throws {FnError} unavailable FUNCTION_CRASHED */
  async spare(): Promise<this> {
    const exit = await Promise.race([this.#ready, this.exited])
    if (exit) throw await this.endError(exit, "before it was ready")
    return this
  }

  /** Loads one version. @throws {FnError} LOAD_FAILED, INIT_FAILED, FUNCTION_CRASHED, MEMORY_LIMIT */
  load(request: LoadRequest, events: ModuleProcessEvents): Promise<LoadResponse> {
    this.#events = events
    return new Promise((resolve, reject) => {
      this.#load = { resolve, reject }
      if (this.child.exit) void this.endError(this.child.exit, "before it loaded").then(reject)
      else this.#writer.writeJson(FrameKind.load, 0, request)
    })
  }

  /** Starts a call; its end comes through the events. */
  call(callId: number, pieces: readonly Uint8Array[]): void {
    this.#writer.write(FrameKind.call, callId, pieces)
  }

  /** Asks the handler of a call to stop. */
  cancel(callId: number, reason: FnError): void {
    if (!this.child.exit) this.#writer.writeJson(FrameKind.cancel, callId, reason.toData())
  }

  /** Lets a call that streams send so many more events. */
  grant(callId: number, count: number): void {
    if (!this.child.exit) this.#writer.write(FrameKind.credit, callId, [encodeCredit(count)])
  }

  /** Resolves when the event loop of the process has turned; never when it does not any more. */
  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.#pings.push(resolve)
      if (!this.child.exit) this.#writer.write(FrameKind.ping, 0, [])
    })
  }

  /** The function's shutdown, then SIGTERM, then SIGKILL, all within `graceMs`. */
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
    if (/heap out of memory|Allocation failed/.test(this.#stderrTail)) {
      return FnError.of("MEMORY_LIMIT", `the function's process ran out of memory ${when}`, { details })
    }
    return FnError.of("FUNCTION_CRASHED", `the function's process ended (${details.exit}) ${when}`, { details })
  }

  #push(reader: FrameReader, chunk: Buffer): void {
    try {
      reader.push(chunk)
    } catch (thrown) {
      // User code can write to descriptor 3. That costs it its process, not ours.
      this.#stderrTail += `\nfn: ${messageOf(thrown)}`
      this.child.kill("SIGKILL")
    }
  }

  #receive(kind: FrameKind, callId: number, body: Buffer): void {
    switch (kind) {
      case FrameKind.result:
        return this.#events?.result(callId, body)
      case FrameKind.events:
        return this.#events?.events(callId, body)
      case FrameKind.error:
        return this.#receiveError(callId, JSON.parse(body.toString("utf8")) as FnErrorData)
      case FrameKind.log:
        return this.#events?.log(callId, JSON.parse(body.toString("utf8")) as LogBody)
      case FrameKind.loaded:
        this.#load?.resolve(JSON.parse(body.toString("utf8")) as LoadResponse)
        return
      case FrameKind.pong:
        for (const resolve of this.#pings.splice(0)) resolve()
        return
      case FrameKind.ready:
        return this.#becameReady()
      default:
        return undefined // only a newer module host sends others
    }
  }

  #receiveError(callId: number, error: FnErrorData): void {
    if (callId === 0) this.#load?.reject(FnError.fromData(error))
    else this.#events?.error(callId, error)
  }

  #drain(channel: "stdout" | "stderr"): void {
    const stream = this.child[channel]
    if (!stream) return
    stream.setEncoding("utf8")
    if (channel === "stderr")
      stream.on("data", (text: string) => {
        this.#stderrTail = (this.#stderrTail + text).slice(-TAIL_BYTES)
      })
    readPaced(stream, (text) => this.#events?.output(channel, text))
  }
}
