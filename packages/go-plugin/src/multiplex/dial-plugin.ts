import { once } from "node:events"
import { connect } from "node:net"
import type { PluginAddress } from "../handshake/handshake.js"
import type { ListenOptions } from "../wire/listen.js"
import { bridgeTo } from "./bridge.js"
import { Multiplexer } from "./multiplexer.js"

/** The host's end of a multiplexed connection. */
export interface MultiplexedPlugin {
  /** Where a gRPC channel reaches the plugin: an address of our own. */
  readonly address: PluginAddress
  readonly multiplexer: Multiplexer
  close(): void
}

/** Connects to a plugin that multiplexes: it takes one connection, and speaks yamux on it. Rejects with the socket's error. */
export async function dialMultiplexed({ network, address }: PluginAddress, options: ListenOptions): Promise<MultiplexedPlugin> {
  const port = address.lastIndexOf(":")
  const socket =
    network === "unix"
      ? connect({ path: address })
      : connect({ host: address.slice(0, port).replace(/^\[|\]$/g, "") || "127.0.0.1", port: Number(address.slice(port + 1)) })
  await once(socket, "connect")
  // Small frames of one stream must not wait for the answers to another's.
  socket.setNoDelay(true)
  const multiplexer = new Multiplexer({ side: "client", onMainStream: (stream) => stream.destroy() })
  multiplexer.attach(socket)
  const bridge = await bridgeTo(async () => multiplexer.openMain(), options)
  return {
    address: bridge.address,
    multiplexer,
    close: () => {
      bridge.close()
      multiplexer.close()
    },
  }
}
