import { type Client, connectClient } from "@fn/client"
import type { FunctionModule } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { createMemoryRegistry, setupPlatform } from "@fn/registry"
import { startRuntime } from "@fn/runtime"
import { startTestServer, type TestServer, type TestServerOptions, tempDir } from "@fn/testing"
import { type Gateway, type GatewayOptions, startGateway } from "../src/index.js"

/** A server, a real host with builtin functions, a client and a gateway; all gone with the scope. */
export interface Platform extends AsyncDisposable {
  readonly server: TestServer
  readonly client: Client
  readonly nc: NatsConnection
  readonly gateway: Gateway
  /** What `waits` heard when its signal fired. */
  readonly aborted: unknown[]
  /** How often `waits` began. */
  readonly waiting: { count: number }
  /** Lets every `waits` answer. */
  release(): void
}

/** Starts one. `functions` are deployed beside those every test has; with `durable` invocations can be stored. */
export async function startPlatform(
  options: {
    server?: TestServerOptions
    gateway?: Partial<GatewayOptions>
    functions?: Record<string, FunctionModule["execute"]>
    durable?: boolean
  } = {},
): Promise<Platform> {
  const durable = options.durable === true
  const server = await startTestServer({ jetstream: durable, ...options.server })
  if (durable) await setupPlatform(await server.connect())
  const folder = await tempDir()
  const registry = createMemoryRegistry()
  const aborted: unknown[] = []
  const waiting = { count: 0 }
  let release = (): void => undefined
  const released = new Promise<undefined>((resolve) => {
    release = () => resolve(undefined)
  })
  const builtins: Record<string, FunctionModule["execute"]> = {
    echo: (event) => event,
    "shop/echo": (event) => ({ ...event, type: "shop.echoed" }),
    none: () => undefined,
    three: () => [1, 2, 3].map((n) => ({ type: "test.count", data: n })),
    waits: (_event, ctx) => {
      waiting.count++
      ctx.signal.addEventListener("abort", () => aborted.push(ctx.signal.reason))
      return released
    },
    ...options.functions,
  }
  const runtime = await startRuntime({
    nc: await server.connect(),
    registry,
    builtins,
    dataDir: folder.path,
    limits: { spares: false },
  })
  for (const name of Object.keys(builtins)) {
    const [namespace, local] = name.includes("/") ? (name.split("/") as [string, string]) : ["default", name]
    await registry.deploy({ namespace, name: local, language: "js", runtime: "builtin" })
  }
  const nc = await server.connect()
  const client = await connectClient({ nc, registry })
  const gateway = await startGateway({ client, nc, port: 0, ...options.gateway })
  return {
    server,
    client,
    nc,
    gateway,
    aborted,
    waiting,
    release,
    [Symbol.asyncDispose]: async () => {
      await gateway.close({ graceMs: 0 })
      await client.close()
      await runtime.close()
      await registry.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
