/**
 * go-plugin's broker: further connections between host and plugin, each on a socket of its own.
 *
 * The accepting side picks an id, listens, announces id and address on the one broker stream, and tells the other side the id in a
 * message of the application; the dialling side waits for the announcement with that id. Each side counts ids for itself, so the same
 * number may be in use in both directions. The class knows nothing of who opened the stream: both sides use it.
 */
import { FnError } from "@fn/core"
import { type ChannelCredentials, Server } from "@grpc/grpc-js"
import type { PluginAddress } from "../handshake/handshake.js"
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
  readonly address: PluginAddress
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

/** How a broker connects. */
export interface BrokerOptions {
  readonly tls?: PeerTls | undefined
  /** Instead of `tls`: what dials use. There is nothing to serve with then, so {@link Broker.accept} refuses. */
  readonly credentials?: ChannelCredentials | undefined
  readonly listen?: ListenOptions
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
  /** Announcements made before the host opened the stream. */
  #unsent: Announcement[] = []
  #send: ((announcement: Announcement) => void) | undefined
  #closed = false

  constructor(options: BrokerOptions = {}) {
    this.#options = options
  }

  /** The stream is open: announcements can leave. */
  attach(send: (announcement: Announcement) => void): void {
    this.#send = send
    for (const announcement of this.#unsent.splice(0)) send(announcement)
  }

  /** The stream ended. */
  detach(): void {
    this.#send = undefined
  }

  /** The other side announced something. */
  receive({ id, network, address }: Announcement): void {
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
    this.#announce({ id, ...address })
    return service
  }

  async dial(id: number, options: { timeoutMs?: number } = {}): Promise<BrokeredConnection> {
    this.#refuseWhenClosed()
    const address = await this.#announced(id, options.timeoutMs ?? RENDEZVOUS_MS)
    const channel = new PeerChannel(address, this.#options.credentials ?? channelCredentials(this.#options.tls))
    const connection = {
      createClient: <C>(ctor: ClientConstructor<C>): C => channel.createClient(ctor),
      close: () => {
        this.#open.delete(connection)
        channel.close()
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
    for (const open of [...this.#open]) open.close()
  }

  #announce(announcement: Announcement): void {
    if (this.#send) this.#send(announcement)
    else this.#unsent.push(announcement)
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
