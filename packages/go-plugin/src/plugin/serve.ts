/**
 * Serves a go-plugin plugin from this process.
 *
 * Phases: cookie checked → listening → announced (the handshake line) → stopping → gone. The process belongs to the host: it ends when
 * the host says Shutdown, sends SIGTERM or dies, and this file calls process.exit then, because a handler that hangs must not keep it.
 */
import { createServer, type Server as NetServer } from "node:net"
import { FnError, type Logger, noopLogger } from "@fn/core"
import { Server } from "@grpc/grpc-js"
import { type Broker, StreamBroker } from "../broker/broker.js"
import { chooseProtocolVersion, type Handshake, type PluginAddress } from "../handshake/handshake.js"
import { formatHandshakeLine } from "../handshake/line.js"
import type { ReattachConfig } from "../handshake/reattach.js"
import { createHclogLogger } from "../log/hclog-logger.js"
import { Multiplexer } from "../multiplex/multiplexer.js"
import { type Certificate, createCertificate } from "../tls/certificate.js"
import { type PeerTls, SERVER_OPTIONS, serverCredentials } from "../wire/channel.js"
import { type ListenOptions, listen, listenRaw, removeSocket } from "../wire/listen.js"
import { writeFully } from "../wire/write-fully.js"
import { within } from "../within.js"
import { PluginOutput } from "./output.js"
import { deleteProtocolVariables, hasCookie, type ProtocolSettings, readProtocolSettings } from "./protocol-settings.js"
import { addPluginServices } from "./services.js"

/** Adds the application's services of one protocol version. */
export type RegisterServices = (server: Server, broker: Broker) => void

/** What a plugin serves. */
export interface ServeOptions {
  readonly handshake: Pick<Handshake, "cookieKey" | "cookieValue">
  /** By protocol version. Only the chosen version's function is called, once. */
  readonly versions: Readonly<Record<number, RegisterServices>>
  /** Default: hclog lines on stderr. */
  readonly logger?: Logger
  /** Default: a unix socket, except on Windows. On `tcp` the port is in the host's range, on 127.0.0.1. */
  readonly network?: "unix" | "tcp"
  /** Called before the process ends, with at most a second to finish. */
  readonly onShutdown?: () => void | Promise<void>
  /** Serves without a host: no cookie, no handshake line, no signals, no redirection, no exit. */
  readonly test?: ServeTestOptions
}

/** go-plugin's test mode. */
export interface ServeTestOptions {
  /** Ends the plugin. */
  readonly signal: AbortSignal
  /** What another process needs to attach. */
  readonly onReattach: (config: ReattachConfig) => void
}

const STDOUT_FD = 1
/** Calls under way get this long to end; a host gives a plugin 2 s all in all. */
const DRAIN_MS = 100
const HOOK_MS = 1_000
const HOST_POLL_MS = 500

/**
 * Serves until the host ends it, then ends the process with code 0; in test mode it resolves instead.
 * What it cannot start with (no cookie, a junk variable, no socket) is told on stderr, exit code 1, and nothing on stdout.
 */
export async function serveGoPlugin(options: ServeOptions): Promise<void> {
  if (options.test) return await serveForTest(options, options.test)
  if (!hasCookie(process.env, options.handshake)) {
    writeFully(
      2,
      "This program is a plugin and is not meant to be run by itself.\n" +
        "Run the program that uses it: that one starts its plugins.\n" +
        `(The environment variable ${options.handshake.cookieKey} does not have the value that a host would set.)\n`,
    )
    process.exit(1)
  }
  const logger = options.logger ?? createHclogLogger({ name: "plugin" })
  try {
    await serveForHost({ ...options, logger }, logger)
  } catch (thrown) {
    logger.error("plugin cannot start", { reason: FnError.from(thrown).reason, error: thrown })
    process.exit(1)
  }
}

async function serveForHost(options: ServeOptions, logger: Logger): Promise<void> {
  const settings = readProtocolSettings(process.env)
  deleteProtocolVariables(process.env, options.handshake.cookieKey)
  const output = new PluginOutput()
  output.redirect()
  const plugin = new ServedPlugin(options, settings, output)
  const { address, certificate } = await plugin.start()
  const ended = new Promise<string>((resolve) => {
    plugin.onShutdown = () => resolve("shutdown")
    process.once("SIGTERM", () => resolve("SIGTERM"))
    watchHost(() => resolve("host gone"))
  })
  // Ctrl-C in the host's terminal reaches the whole group; the host decides what becomes of its plugins.
  process.on("SIGINT", () => logger.debug("SIGINT ignored: the host decides"))
  process.on("uncaughtExceptionMonitor", (error, origin) => logger.error("plugin crashed", { origin, error }))
  process.on("exit", () => removeSocket(address))
  const line = formatHandshakeLine({
    ...address,
    protocolVersion: plugin.version,
    ...(certificate ? { certificate: certificate.der } : {}),
    // Whatever was asked: it is an answer to whether we could.
    ...(settings.multiplex === undefined ? {} : { multiplex: true }),
  })
  // One synchronous write past the redirected stream, and only now: the host dials as soon as it has read it.
  if (!writeFully(STDOUT_FD, line)) throw FnError.of("BAD_HANDSHAKE", "nobody reads the handshake: the host is gone")
  const reason = await ended
  logger.debug("plugin ends", { reason })
  await plugin.stop()
  process.exit(0)
}

async function serveForTest(options: ServeOptions, test: ServeTestOptions): Promise<void> {
  const settings: ProtocolSettings = { offeredVersions: undefined, ports: { min: 0, max: 0 } }
  const plugin = new ServedPlugin(options, settings, new PluginOutput())
  const { address } = await plugin.start()
  const ended = new Promise<void>((resolve) => {
    plugin.onShutdown = resolve
    if (test.signal.aborted) resolve()
    test.signal.addEventListener("abort", () => resolve(), { once: true })
  })
  test.onReattach({
    Protocol: "grpc",
    ProtocolVersion: plugin.version,
    Pid: process.pid,
    Test: true,
    Addr: { Network: address.network, String: address.address },
  })
  await ended
  await plugin.stop()
}

/** The gRPC half: server, go-plugin's services, the application's. */
class ServedPlugin {
  readonly version: number
  onShutdown: () => void = () => undefined
  readonly #server = new Server(SERVER_OPTIONS)
  readonly #options: ServeOptions
  readonly #logger: Logger
  readonly #output: PluginOutput
  readonly #listen: ListenOptions
  readonly #certificate: Certificate | undefined
  readonly #tls: PeerTls | undefined
  readonly #broker: StreamBroker
  /** The host asked for one connection for everything. */
  readonly #multiplexer: Multiplexer | undefined
  readonly #endStreams: () => void
  #address: PluginAddress | undefined

  constructor(options: ServeOptions, settings: ProtocolSettings, output: PluginOutput) {
    this.#options = options
    this.#logger = options.logger ?? noopLogger
    this.#output = output
    this.version = chooseProtocolVersion(Object.keys(options.versions).map(Number), settings.offeredVersions)
    this.#listen = {
      ports: settings.ports,
      socketDir: settings.socketDir,
      socketGroup: settings.socketGroup,
      ...(options.network ? { network: options.network } : {}),
    }
    if (settings.clientCertificatePem) {
      this.#certificate = createCertificate()
      this.#tls = { certPem: this.#certificate.certPem, keyPem: this.#certificate.keyPem, peerCertPem: settings.clientCertificatePem }
    }
    if (settings.multiplex) this.#multiplexer = this.#multiplex()
    this.#broker = new StreamBroker({ tls: this.#tls, listen: this.#listen, multiplexer: this.#multiplexer })
    this.#endStreams = addPluginServices(this.#server, {
      output,
      broker: this.#broker,
      logger: this.#logger,
      onShutdown: () => this.onShutdown(),
    })
    options.versions[this.version]?.(this.#server, this.#broker)
  }

  async start(): Promise<{ address: PluginAddress; certificate: Certificate | undefined }> {
    this.#address = this.#multiplexer
      ? await listenRaw(connectionServer(this.#multiplexer), this.#listen)
      : await listen(this.#server, serverCredentials(this.#tls), this.#listen)
    return { address: this.#address, certificate: this.#certificate }
  }

  /** Ends everything, soon, whatever the handlers do. */
  async stop(): Promise<void> {
    await within(HOOK_MS, this.#runHook())
    this.#broker.close()
    this.#output.end()
    this.#endStreams()
    await within(DRAIN_MS, new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve())))
    this.#server.forceShutdown()
    if (this.#address) removeSocket(this.#address)
  }

  #multiplex(): Multiplexer {
    const injector = this.#server.createConnectionInjector(serverCredentials(this.#tls))
    return new Multiplexer({ side: "server", onMainStream: (stream) => injector.injectConnection(stream) })
  }

  async #runHook(): Promise<void> {
    try {
      await this.#options.onShutdown?.()
    } catch (error) {
      this.#logger.error("the plugin's shutdown hook failed", { error })
    }
  }
}

/** Takes connections for a multiplexer, which finds out which of them is the host's. */
function connectionServer(multiplexer: Multiplexer): NetServer {
  return createServer({ noDelay: true }, (socket) => multiplexer.attach(socket))
}

/** Go plugins outlive a killed host for ever. We look whether our parent is still the one that launched us. */
function watchHost(onGone: () => void): void {
  const host = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === host) return
    clearInterval(timer)
    onGone()
  }, HOST_POLL_MS)
  timer.unref()
}
