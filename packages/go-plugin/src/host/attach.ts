/** Attaches to a plugin that somebody else launched: no handshake, no cookie, no version choice, no TLS. */
import { readFileSync } from "node:fs"
import { FnError, type Logger, messageOf, noopLogger } from "@fn/core"
import type { ExitInfo } from "@fn/process"
import { addressOf, parseReattachConfig, type ReattachConfig } from "../handshake/reattach.js"
import { ConnectedPlugin, type ProcessHandle } from "./connected-plugin.js"
import { PluginConnection } from "./connection.js"
import type { PluginProcess } from "./plugin-process.js"

/** How to attach. */
export interface AttachOptions {
  /** For the first health check. Default 10 000. */
  readonly startTimeoutMs?: number
  readonly logger?: Logger
  readonly onStdout?: (bytes: Buffer) => void
  readonly onStderr?: (bytes: Buffer) => void
}

const DEFAULT_ATTACH_TIMEOUT_MS = 10_000
/** The process is nobody's child here, so its end shows only by asking for its pid. */
const POLL_MS = 200

/**
 * Connects to a running plugin. Its exit code is never known: `exited` tells neither code nor signal.
 * With `Test` `close()` only disconnects, else it ends the process.
 * @throws {FnError} PLUGIN_EXITED when there is no such process, or nothing listens there
 */
export async function attachPlugin(reattach: ReattachConfig, options: AttachOptions = {}): Promise<PluginProcess> {
  const config = parseReattachConfig(reattach)
  const address = addressOf(config)
  if (!isAlive(config.Pid)) throw FnError.of("PLUGIN_EXITED", `process not found: there is no process ${config.Pid} to attach to`)
  const connection = new PluginConnection({
    address,
    logger: options.logger ?? noopLogger,
    onStdout: options.onStdout,
    onStderr: options.onStderr,
  })
  try {
    await connection.ready(options.startTimeoutMs ?? DEFAULT_ATTACH_TIMEOUT_MS)
  } catch (cause) {
    connection.close()
    const where = `${address.network} ${address.address}`
    throw FnError.of("PLUGIN_EXITED", `process not found: no plugin answers at ${where}: ${messageOf(cause)}`, { cause })
  }
  return new ConnectedPlugin({
    process: new ForeignProcess(config.Pid),
    negotiatedVersion: config.ProtocolVersion,
    address,
    connection,
    leaveRunning: config.Test,
  })
}

/** A process that is not our child. */
class ForeignProcess implements ProcessHandle {
  readonly pid: number
  readonly exited: Promise<ExitInfo>
  exit: ExitInfo | undefined

  constructor(pid: number) {
    this.pid = pid
    this.exited = new Promise((resolve) => {
      const timer = setInterval(() => {
        if (isAlive(pid)) return
        clearInterval(timer)
        this.exit = { code: null, signal: null }
        resolve(this.exit)
      }, POLL_MS)
      // Somebody else's process is no reason for ours to go on; close() waits on its own timers.
      timer.unref()
    })
  }

  kill(signal: NodeJS.Signals): boolean {
    try {
      return process.kill(this.pid, signal)
    } catch {
      return false // ESRCH: it ended meanwhile
    }
  }

  async drained(): Promise<void> {
    // its stderr belongs to whoever launched it
  }

  stderrTail(): string {
    return ""
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM"
  }
  try {
    // Dead but not yet reaped by its parent still counts as a process for kill().
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return process.platform !== "linux" // no /proc elsewhere; on Linux it ended between the two questions
  }
}
