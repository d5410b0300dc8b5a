/** A plugin we are connected to, launched or attached: how its end shows, how it is ended. */
import { codeFromGrpc, FnError } from "@fn/core"
import { type Child, describeExit, type ExitInfo } from "@fn/process"
import type { Broker } from "../broker/broker.js"
import type { PluginAddress } from "../handshake/handshake.js"
import type { ClientConstructor } from "../wire/channel.js"
import { removeSocket } from "../wire/listen.js"
import { within } from "../within.js"
import { errorFromStatus, type PluginConnection } from "./connection.js"
import type { CloseOptions, PluginProcess } from "./plugin-process.js"

const DEFAULT_PING_TIMEOUT_MS = 5_000
const DEFAULT_SHUTDOWN_TIMEOUT_MS = 2_000
const DEFAULT_GRACE_MS = 2_000
/** A failed call is seen before the exit that caused it; this long before at most. */
export const EXIT_LAG_MS = 250
/** A process that left our group may hold the pipes of one that ended. */
const DRAIN_MS = 500
const TAIL_IN_MESSAGE = 1_000

/** The process behind a connection. */
export interface ProcessHandle {
  readonly pid: number
  readonly exited: Promise<ExitInfo>
  readonly exit: ExitInfo | undefined
  kill(signal: NodeJS.Signals): boolean
  /** Resolves, after the end, when its last output has been read. */
  drained(): Promise<void>
  stderrTail(): string
}

/** What a launch or an attachment hands over. */
export interface ConnectedParts {
  readonly process: ProcessHandle
  readonly negotiatedVersion: number
  readonly address: PluginAddress
  readonly connection: PluginConnection
  /** `close()` only disconnects: the process belongs to somebody else. */
  readonly leaveRunning?: boolean
}

/** Made by launchPlugin and attachPlugin. */
export class ConnectedPlugin implements PluginProcess {
  readonly pid: number
  readonly negotiatedVersion: number
  readonly address: PluginAddress
  readonly exited: Promise<ExitInfo>
  readonly #process: ProcessHandle
  readonly #connection: PluginConnection
  readonly #leaveRunning: boolean
  #closing: Promise<ExitInfo> | undefined

  constructor(parts: ConnectedParts) {
    this.#process = parts.process
    this.#connection = parts.connection
    this.#leaveRunning = parts.leaveRunning ?? false
    this.pid = parts.process.pid
    this.negotiatedVersion = parts.negotiatedVersion
    this.address = { network: parts.address.network, address: parts.address.address }
    this.exited = this.#end()
  }

  get broker(): Broker {
    return this.#connection.broker
  }

  get exit(): ExitInfo | undefined {
    return this.#process.exit
  }

  createClient<C>(ctor: ClientConstructor<C>): C {
    return this.#connection.createClient(ctor)
  }

  async ping(options: { timeoutMs?: number } = {}): Promise<void> {
    try {
      await this.#connection.ping(options.timeoutMs ?? DEFAULT_PING_TIMEOUT_MS)
    } catch (thrown) {
      throw await this.explain(thrown)
    }
  }

  stderrTail(): string {
    return this.#process.stderrTail()
  }

  async explain(thrown: unknown): Promise<FnError> {
    const error = errorFromStatus(thrown, codeFromGrpc)
    if (error.code !== "unavailable") return error
    const exit = await within(EXIT_LAG_MS, this.exited)
    return exit ? exitedError(`the plugin's process ended (${describeExit(exit)})`, exit, this.stderrTail(), thrown) : error
  }

  close(options: CloseOptions = {}): Promise<ExitInfo> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close(options: CloseOptions): Promise<ExitInfo> {
    this.#connection.endBroker()
    if (this.#leaveRunning) {
      this.#connection.close()
      return this.exit ?? { code: null, signal: null }
    }
    if (!this.exit) {
      const answer = this.#connection.shutdown(options.shutdownTimeoutMs ?? DEFAULT_SHUTDOWN_TIMEOUT_MS)
      if (await Promise.race([answer, this.#process.exited])) await within(options.graceMs ?? DEFAULT_GRACE_MS, this.#process.exited)
      if (!this.exit) this.#process.kill("SIGKILL")
    }
    const exit = await this.exited
    this.#connection.close()
    return exit
  }

  async #end(): Promise<ExitInfo> {
    const exit = await this.#process.exited
    await Promise.all([this.#process.drained(), this.#connection.outputEnded()])
    removeSocket(this.address)
    return exit
  }
}

/** The end of a process as an error, with the last of its stderr. */
export function exitedError(message: string, exit: ExitInfo, stderr: string, cause?: unknown): FnError {
  const tail = stderr.trim().slice(-TAIL_IN_MESSAGE)
  return FnError.of("PLUGIN_EXITED", tail === "" ? message : `${message}; its stderr ends: ${tail}`, {
    details: { exitCode: exit.code, signal: exit.signal },
    cause,
  })
}

/** Resolves when stdout and stderr of an ended child have been read to their end; after 500 ms their pipes are cut. */
export async function outputDrained(child: Child): Promise<void> {
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null)
  const closed = pipes.filter((pipe) => !pipe.closed).map((pipe) => new Promise<void>((resolve) => pipe.once("close", () => resolve())))
  await within(DRAIN_MS, Promise.all(closed))
  for (const pipe of pipes) pipe.destroy()
}
