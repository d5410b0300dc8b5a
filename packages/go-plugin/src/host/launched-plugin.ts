/** A plugin process that is ours: what it is connected by, how its end shows, how it is ended. */
import { codeFromGrpc, FnError } from "@fn/core"
import { type Child, describeExit, type ExitInfo } from "@fn/process"
import type { Broker } from "../broker/broker.js"
import type { PluginAddress } from "../handshake/handshake.js"
import type { HandshakeLine } from "../handshake/line.js"
import type { StderrLog } from "../log/stderr-log.js"
import type { ClientConstructor } from "../wire/channel.js"
import { removeSocket } from "../wire/listen.js"
import { errorFromStatus, type PluginConnection } from "./connection.js"
import type { CloseOptions, PluginProcess } from "./plugin-process.js"
import { within } from "./within.js"

const DEFAULT_PING_TIMEOUT_MS = 5_000
const DEFAULT_SHUTDOWN_TIMEOUT_MS = 2_000
const DEFAULT_GRACE_MS = 2_000
/** A failed call is seen before the exit that caused it; this long after at most. */
export const EXIT_LAG_MS = 250
/** A process that left our group may hold the pipes of one that ended. */
const DRAIN_MS = 500
const TAIL_IN_MESSAGE = 1_000

/** What a launch hands over. */
export interface LaunchedParts {
  readonly child: Child
  readonly line: HandshakeLine
  readonly connection: PluginConnection
  readonly stderr: StderrLog
  readonly path: string
}

/** Made by launchPlugin. */
export class LaunchedPlugin implements PluginProcess {
  readonly pid: number
  readonly negotiatedVersion: number
  readonly address: PluginAddress
  readonly exited: Promise<ExitInfo>
  readonly #parts: LaunchedParts
  #closing: Promise<ExitInfo> | undefined

  constructor(parts: LaunchedParts) {
    this.#parts = parts
    this.pid = parts.child.pid as number
    this.negotiatedVersion = parts.line.protocolVersion
    this.address = { network: parts.line.network, address: parts.line.address }
    this.exited = this.#end()
  }

  get broker(): Broker {
    return this.#parts.connection.broker
  }

  get exit(): ExitInfo | undefined {
    return this.#parts.child.exit
  }

  createClient<C>(ctor: ClientConstructor<C>): C {
    return this.#parts.connection.createClient(ctor)
  }

  async ping(options: { timeoutMs?: number } = {}): Promise<void> {
    try {
      await this.#parts.connection.ping(options.timeoutMs ?? DEFAULT_PING_TIMEOUT_MS)
    } catch (thrown) {
      throw await this.explain(thrown)
    }
  }

  stderrTail(): string {
    return this.#parts.stderr.tail()
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
    const { child, connection } = this.#parts
    connection.endBroker()
    if (!child.exit) {
      const answered = await Promise.race([connection.shutdown(options.shutdownTimeoutMs ?? DEFAULT_SHUTDOWN_TIMEOUT_MS), child.exited])
      if (answered) await within(options.graceMs ?? DEFAULT_GRACE_MS, child.exited)
      child.kill("SIGKILL")
    }
    const exit = await this.exited
    connection.close()
    return exit
  }

  async #end(): Promise<ExitInfo> {
    const { child, connection, line } = this.#parts
    const exit = await child.exited
    await Promise.all([outputDrained(child), connection.outputEnded()])
    removeSocket(line)
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
  const closed = pipes.map((pipe) => (pipe.closed ? undefined : new Promise<void>((resolve) => pipe.once("close", () => resolve()))))
  await within(DRAIN_MS, Promise.all(closed))
  for (const pipe of pipes) pipe.destroy()
}
