import { createServer, type Socket } from "node:net"
import { type Duplex, pipeline } from "node:stream"
import type { PluginAddress } from "../handshake/handshake.js"
import { type ListenOptions, listenRaw, removeSocket } from "../wire/listen.js"

/** An address of our own that leads into streams. */
export interface Bridge {
  readonly address: PluginAddress
  close(): void
}

/**
 * Gives streams an address: grpc-js dials addresses only. Each connection to it is joined to a stream that `open` makes for it, and
 * is cut when there is none. The TLS of AutoMTLS runs through it, end to end.
 */
export async function bridgeTo(open: () => Promise<Duplex>, options: ListenOptions): Promise<Bridge> {
  const connections = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket)
    socket.once("close", () => connections.delete(socket))
    socket.on("error", () => undefined) // its end is what counts, and the channel sees it
    open().then(
      (stream) => join(socket, stream),
      () => socket.destroy(),
    )
  })
  const address = await listenRaw(server, options)
  return {
    address,
    close: () => {
      server.close()
      for (const socket of connections) socket.destroy()
      removeSocket(address)
    },
  }
}

function join(socket: Socket, stream: Duplex): void {
  const cut = (): void => {
    socket.destroy()
    stream.destroy()
  }
  // The first of the two directions that fails takes the other one with it.
  pipeline(socket, stream, (error) => error && cut())
  pipeline(stream, socket, (error) => error && cut())
}
