/**
 * The gRPC half of a running plugin: one channel, one stdio stream, one broker stream. Launched and attached plugins share it.
 *
 * Both streams open at once and stay open. Without a reader of the stdio stream a Go plugin blocks in its next print; a Go plugin's
 * broker dies with the first broker stream that ends.
 */
import { CODES, type Code, FnError, type Logger, messageOf } from "@fn/core"
import { goPluginBroker, goPluginController, goPluginStdio, health } from "@fn/proto"
import { type ChannelCredentials, type ClientDuplexStream, type ClientReadableStream, Metadata, type ServiceError } from "@grpc/grpc-js"
import { StreamBroker } from "../broker/broker.js"
import type { PluginAddress } from "../handshake/handshake.js"
import type { MultiplexedPlugin } from "../multiplex/dial-plugin.js"
import { type ClientConstructor, channelCredentials, PeerChannel, type PeerTls } from "../wire/channel.js"
import { brokerMessageFromConnInfo, connInfoFromBrokerMessage } from "../wire/messages.js"
import { within } from "../within.js"

/** How to connect, and where the plugin's own output goes. */
export interface ConnectionOptions {
  readonly address: PluginAddress
  readonly tls?: PeerTls | undefined
  /** Instead of AutoMTLS: the application's own credentials. */
  readonly credentials?: ChannelCredentials | undefined
  readonly socketDir?: string | undefined
  /** Of one message, after it was unpacked. Default: no limit. */
  readonly maxReceiveBytes?: number | undefined
  /** The one connection of a plugin that multiplexes; `address` is then its bridge. Closed with this. */
  readonly multiplexed?: MultiplexedPlugin | undefined
  readonly logger: Logger
  readonly onStdout?: ((bytes: Buffer) => void) | undefined
  readonly onStderr?: ((bytes: Buffer) => void) | undefined
}

/** The name under which go-plugin registers itself with the health service. */
const HEALTH_SERVICE = "plugin"
/** How long the end of the stdio stream may lag behind the end of the process. */
const STDIO_END_MS = 250

/** A connection to a plugin. */
export class PluginConnection {
  readonly broker: StreamBroker
  readonly #channel: PeerChannel
  readonly #multiplexed: MultiplexedPlugin | undefined
  readonly #health: health.HealthClient
  readonly #brokerStream: ClientDuplexStream<goPluginBroker.ConnInfo, goPluginBroker.ConnInfo>
  readonly #stdioStream: ClientReadableStream<goPluginStdio.StdioData>
  readonly #stdioEnded: Promise<void>

  constructor(options: ConnectionOptions) {
    this.#channel = new PeerChannel(options.address, options.credentials ?? channelCredentials(options.tls), options)
    this.#health = this.#channel.createClient(health.HealthClient)
    this.#multiplexed = options.multiplexed
    this.broker = new StreamBroker({
      tls: options.tls,
      credentials: options.credentials,
      listen: { socketDir: options.socketDir },
      multiplexer: options.multiplexed?.multiplexer,
    })
    this.#brokerStream = this.#openBroker(options.logger)
    this.#stdioStream = this.#channel.createClient(goPluginStdio.GRPCStdioClient).streamStdio({})
    this.#stdioEnded = readStdio(this.#stdioStream, options)
  }

  createClient<C>(ctor: ClientConstructor<C>): C {
    return this.#channel.createClient(ctor)
  }

  /** Resolves when the plugin answers, whatever its health: a plugin may have no health service. Rejects with grpc-js's error otherwise. */
  async ready(timeoutMs: number): Promise<void> {
    try {
      await this.#check(timeoutMs)
    } catch (thrown) {
      const { code } = thrown as ServiceError
      if (code !== CODES.unimplemented.grpc && code !== CODES.not_found.grpc) throw thrown
    }
  }

  /** Resolves when the plugin says SERVING. */
  async ping(timeoutMs: number): Promise<void> {
    const status = await this.#check(timeoutMs)
    if (status === health.HealthCheckResponse_ServingStatus.SERVING) return
    throw new FnError("unavailable", `the plugin answers, but says ${health.healthCheckResponse_ServingStatusToJSON(status)}`)
  }

  /** Ends the broker: always the first step of a shutdown. */
  endBroker(): void {
    this.broker.close()
    this.#brokerStream.end()
  }

  /** Asks the plugin to end. True unless it gave no answer in time; any answer counts: a Go plugin ends before it has replied. */
  shutdown(timeoutMs: number): Promise<boolean> {
    const controller = this.#channel.createClient(goPluginController.GRPCControllerClient)
    return new Promise((resolve) => {
      const deadline = { deadline: Date.now() + timeoutMs }
      controller.shutdown({}, new Metadata(), deadline, (error) => resolve(error?.code !== CODES.deadline_exceeded.grpc))
    })
  }

  /** Resolves when the plugin's output has all arrived; soon, whatever the plugin does. For after its exit. */
  async outputEnded(): Promise<void> {
    await within(STDIO_END_MS, this.#stdioEnded)
  }

  close(): void {
    this.endBroker()
    this.#brokerStream.cancel()
    this.#stdioStream.cancel()
    this.#channel.close()
    this.#multiplexed?.close()
  }

  #openBroker(logger: Logger): ClientDuplexStream<goPluginBroker.ConnInfo, goPluginBroker.ConnInfo> {
    const stream = this.#channel.createClient(goPluginBroker.GRPCBrokerClient).startStream()
    stream.on("data", (info: goPluginBroker.ConnInfo) => {
      const message = brokerMessageFromConnInfo(info)
      if (message) this.broker.receive(message)
      else logger.warn("plugin sent a broker message that is no announcement", { network: info.network })
    })
    // A plugin without a broker, or one that ended: dials then fail for want of an announcement.
    stream.on("error", (error) => {
      this.broker.detach()
      logger.debug("broker stream ended", { cause: messageOf(error) })
    })
    this.broker.attach((message) => stream.write(connInfoFromBrokerMessage(message)))
    return stream
  }

  #check(timeoutMs: number): Promise<health.HealthCheckResponse_ServingStatus> {
    return new Promise((resolve, reject) => {
      const deadline = { deadline: Date.now() + timeoutMs }
      this.#health.check({ service: HEALTH_SERVICE }, new Metadata(), deadline, (error, reply) =>
        error ? reject(error) : resolve(reply.status),
      )
    })
  }
}

/** A peer's status as our error. */
export function errorFromStatus(thrown: unknown, fromGrpc: (code: number) => Code): FnError {
  const { code, details } = thrown as Partial<ServiceError>
  if (FnError.is(thrown) || typeof code !== "number") return FnError.from(thrown, "unavailable")
  return new FnError(fromGrpc(code), details || messageOf(thrown), { cause: thrown })
}

function readStdio(stream: ClientReadableStream<goPluginStdio.StdioData>, options: ConnectionOptions): Promise<void> {
  stream.on("data", ({ channel, data }: goPluginStdio.StdioData) => {
    if (channel === goPluginStdio.StdioData_Channel.STDOUT) options.onStdout?.(data)
    else if (channel === goPluginStdio.StdioData_Channel.STDERR) options.onStderr?.(data)
    else options.logger.warn("plugin sent output on an unknown channel", { channel, sizeBytes: data.length })
  })
  return new Promise((resolve) => {
    // Every end is a normal one: the plugin has no such service (before go-plugin 1.1), or it ended.
    stream.once("error", () => resolve())
    stream.once("end", () => resolve())
  })
}
