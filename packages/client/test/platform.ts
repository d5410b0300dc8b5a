import type { NatsConnection, NatsOptions } from "@fn/nats"
import { createMemoryRegistry, type Registry, type SetupOptions, setupPlatform } from "@fn/registry"
import { startTestServer, type TestServer, type TestServerOptions } from "@fn/testing"
import { type Client, type ClientSettings, connectClient } from "../src/index.js"
import { type Peer, startPeer } from "./peer.js"
import { type QueuePeer, startQueuePeer } from "./queue-peer.js"

/** A server, a registry, a peer and a client, each on a connection of its own; all gone with the scope. */
export interface Platform extends AsyncDisposable {
  readonly server: TestServer
  readonly registry: Registry
  readonly peer: Peer
  readonly client: Client
  /** Connection of the client. */
  readonly nc: NatsConnection
  deploy(name: string, options?: { namespace?: string; language?: "js" | "go"; maxPending?: number }): Promise<void>
}

/** A platform with the streams of durable invocation. */
export interface DurablePlatform extends Platform {
  readonly queue: QueuePeer
}

/** Starts one. */
export async function startPlatform(
  options: { server?: TestServerOptions; client?: ClientSettings; user?: NatsOptions; clientUser?: NatsOptions } = {},
): Promise<Platform> {
  const server = await startTestServer({ jetstream: false, ...options.server })
  const registry = createMemoryRegistry()
  const peer = await startPeer(await server.connect(options.user))
  const nc = await server.connect(options.clientUser)
  const client = await connectClient({ nc, registry, ...options.client })
  return {
    server,
    registry,
    peer,
    client,
    nc,
    deploy: async (name, { namespace, language = "js", maxPending } = {}) => {
      const queue = maxPending === undefined ? {} : { queue: { maxPending } }
      await registry.deploy({ name, language, runtime: "builtin", ...queue, ...(namespace ? { namespace } : {}) }, { awaitServed: false })
    },
    [Symbol.asyncDispose]: async () => {
      await client.close()
      await registry.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** Starts one with its streams; `setup` are the options of `fn setup`. */
export async function startDurablePlatform(
  options: Parameters<typeof startPlatform>[0] & { setup?: SetupOptions } = {},
): Promise<DurablePlatform> {
  const platform = await startPlatform({ ...options, server: { jetstream: true, ...options.server } })
  const nc = await platform.server.connect(options.user)
  await setupPlatform(nc, options.setup)
  return { ...platform, queue: startQueuePeer(nc) }
}
