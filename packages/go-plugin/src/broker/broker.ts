/**
 * go-plugin's broker: further connections between host and plugin, each on a socket of its own, or all on the one connection there is.
 *
 * The accepting side picks an id, listens, announces id and address on the one broker stream, and tells the other side the id in a
 * message of the application; the dialling side waits for the announcement with that id. Each side counts ids for itself, so the same
 * number may be in use in both directions. With a multiplexer nothing is announced: who dials knocks (multiplex/multiplexer.ts).
 * The class knows nothing of who opened the stream: both sides use it.
 */
import type { Duplex } from "node:stream"
import { FnError } from "@fn/core"
import { type ChannelCredentials, Server } from "@grpc/grpc-js"
import type { PluginAddress } from "../handshake/handshake.js"
import { type Bridge, bridgeTo } from "../multiplex/bridge.js"
import type { Knock, Multiplexer } from "../multiplex/multiplexer.js"
import {
  type ClientConstructor,
  channelCredentials,
  PeerChannel,
  type PeerTls,
  SERVER_OPTIONS,
  serverCredentials,
} from "../wire/channel.js"
import { type ListenOptions, listen, removeSocket } from "../wire/listen.js"

/** Further services between the two sides, in either direction. */
export interface Broker {
  /**
   * Offers services of our own: listens on a new socket and announces it. Tell the other side the `id`.
   * Takes any number of connections until it is closed.
   */
  accept(register: (server: Server) => void): Promise<BrokeredService>
  /**
   * Connects to what the other side announced under `id`, before or after this call.
   * @throws {FnError} deadline_exceeded when nothing was announced within `timeoutMs` (default 5 s, go-plugin's own limit)
   */
  dial(id: number, options?: { timeoutMs?: number }): Promise<BrokeredConnection>
}

/** What {@link Broker.accept} started. */
export interface BrokeredService {
  readonly id: number
  /** Its own socket; none where everything goes over one connection. */
  readonly address?: PluginAddress
  /** Ends its calls and removes its socket. */
  close(): void
}

/** What {@link Broker.dial} reached. */
export interface BrokeredConnection {
  createClient<C>(ctor: ClientConstructor<C>): C
  close(): void
}

/** An announcement, as it travels. */
export interface Announcement extends PluginAddress {
  readonly id: number
}

/** What travels on the broker stream. */
export type BrokerMessage = Announcement | Knock

/** How a broker connects. */
export interface BrokerOptions {
  readonly tls?: PeerTls | undefined
  /** Instead of `tls`: what dials use. There is nothing to serve with then, so {@link Broker.accept} refuses. */
  readonly credentials?: ChannelCredentials | undefined
  readonly listen?: ListenOptions
  /** Host and plugin have one connection for everything. */
  readonly multiplexer?: Multiplexer | undefined
}

/** How long an announcement waits for its dial, and a dial for its announcement. */
const RENDEZVOUS_MS = 5_000

/** The broker of one side. */
export class StreamBroker implements Broker {
  readonly #options: BrokerOptions
  readonly #sent = new Map<number, string>()
  readonly #unclaimed = new Map<number, { address: PluginAddress; timer: NodeJS.Timeout }>()
  readonly #dials = new Map<number, { resolve: (address: PluginAddress) => void; reject: (error: FnError) => void }>()
  readonly #open = new Set<{ close(): void }>()
  #lastId = 0
  /** What was to be said before the host opened the stream. */
  #unsent: BrokerMessage[] = []
  #send: ((message: BrokerMessage) => void) | undefined
  #closed = false

  constructor(options: BrokerOptions = {}) {
    this.#options = options
  }

  /** The stream is open: announcements can leave. */
  attach(send: (message: BrokerMessage) => void): void {
    this.#send = send
    for (const message of this.#unsent.splice(0)) send(message)
  }

  /** The stream ended. */
  detach(): void {
    this.#send = undefined
  }

  /** The other side announced something, or knocked. */
  receive(message: BrokerMessage): void {
    if (!("ack" in message)) return this.#receiveAnnouncement(message)
    const answer = this.#options.multiplexer?.receive(message)
    if (answer) this.#tell(answer)
  }

  #receiveAnnouncement({ id, network, address }: Announcement): void {
    // Some plugins echo what they receive. By id alone would be wrong: the other side may use the same number.
    if (this.#sent.get(id) === `${network}|${address}`) return
    const dial = this.#dials.get(id)
    if (dial) {
      this.#dials.delete(id)
      dial.resolve({ network, address })
      return
    }
    if (this.#unclaimed.has(id) || this.#closed) return
    const timer = setTimeout(() => this.#unclaimed.delete(id), RENDEZVOUS_MS).unref()
    this.#unclaimed.set(id, { address: { network, address }, timer })
  }

  async accept(register: (server: Server) => void): Promise<BrokeredService> {
    this.#refuseWhenClosed()
    if (this.#options.credentials) throw FnError.of("FEATURE_UNSUPPORTED", "services through the broker need AutoMTLS or plaintext")
    const server = new Server(SERVER_OPTIONS)
    register(server)
    if (this.#options.multiplexer) return this.#acceptStreams(server, this.#options.multiplexer)
    const address = await listen(server, serverCredentials(this.#options.tls), this.#options.listen)
    const id = ++this.#lastId
    const service = {
      id,
      address,
      close: () => {
        this.#open.delete(service)
        this.#sent.delete(id)
        server.forceShutdown()
        removeSocket(address)
      },
    }
    if (this.#closed) {
      service.close()
      this.#refuseWhenClosed()
    }
    this.#open.add(service)
    this.#sent.set(id, `${address.network}|${address.address}`)
    this.#tell({ id, ...address })
    return service
  }

  #acceptStreams(server: Server, multiplexer: Multiplexer): BrokeredService {
    const id = ++this.#lastId
    const injector = server.createConnectionInjector(serverCredentials(this.#options.tls))
    const refuse = multiplexer.accept(id, (stream) => injector.injectConnection(stream))
    const service = {
      id,
      close: () => {
        this.#open.delete(service)
        refuse()
        server.forceShutdown()
      },
    }
    this.#open.add(service)
    return service
  }

  async dial(id: number, options: { timeoutMs?: number } = {}): Promise<BrokeredConnection> {
    this.#refuseWhenClosed()
    const timeoutMs = options.timeoutMs ?? RENDEZVOUS_MS
    const { multiplexer } = this.#options
    if (multiplexer) return await this.#dialStream(id, multiplexer, timeoutMs)
    return this.#connected(await this.#announced(id, timeoutMs))
  }

  async #dialStream(id: number, multiplexer: Multiplexer, timeoutMs: number): Promise<BrokeredConnection> {
    const knock = (message: Knock): void => this.#tell(message)
    // The first stream here and now, so that it fails here and now; later ones when the channel connects again.
    let first: Duplex | undefined = await multiplexer.dial(id, knock, timeoutMs)
    const bridge = await bridgeTo(async () => {
      const stream = first ?? (await multiplexer.dial(id, knock))
      first = undefined
      return stream
    }, this.#options.listen ?? {})
    if (this.#closed) {
      bridge.close()
      first?.destroy()
    }
    this.#refuseWhenClosed()
    return this.#connected(bridge.address, bridge)
  }

  #connected(address: PluginAddress, bridge?: Bridge): BrokeredConnection {
    const channel = new PeerChannel(address, this.#options.credentials ?? channelCredentials(this.#options.tls))
    // The stream is open already; nobody should wait for the first call to use it.
    if (bridge) channel.connect()
    const connection = {
      createClient: <C>(ctor: ClientConstructor<C>): C => channel.createClient(ctor),
      close: () => {
        this.#open.delete(connection)
        channel.close()
        bridge?.close()
      },
    }
    this.#open.add(connection)
    return connection
  }

  /** Closes everything accepted and dialled; dials under way fail. */
  close(): void {
    this.#closed = true
    this.#send = undefined
    for (const { timer } of this.#unclaimed.values()) clearTimeout(timer)
    this.#unclaimed.clear()
    for (const dial of this.#dials.values()) dial.reject(closedError())
    this.#options.multiplexer?.refuseDials(closedError())
    for (const open of [...this.#open]) open.close()
  }

  #tell(message: BrokerMessage): void {
    if (this.#send) this.#send(message)
    else if (!this.#closed) this.#unsent.push(message)
  }

  async #announced(id: number, timeoutMs: number): Promise<PluginAddress> {
    const waiting = this.#unclaimed.get(id)
    if (waiting) {
      clearTimeout(waiting.timer)
      this.#unclaimed.delete(id)
      return waiting.address
    }
    if (this.#dials.has(id)) throw FnError.of("INVALID_REQUEST", `brokered service ${id} is being dialled already`)
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<PluginAddress>((resolve, reject) => {
        this.#dials.set(id, { resolve, reject })
        const late = (): void => reject(FnError.of("DEADLINE_EXCEEDED", `brokered service ${id} was not announced within ${timeoutMs} ms`))
        timer = setTimeout(late, timeoutMs)
      })
    } finally {
      clearTimeout(timer)
      this.#dials.delete(id)
    }
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw closedError()
  }
}

function closedError(): FnError {
  return new FnError("unavailable", "the broker is closed: the plugin is ending", { reason: "PLUGIN_EXITED" })
}
