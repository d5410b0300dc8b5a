import type { FnError } from "@fn/core"
import type { ExitInfo } from "@fn/process"
import type { Broker } from "../broker/broker.js"
import type { PluginAddress } from "../handshake/handshake.js"
import type { ClientConstructor } from "../wire/channel.js"

/** A plugin that answered its handshake and its first health check. */
export interface PluginProcess {
  readonly pid: number
  /** The protocol version the plugin chose, one of the handshake's. */
  readonly negotiatedVersion: number
  readonly address: PluginAddress
  readonly broker: Broker
  /** Settles when the process has ended and its last output has been read; never rejects. */
  readonly exited: Promise<ExitInfo>
  /** Set from the moment the process has ended. */
  readonly exit: ExitInfo | undefined
  /** A client of one of the plugin's services, on the one connection. Closing it does nothing: `close()` of the plugin does. */
  createClient<C>(ctor: ClientConstructor<C>): C
  /**
   * Asks the plugin's health service.
   * @throws {FnError} unavailable when it answers anything but SERVING, PLUGIN_EXITED when its process has ended, deadline_exceeded after `timeoutMs` (5 s)
   */
  ping(options?: { timeoutMs?: number }): Promise<void>
  /** The last 64 KiB of the process's stderr. */
  stderrTail(): string
  /**
   * What a failed call really means. A crash shows in a call some milliseconds before the process is reaped, as UNAVAILABLE;
   * this waits up to 250 ms for the exit, and then tells exit code and the end of stderr as PLUGIN_EXITED. Other errors keep their code.
   */
  explain(thrown: unknown): Promise<FnError>
  /** Ends it: shutdown, a grace, then SIGKILL to its process group; removes its socket. Resolves, never hangs; may be called twice. */
  close(options?: CloseOptions): Promise<ExitInfo>
}

/** How long {@link PluginProcess.close} is patient. */
export interface CloseOptions {
  /** For the plugin to answer Shutdown; default 2 000 ms. Without an answer it is killed at once. */
  shutdownTimeoutMs?: number
  /** From the answer to the end of the process; default 2 000 ms. */
  graceMs?: number
}
