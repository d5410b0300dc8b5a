/**
 * The way out of a sandbox without a network: an HTTP CONNECT proxy on a unix socket, which dials the targets it was told of and no others.
 *
 * It resolves names itself, checks the addresses, and dials the very address it checked: a name that is allowed may not be made to point
 * into our own network, not even between the check and the call. Every decision is reported.
 */
import { lookup } from "node:dns/promises"
import { once } from "node:events"
import { chmod, chown } from "node:fs/promises"
import { createServer, type IncomingMessage, type Server } from "node:http"
import { type BlockList, connect, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { messageOf } from "@fn/core"
import { mayDial } from "./addresses.js"
import { normalizeTarget } from "./network.js"

/** A connection a child asked for. */
export interface EgressDecision {
  /** `host:port` as it was asked for. */
  readonly target: string
  readonly allowed: boolean
  /** Why not, or what went wrong after it was allowed. */
  readonly reason?: string
  /** The address that was dialled. */
  readonly address?: string
}

/** How a proxy decides. */
export interface EgressOptions {
  /** `host:port`, nothing else. */
  readonly allow: readonly string[]
  /** Networks that are not public and may be dialled all the same. */
  readonly opened: BlockList
  /** Whose socket it is; default ours. */
  readonly uid?: number | undefined
  readonly onDecision?: ((decision: EgressDecision) => void) | undefined
  /** All addresses of a name. Default: those of the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>
}

/** A listening proxy. */
export interface EgressProxy {
  /** Stops listening and cuts every connection. */
  close(): Promise<void>
}

/** At once, per child: a child must not use up the descriptors of its host. */
const MAX_CONNECTIONS = 64
const CONNECT_TIMEOUT_MS = 10_000

/** Listens on `socketPath`. */
export async function startEgressProxy(socketPath: string, options: EgressOptions): Promise<EgressProxy> {
  const proxy = new ConnectProxy(options)
  await proxy.listen(socketPath)
  return proxy
}

class ConnectProxy implements EgressProxy {
  readonly #options: EgressOptions
  readonly #allowed: ReadonlySet<string>
  readonly #server: Server
  readonly #open = new Set<Duplex>()

  constructor(options: EgressOptions) {
    this.#options = options
    this.#allowed = new Set(options.allow.flatMap((target) => normalizeTarget(target) ?? []))
    this.#server = createServer((_request, response) => {
      response.writeHead(405, { allow: "CONNECT" }).end("only CONNECT is offered here\n")
    })
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on("connection", (socket) => this.#track(socket))
    this.#server.on("clientError", (_error, socket) => socket.destroy())
    this.#server.on(
      "connect",
      (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#connect(request.url ?? "", socket, head),
    )
  }

  async listen(path: string): Promise<void> {
    this.#server.listen(path)
    await once(this.#server, "listening")
    await chmod(path, 0o600)
    if (this.#options.uid !== undefined) await chown(path, this.#options.uid, this.#options.uid)
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#open) socket.destroy()
    await closed
  }

  async #connect(target: string, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => client.destroy())
    const { address, port, reason } = await this.#decide(target)
    if (address === undefined || port === undefined) {
      this.#report({ target, allowed: false, ...(reason === undefined ? {} : { reason }) })
      return this.#refuse(client, "403 Forbidden", reason ?? "refused")
    }
    if (client.destroyed) return
    try {
      const server = await this.#dial(address, port)
      this.#report({ target, allowed: true, address })
      client.write("HTTP/1.1 200 Connection established\r\n\r\n")
      server.write(head)
      client.pipe(server).pipe(client)
      client.once("close", () => server.destroy())
      server.once("close", () => client.destroy())
    } catch (thrown) {
      this.#report({ target, allowed: true, address, reason: messageOf(thrown) })
      this.#refuse(client, "502 Bad Gateway", messageOf(thrown))
    }
  }

  async #decide(target: string): Promise<{ address?: string; port?: number; reason?: string }> {
    const normal = normalizeTarget(target)
    if (normal === undefined || !this.#allowed.has(normal)) return { reason: "it is not on the list of allowed targets" }
    const [, host = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(normal) ?? []
    let addresses: readonly string[]
    try {
      addresses = await (this.#options.resolve ?? resolveAll)(host)
    } catch (thrown) {
      return { reason: `its name cannot be resolved: ${messageOf(thrown)}` }
    }
    const refused = addresses.find((address) => !mayDial(address, this.#options.opened))
    if (refused !== undefined) return { reason: `it resolves to ${refused}, which is not a public address` }
    const [address] = addresses
    return address === undefined ? { reason: "its name has no address" } : { address, port: Number(port) }
  }

  async #dial(host: string, port: number): Promise<Socket> {
    const socket = connect({ host, port })
    this.#track(socket)
    socket.on("error", () => socket.destroy())
    await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) }).catch((thrown) => {
      socket.destroy()
      throw thrown
    })
    return socket
  }

  #track(socket: Duplex): void {
    this.#open.add(socket)
    socket.once("close", () => this.#open.delete(socket))
  }

  #refuse(client: Duplex, status: string, reason: string): void {
    client.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n${reason}\n`)
  }

  #report(decision: EgressDecision): void {
    this.#options.onDecision?.(decision)
  }
}

async function resolveAll(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}
