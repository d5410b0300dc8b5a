/**
 * Launches a plugin: environment, process, handshake line, connection, first health check.
 *
 * Phases: checked → spawned → announced (the line) → connected → closing → ended. A failure before "connected" kills what was started
 * and rejects; from there on the plugin is a {@link ConnectedPlugin}, and its end is told by `exited`.
 */
import { X509Certificate } from "node:crypto"
import { existsSync } from "node:fs"
import { basename } from "node:path"
import { FnError, type Logger, messageOf, noopLogger, type Reason } from "@fn/core"
import { type Child, describeExit, type ExitInfo, spawnChild } from "@fn/process"
import type { ChannelCredentials } from "@grpc/grpc-js"
import { pluginEnvironment } from "../handshake/environment.js"
import type { Handshake, PluginAddress } from "../handshake/handshake.js"
import { type HandshakeLine, parseHandshakeLine } from "../handshake/line.js"
import { StderrLog } from "../log/stderr-log.js"
import { dialMultiplexed } from "../multiplex/dial-plugin.js"
import { type Certificate, createCertificate } from "../tls/certificate.js"
import type { PeerTls } from "../wire/channel.js"
import { removeSocket } from "../wire/listen.js"
import { within } from "../within.js"
import { type PinnedFile, verifyChecksums } from "./checksum.js"
import { ConnectedPlugin, EXIT_LAG_MS, exitedError, outputDrained, type ProcessHandle } from "./connected-plugin.js"
import { PluginConnection } from "./connection.js"
import { describeExecutable, resolveExecutable } from "./executable.js"
import { onProcessExit } from "./exit-hook.js"
import { type FirstLine, readFirstLine } from "./first-line.js"
import type { PluginProcess } from "./plugin-process.js"
import { type StartWatch, startWatch } from "./start-watch.js"

/** How to launch a plugin. */
export interface LaunchOptions {
  /** The program: an absolute path, one relative to `cwd`, or a name on PATH. */
  readonly command: string
  readonly args?: readonly string[]
  /** The plugin's environment, beside the protocol's own variables. */
  readonly env?: Readonly<Record<string, string>>
  /** Variables of this process that the plugin gets, too: a list of names, or all. Default: none. */
  readonly inheritEnv?: boolean | readonly string[]
  readonly cwd?: string
  readonly handshake: Handshake
  /** Encrypts the connection with certificates made for this launch. Default true; a plugin that does not take part is refused. */
  readonly autoMtls?: boolean
  /** The application's own TLS, instead of AutoMTLS. Services offered through the broker are not possible then. */
  readonly credentials?: ChannelCredentials
  /** For the handshake line and the first health check together. Default 60 000. */
  readonly startTimeoutMs?: number
  /** Files to verify before anything is launched: the program, its script, its bundle. */
  readonly checksums?: readonly PinnedFile[]
  /** Folder for the unix sockets of both sides. Default: the system's temporary one. */
  readonly socketDir?: string
  /** The largest message that is taken from the plugin, after it was unpacked; a larger one fails its call as RESOURCE_EXHAUSTED. Default: no limit. */
  readonly maxReceiveBytes?: number
  /**
   * Carries brokered services over the plugin's one connection instead of a socket for each: where host and plugin share but one path, as
   * with a forwarded port. Default false, as go-plugin's. A plugin that cannot is refused; go-plugin's own can from 1.6 on.
   */
  readonly multiplex?: boolean
  /**
   * Starts the program some other way than as a plain child: in a sandbox, in a container. Given what would be spawned; resolves with the child and
   * with where what it announces is for us. `command` is then taken as it is.
   */
  readonly start?: (program: PluginProgram) => Promise<StartedPlugin>
  /** Gets the plugin's own log, parsed, with its levels. */
  readonly logger?: Logger
  /** What the plugin's program prints: cut anywhere, also inside a character. */
  readonly onStdout?: (bytes: Buffer) => void
  readonly onStderr?: (bytes: Buffer) => void
  /** Ends the start; of no effect afterwards. */
  readonly signal?: AbortSignal
}

/** What would be spawned. */
export interface PluginProgram {
  readonly command: string
  readonly args: readonly string[]
  /** All of it, the protocol's variables included. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string | undefined
}

/** A plugin that was started by its host's own means. */
export interface StartedPlugin {
  /** With pipes for stdout and stderr. */
  readonly child: Child
  /** Where an address that the plugin announces is for us. May throw BAD_HANDSHAKE. Default: where it says. */
  readonly translate?: (address: PluginAddress) => PluginAddress
}

/**
 * Starts a plugin and resolves when it answers.
 * @throws {FnError} BAD_HANDSHAKE, PLUGIN_PROTOCOL, PLUGIN_EXITED, PLUGIN_START_TIMEOUT, PLUGIN_NOT_EXECUTABLE, CHECKSUM_MISMATCH, CANCELLED; nothing is left running then
 */
export async function launchPlugin(options: LaunchOptions): Promise<PluginProcess> {
  refuseIfAborted(options.signal)
  if (options.handshake.protocolVersions.length === 0) throw FnError.of("INVALID_REQUEST", "the handshake names no protocol version")
  const path = options.start ? options.command : resolveExecutable(options.command, { cwd: options.cwd, path: options.env?.PATH })
  await verifyChecksums(options.checksums ?? [])
  refuseIfAborted(options.signal)
  const certificate = (options.autoMtls ?? !options.credentials) ? createCertificate() : undefined
  const program = {
    command: path,
    args: options.args ?? [],
    env: environmentOf(options, certificate),
    ...(options.cwd ? { cwd: options.cwd } : {}),
  }
  const started = options.start ? await options.start(program) : spawnPlugin(program)
  return await new Launch(options, path, certificate, started).run()
}

function spawnPlugin(program: PluginProgram): StartedPlugin {
  const { command, args, env, cwd } = program
  if (cwd !== undefined && !existsSync(cwd)) throw FnError.of("INVALID_REQUEST", `the plugin's folder ${cwd} does not exist`)
  try {
    return { child: spawnChild({ command, args, env, ...(cwd ? { cwd } : {}) }) }
  } catch (cause) {
    // Node refuses some command lines itself: a NUL in an argument, more arguments than the kernel takes.
    throw FnError.of("PLUGIN_NOT_EXECUTABLE", `${command} cannot be started: ${messageOf(cause)}`, { cause })
  }
}

class Launch {
  readonly #options: LaunchOptions
  readonly #path: string
  readonly #certificate: Certificate | undefined
  readonly #logger: Logger
  readonly #child: Child
  readonly #translate: StartedPlugin["translate"]
  readonly #stderr: StderrLog
  readonly #firstLine: FirstLine
  #line: HandshakeLine | undefined
  #connection: PluginConnection | undefined

  constructor(options: LaunchOptions, path: string, certificate: Certificate | undefined, started: StartedPlugin) {
    this.#options = options
    this.#path = path
    this.#certificate = certificate
    this.#logger = (options.logger ?? noopLogger).child({ plugin: basename(path) })
    this.#stderr = new StderrLog(this.#logger)
    this.#child = started.child
    this.#translate = started.translate
    const forget = onProcessExit(() => this.#endNow())
    void this.#child.exited.then(forget)
    this.#firstLine = readFirstLine(stream(this.#child.stdout))
    stream(this.#child.stderr).on("data", (chunk: Buffer) => this.#stderr.push(chunk))
    stream(this.#child.stderr).once("end", () => this.#stderr.end())
  }

  async run(): Promise<PluginProcess> {
    const watch = startWatch(this.#options.startTimeoutMs, this.#options.signal)
    try {
      const line = await watch.race(Promise.race([this.#firstLine.line, this.#exitedEarly()]))
      const announced = parseHandshakeLine(line)
      this.#line = { ...announced, ...this.#translate?.(announced) }
      this.#checkVersion(this.#line)
      this.#checkMultiplex(this.#line)
      this.#connection = await this.#connectWithin(watch, this.#line)
      await watch.race(this.#connection.ready(watch.leftMs()))
      return new ConnectedPlugin({
        process: this.#handle(),
        negotiatedVersion: this.#line.protocolVersion,
        address: this.#line,
        connection: this.#connection,
      })
    } catch (thrown) {
      throw await this.#abandon(thrown)
    } finally {
      watch.stop()
    }
  }

  #endNow(): void {
    this.#child.kill("SIGKILL")
    if (this.#line) removeSocket(this.#line)
  }

  #handle(): ProcessHandle {
    const child = this.#child
    return {
      pid: child.pid as number,
      exited: child.exited,
      get exit() {
        return child.exit
      },
      kill: (signal) => child.kill(signal),
      drained: () => outputDrained(child),
      stderrTail: () => this.#stderr.tail(),
    }
  }

  #checkVersion({ protocolVersion }: HandshakeLine): void {
    const { protocolVersions } = this.#options.handshake
    if (protocolVersions.includes(protocolVersion)) return
    const ours = [...protocolVersions].sort((a, b) => a - b).join(", ")
    throw FnError.of("PLUGIN_PROTOCOL", `the plugin speaks protocol version ${protocolVersion}, this host speaks ${ours}`, {
      details: { pluginVersion: protocolVersion, hostVersions: [...protocolVersions] },
    })
  }

  #checkMultiplex({ multiplex }: HandshakeLine): void {
    if (!this.#options.multiplex || multiplex) return
    const said = multiplex === false ? "says no to it" : "knows nothing of it (go-plugin does from 1.6 on)"
    throw FnError.of(
      "PLUGIN_PROTOCOL",
      `this host asked for one connection for everything (multiplex), and the plugin ${said}; launch it without multiplex`,
    )
  }

  async #connectWithin(watch: StartWatch, line: HandshakeLine): Promise<PluginConnection> {
    const connecting = this.#connect(line)
    try {
      return await watch.race(connecting)
    } catch (thrown) {
      // One that comes too late has nobody else to close it.
      connecting.then(
        (late) => late.close(),
        () => undefined,
      )
      throw thrown
    }
  }

  async #connect(line: HandshakeLine): Promise<PluginConnection> {
    const { credentials, socketDir, maxReceiveBytes, onStdout, onStderr } = this.#options
    const tls = this.#certificate ? peerTls(this.#certificate, line) : undefined
    if (!tls && !credentials && line.certificate) this.#logger.warn("plugin announced a certificate though none was asked for")
    const multiplexed = this.#options.multiplex ? await dialMultiplexed(line, { socketDir }) : undefined
    const address = multiplexed?.address ?? line
    const logger = this.#logger
    return new PluginConnection({ address, tls, credentials, socketDir, maxReceiveBytes, multiplexed, logger, onStdout, onStderr })
  }

  /** Rejects when the process ends before its line; stays pending when the line came all the same. */
  async #exitedEarly(): Promise<never> {
    const exit = await this.#child.exited
    await outputDrained(this.#child)
    // A line that came with the last bytes wins: its own error says more than the exit does.
    await Promise.race([this.#firstLine.line, new Promise(setImmediate)])
    throw this.#describeEarlyExit(exit)
  }

  #describeEarlyExit(exit: ExitInfo): FnError {
    const tail = this.#stderr.tail()
    // setpriv, which makes the kernel tie the plugin to us, is what was spawned: it is the one that reports a failed exec.
    const refused = exit.spawnError ? messageOf(exit.spawnError) : /^setpriv: failed to execute .*$/m.exec(tail)?.[0]
    if (refused && (exit.spawnError || exit.code === 126 || exit.code === 127)) {
      return FnError.of("PLUGIN_NOT_EXECUTABLE", `${describeExecutable(this.#path)} cannot be run: ${refused.replace(/^setpriv: /, "")}`)
    }
    const partial = this.#firstLine.partial()
    const printed = partial === "" ? "" : `; it had printed ${JSON.stringify(partial.slice(0, 300))} without a line break`
    return exitedError(
      `the plugin ended before its handshake (${describeExit(exit)})${printed}; program: ${describeExecutable(this.#path)}`,
      exit,
      tail,
    )
  }

  /** Kills what was started, and says why it failed in the best words there are. */
  async #abandon(thrown: unknown): Promise<FnError> {
    const error = await this.#explain(thrown)
    this.#connection?.close()
    this.#child.kill("SIGKILL")
    await this.#child.exited
    await outputDrained(this.#child)
    if (this.#line) removeSocket(this.#line)
    return error
  }

  async #explain(thrown: unknown): Promise<FnError> {
    if (FnError.is(thrown) && (thrown.reason === "BAD_HANDSHAKE" || thrown.reason === "PLUGIN_START_TIMEOUT"))
      return this.#withHints(thrown)
    if (FnError.is(thrown) || !this.#line) return FnError.from(thrown)
    // A connection that fails: the reason may be that the process is going down, which shows some milliseconds later.
    const exit = await within(EXIT_LAG_MS, this.#child.exited)
    if (exit) return exitedError(`the plugin ended right after its handshake (${describeExit(exit)})`, exit, this.#stderr.tail())
    const where = `${this.#line.network} ${this.#line.address}`
    return FnError.of("BAD_HANDSHAKE", `the plugin does not answer where its handshake says (${where}): ${messageOf(thrown)}`, {
      cause: thrown,
    })
  }

  /** What a person needs to find out why: the program, the rule most often broken, the last of stderr. */
  #withHints({ reason, message }: FnError): FnError {
    const tail = this.#stderr.tail().trim().slice(-1_000)
    const hints = [
      message,
      `program: ${describeExecutable(this.#path)}`,
      ...(this.#line ? [] : ["nothing but the handshake may be printed on stdout before it"]),
      ...(tail === "" ? [] : [`its stderr ends: ${tail}`]),
    ]
    return FnError.of(reason as Reason, hints.join("; "))
  }
}

function environmentOf(
  { handshake, env, inheritEnv, socketDir, multiplex }: LaunchOptions,
  certificate: Certificate | undefined,
): Record<string, string> {
  return pluginEnvironment({
    handshake,
    from: process.env,
    ...(env ? { env } : {}),
    ...(inheritEnv === undefined ? {} : { inherit: inheritEnv }),
    ...(socketDir ? { socketDir } : {}),
    ...(multiplex ? { multiplex } : {}),
    ...(certificate ? { clientCertificatePem: certificate.certPem } : {}),
  })
}

function refuseIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw FnError.from(signal.reason, "cancelled", "CANCELLED")
}

function peerTls(certificate: Certificate, line: HandshakeLine): PeerTls {
  if (!line.certificate) {
    throw FnError.of(
      "BAD_HANDSHAKE",
      "the plugin announced no certificate: it does not do AutoMTLS, and there is no falling back to plaintext",
    )
  }
  try {
    const peer = new X509Certificate(line.certificate)
    return { certPem: certificate.certPem, keyPem: certificate.keyPem, peerCertPem: peer.toString() }
  } catch (cause) {
    throw FnError.of("BAD_HANDSHAKE", `the plugin announced a certificate that cannot be read: ${messageOf(cause)}`, { cause })
  }
}

function stream<S>(pipe: S | null): S {
  if (pipe === null) throw FnError.of("INTERNAL", "the child was spawned without a pipe")
  return pipe
}
