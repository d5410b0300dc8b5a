import { createServer } from "node:net"
import { connectNats, type NatsConnection, type NatsOptions, type NatsServer, startNatsServer } from "@fn/nats"
import { tempDir } from "./temp-dir.js"
import { testServerBinary } from "./test-server.js"
import { until } from "./until.js"

/** Settings of {@link startTestCluster}. */
export interface TestClusterOptions {
  /** Default 3. */
  readonly size?: number
  /** Default: the server that tests use. */
  readonly binary?: string
}

/** A JetStream cluster for one test. Disposing it closes the connections it made, stops every server and removes their stores. */
export interface TestCluster extends AsyncDisposable {
  /** Of all servers, running or not, as a client takes them: joined by commas. */
  readonly url: string
  /** Names of the servers, as JetStream tells them: `n1` … */
  readonly names: readonly string[]
  /** A connection to whichever server answers; closed with the cluster. */
  connect(options?: NatsOptions): Promise<NatsConnection>
  /** SIGKILL; the store stays. */
  kill(name: string): Promise<void>
  /** Starts a killed one again on its ports and store. */
  restart(name: string): Promise<void>
}

interface Node {
  readonly name: string
  readonly port: number
  readonly storeDir: string
  readonly config: string
  server: NatsServer | undefined
}

/** Starts a cluster and waits until JetStream has a leader; use it as `await using cluster = await startTestCluster()`. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const size = options.size ?? 3
  const binary = options.binary ?? (await testServerBinary())
  const folder = await tempDir("fn-cluster-")
  const ports = await freePorts(size * 2)
  const routes = ports.slice(size).map((port) => `nats-route://127.0.0.1:${port}`)
  const nodes = Array.from({ length: size }, (_, at): Node => {
    const name = `n${at + 1}`
    const config = `server_name: ${name}\ncluster { name: test, listen: "127.0.0.1:${ports[size + at]}", routes: ${JSON.stringify(routes)} }`
    return { name, port: ports[at] as number, storeDir: folder.file(name), config, server: undefined }
  })
  const cluster = new OwnCluster(nodes, binary, folder)
  try {
    await Promise.all(nodes.map(({ name }) => cluster.restart(name)))
    await cluster.ready()
    return cluster
  } catch (thrown) {
    await cluster[Symbol.asyncDispose]()
    throw thrown
  }
}

class OwnCluster implements TestCluster {
  readonly #nodes: readonly Node[]
  readonly #binary: string
  readonly #folder: AsyncDisposable
  readonly #connections: NatsConnection[] = []

  constructor(nodes: readonly Node[], binary: string, folder: AsyncDisposable) {
    this.#nodes = nodes
    this.#binary = binary
    this.#folder = folder
  }

  get url(): string {
    return this.#nodes.map(({ port }) => `nats://127.0.0.1:${port}`).join(",")
  }

  get names(): readonly string[] {
    return this.#nodes.map(({ name }) => name)
  }

  async connect(options: NatsOptions = {}): Promise<NatsConnection> {
    const nc = await connectNats({ servers: this.url, ...options })
    this.#connections.push(nc)
    return nc
  }

  /** JetStream answers, which it does once it has elected a leader. */
  async ready(): Promise<void> {
    const nc = await this.connect()
    await until(
      async () => {
        try {
          const reply = await nc.request("$JS.API.STREAM.NAMES", "", { timeout: 500 })
          return (reply.json() as { error?: unknown }).error === undefined
        } catch {
          return false // no leader yet
        }
      },
      { name: "JetStream to have a leader", timeoutMs: 30_000 },
    )
  }

  async kill(name: string): Promise<void> {
    const node = this.#node(name)
    await node.server?.kill()
    node.server = undefined
  }

  async restart(name: string): Promise<void> {
    const node = this.#node(name)
    await node.server?.kill()
    node.server = await startNatsServer({ binary: this.#binary, port: node.port, storeDir: node.storeDir, config: node.config })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((nc) => nc.close()))
    await Promise.all(this.#nodes.map(async ({ server }) => server?.stop({ graceMs: 2_000 })))
    await this.#folder[Symbol.asyncDispose]()
  }

  #node(name: string): Node {
    const node = this.#nodes.find((candidate) => candidate.name === name)
    if (!node) throw new Error(`the cluster has no server ${name}`)
    return node
  }
}

/** Ports that nobody listens on now: routes have to be known before the servers start. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer().once("error", reject)
          server.listen(0, "127.0.0.1", () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
