import { readdirSync, readFileSync } from "node:fs"
import {
  connectNats,
  findNatsServer,
  type NatsConnection,
  type NatsOptions,
  type NatsServer,
  type StartServerOptions,
  startNatsServer,
} from "@fn/nats"
import { tempDir } from "./temp-dir.js"
import { until } from "./until.js"

/** Settings of {@link startTestServer}: those of a server, its store being a temporary folder unless given. */
export type TestServerOptions = Omit<StartServerOptions, "storeDir"> & { readonly storeDir?: string }

/** A server for one test. Disposing it closes the connections it made, stops it and removes its store. */
export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly storeDir: string
  /** The server that runs now; another one after {@link restart}. */
  readonly server: NatsServer
  /** A connection that is closed with the server. */
  connect(options?: NatsOptions): Promise<NatsConnection>
  /** SIGKILL: connections break, the store stays. */
  kill(): Promise<void>
  /** SIGTERM: as {@link kill}, but orderly. */
  stop(): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. Resolves once none of its threads runs any more. */
  freeze(): Promise<void>
  /** Ends {@link freeze}. */
  thaw(): void
  /** Starts it again on the same port and store; kills it first if it runs. */
  restart(): Promise<void>
}

let binary: Promise<string> | undefined

/** Path of the nats-server that tests use; looked for, or fetched, once per process. */
export function testServerBinary(): Promise<string> {
  binary ??= findNatsServer({ onProgress: (line) => process.stderr.write(`${line}\n`) }).then(({ path }) => path)
  return binary
}

/** Starts a server; use it as `await using server = await startTestServer()`. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const storage = options.storeDir === undefined ? await tempDir("fn-nats-") : undefined
  const settings = { ...options, binary: options.binary ?? (await testServerBinary()), storeDir: options.storeDir ?? storage?.path ?? "" }
  try {
    return new OwnServer(await startNatsServer(settings), settings, storage)
  } catch (thrown) {
    await storage?.[Symbol.asyncDispose]()
    throw thrown
  }
}

class OwnServer implements TestServer {
  server: NatsServer
  readonly port: number
  readonly #settings: StartServerOptions
  readonly #storage: AsyncDisposable | undefined
  readonly #connections: NatsConnection[] = []

  constructor(server: NatsServer, settings: StartServerOptions, storage: AsyncDisposable | undefined) {
    this.server = server
    this.port = server.port
    this.#settings = settings
    this.#storage = storage
  }

  get url(): string {
    return this.server.url
  }
  get pid(): number {
    return this.server.pid
  }
  get storeDir(): string {
    return this.#settings.storeDir
  }

  async connect(options: NatsOptions = {}): Promise<NatsConnection> {
    const nc = await connectNats({ servers: this.url, ...options })
    this.#connections.push(nc)
    return nc
  }

  async kill(): Promise<void> {
    await this.server.kill()
  }

  async stop(): Promise<void> {
    await this.server.stop()
  }

  async freeze(): Promise<void> {
    const { pid } = this
    process.kill(pid, "SIGSTOP")
    if (process.platform !== "linux") return
    const stands = (thread: string): boolean => / T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"))
    await until(() => readdirSync(`/proc/${pid}/task`).every(stands), { name: `process ${pid} to stand still` })
  }

  thaw(): void {
    process.kill(this.pid, "SIGCONT")
  }

  async restart(): Promise<void> {
    await this.kill()
    this.server = await startNatsServer({ ...this.#settings, port: this.port })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((nc) => nc.close()))
    // A frozen one does not hear the SIGTERM.
    await this.server.stop({ graceMs: 2_000 })
    await this.#storage?.[Symbol.asyncDispose]()
  }
}
