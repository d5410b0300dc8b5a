/** gRPC as go-plugin peers need it. Every setting here answers a failure seen with a real peer. */
import { FnError } from "@fn/core"
import {
  type Channel,
  type ChannelCredentials,
  type ChannelInterface,
  type ChannelOptions,
  type ClientOptions,
  connectivityState,
  credentials,
  Channel as GrpcChannel,
  ServerCredentials,
  type ServerOptions,
} from "@grpc/grpc-js"
import type { PluginAddress } from "../handshake/handshake.js"

/** What AutoMTLS gives a side: its own certificate and key, and the one certificate it trusts. The same on main and brokered connections. */
export interface PeerTls {
  readonly certPem: string
  readonly keyPem: string
  readonly peerCertPem: string
}

/** A generated client class, of ts-proto's or grpc-js's making. */
export type ClientConstructor<C> = new (address: string, credentials: ChannelCredentials, options?: Partial<ClientOptions>) => C

/** Messages as large as the peer likes; grpc-js's own 4 MiB refuses real providers' schemas. */
const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 }

/** No keepalive: Go's server answers pings without active streams by ending every call. */
const CHANNEL_OPTIONS: ChannelOptions = {
  ...UNLIMITED,
  // With http_proxy in the environment even 127.0.0.1 would go through the proxy.
  "grpc.enable_http_proxy": 0,
  // The name in AutoMTLS certificates; over tcp the address would be expected instead.
  "grpc.ssl_target_name_override": "localhost",
  "grpc.default_authority": "localhost",
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_retries": 0,
  // Its registry keeps every channel of the process for ever.
  "grpc.enable_channelz": 0,
  // The global pool would keep the connections of ended plugins, too.
  "grpc.use_local_subchannel_pool": 1,
}

/** Options of every server that a go-plugin peer calls. */
export const SERVER_OPTIONS: ServerOptions = { ...UNLIMITED, "grpc.enable_channelz": 0 }

/** The TLS of AutoMTLS for the side that dials; without `tls` plaintext. */
export function channelCredentials(tls: PeerTls | undefined): ChannelCredentials {
  if (!tls) return credentials.createInsecure()
  return credentials.createSsl(Buffer.from(tls.peerCertPem), Buffer.from(tls.keyPem), Buffer.from(tls.certPem), {
    // Said aloud, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment cannot switch verification off.
    rejectUnauthorized: true,
  })
}

/** The TLS of AutoMTLS for the side that listens: the peer's certificate is demanded. */
export function serverCredentials(tls: PeerTls | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure()
  const pair = { private_key: Buffer.from(tls.keyPem), cert_chain: Buffer.from(tls.certPem) }
  return ServerCredentials.createSsl(Buffer.from(tls.peerCertPem), [pair], true)
}

/** One connection to a peer, shared by all clients made from it. */
export class PeerChannel {
  readonly #target: string
  readonly #credentials: ChannelCredentials
  readonly #channel: Channel
  #closed = false

  constructor(address: PluginAddress, channelCredentials: ChannelCredentials, options: { maxReceiveBytes?: number | undefined } = {}) {
    this.#target = channelTarget(address)
    this.#credentials = channelCredentials
    const { maxReceiveBytes } = options
    const limit = maxReceiveBytes === undefined ? {} : { "grpc.max_receive_message_length": maxReceiveBytes }
    this.#channel = new GrpcChannel(this.#target, channelCredentials, { ...CHANNEL_OPTIONS, ...limit })
  }

  /** A client on this connection. Closing the client does nothing: the connection belongs to the channel. */
  createClient<C>(ctor: ClientConstructor<C>): C {
    return new ctor(this.#target, this.#credentials, { channelOverride: this.#shared() })
  }

  /** Connects before the first call. */
  connect(): void {
    this.#channel.getConnectivityState(true)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#channel.close()
  }

  #shared(): ChannelInterface {
    const channel = this.#channel
    return {
      close: () => undefined,
      getTarget: () => channel.getTarget(),
      getConnectivityState: (connect) => (this.#closed ? connectivityState.SHUTDOWN : channel.getConnectivityState(connect)),
      watchConnectivityState: (state, deadline, callback) => channel.watchConnectivityState(state, deadline, callback),
      getChannelzRef: () => channel.getChannelzRef(),
      createCall: (...call) => {
        if (this.#closed) throw new FnError("unavailable", "the connection to the plugin is closed", { reason: "PLUGIN_EXITED" })
        return channel.createCall(...call)
      },
    }
  }
}

/** grpc-js's spelling of an address. */
export function channelTarget({ network, address }: PluginAddress): string {
  if (network === "unix") return `unix:${address}`
  // Go listens on ":1234" and means every interface; the local one is what we want of it.
  return `dns:${address.startsWith(":") ? `127.0.0.1${address}` : address}`
}
