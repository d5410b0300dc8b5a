/** A platform for tests of the queue: a server with the streams, hosts with builtins, and a publisher that knows nothing but NATS. */
import { createLogger, FnError, type FunctionModule, Header, headerLine, newId, readHeaderBlock } from "@fn/core"
import { findMessage, type NatsConnection, publishAcked, ReplyInbox, requestApi } from "@fn/nats"
import { type QueueAccess, type QueueStreamOptions, queueNames, queueStreams } from "@fn/queue"
import { createMemoryRegistry, type FunctionManifest, type Registry } from "@fn/registry"
import { startTestServer, type TestServer, tempDir, until } from "@fn/testing"
import { type RuntimeOptions, type RuntimeService, startRuntime } from "../../src/index.js"
import type { LogLine } from "../test-host.js"

/** A result as it is stored. */
export interface StoredResult {
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  /** `code reason` of a failure. */
  readonly failure: string | undefined
}

/** What a test publishes with. */
export interface Enqueue {
  readonly id?: string
  readonly lines?: string
  readonly data?: string
  readonly namespace?: string
}

/** What the server tells of a consumer, as far as tests look at it. */
export interface ConsumerInfo {
  readonly num_pending: number
  readonly num_ack_pending: number
  readonly num_waiting: number
}

export interface QueuePlatform extends AsyncDisposable {
  readonly server: TestServer
  readonly registry: Registry
  readonly nc: NatsConnection
  readonly access: QueueAccess
  readonly lines: LogLine[]
  readonly hosts: RuntimeService[]
  host(options?: Partial<RuntimeOptions>): Promise<RuntimeService>
  deploy(name: string, manifest?: Partial<FunctionManifest>): Promise<void>
  /** Stores an invocation and resolves with its id. */
  enqueue(name: string, options?: Enqueue): Promise<string>
  result(id: string, timeoutMs?: number): Promise<StoredResult>
  /** Messages of a stream, oldest first. */
  messages(stream: string, subject: string): Promise<{ subject: string; headers: Map<string, string>; text: string; seq: number }[]>
  depth(): Promise<number>
  /** Dead letters of a function, once there is one; their reasons. */
  deadLetters(name: string): Promise<{ headers: Map<string, string>; text: string }[]>
  /** Records of a function in the stream, as `status attempt`. */
  records(name: string): Promise<string[]>
  /** State of a function's consumer as the server tells it. */
  consumer(name: string): Promise<ConsumerInfo>
}

/** Options of {@link startQueuePlatform}. */
export interface PlatformOptions {
  readonly builtins?: Readonly<Record<string, FunctionModule["execute"]>>
  readonly binary?: string
  readonly streams?: QueueStreamOptions
  /** Hosts to begin with. Default 1. */
  readonly hosts?: number
}

export async function startQueuePlatform(options: PlatformOptions = {}): Promise<QueuePlatform> {
  const server = await startTestServer(options.binary === undefined ? {} : { binary: options.binary })
  const registry = createMemoryRegistry()
  const nc = await server.connect()
  const access: QueueAccess = { nc, inbox: new ReplyInbox(nc), names: queueNames() }
  const hosts: RuntimeService[] = []
  const hostConnections: NatsConnection[] = []
  const folders: AsyncDisposable[] = []
  const lines: LogLine[] = []
  const logger = createLogger((level, message, fields) => lines.push({ level, message, fields }))
  for (const stream of queueStreams(options.streams)) await requestApi(access.inbox, `STREAM.CREATE.${stream.name}`, { body: stream })
  const platform: QueuePlatform = {
    server,
    registry,
    nc,
    access,
    lines,
    hosts,
    host: async (more = {}) => {
      const folder = await tempDir("fn-queue-")
      folders.push(folder)
      const limits = { spares: false, ...more.limits }
      const builtins = options.builtins ?? {}
      const hostNc = more.nc ?? (await server.connect())
      hostConnections.push(hostNc)
      const host = await startRuntime({ nc: hostNc, registry, dataDir: folder.path, logger, builtins, ...more, limits })
      hosts.push(host)
      return host
    },
    deploy: async (name, manifest = {}) => {
      await registry.deploy({ name, language: "js", runtime: "builtin", ...manifest }, { awaitServed: false })
      // The memory registry tells hosts at once; a round trip of each makes its subscription known to the server.
      await Promise.all(hostConnections.filter((host) => !host.isClosed()).map((host) => host.flush()))
    },
    enqueue: async (name, { id = newId(), lines: more = "", data = '{"n":1}', namespace = "default" } = {}) => {
      const ids = headerLine(Header.invocationId, id) + headerLine("Nats-Msg-Id", id)
      await publishAcked(access.inbox, access.names.subjects.queue({ namespace, name }), { lines: ids + more, data })
      return id
    },
    result: async (id, timeoutMs = 20_000) => {
      const subject = access.names.subjects.result("default", id)
      const found = await until(() => findMessage(access.inbox, access.names.results, { lastOf: subject }), {
        name: `the result of ${id}`,
        timeoutMs,
      })
      const headers = headersOf(found.lines)
      const code = headers.get(Header.errorCode)
      return {
        headers,
        text: Buffer.from(found.data).toString(),
        failure: code === undefined ? undefined : `${code} ${headers.get(Header.errorReason)}`,
      }
    },
    messages: async (stream, subject) => {
      const found = []
      for (let from = 1; ; ) {
        const message = await findMessage(access.inbox, stream, { nextOf: subject, from })
        if (!message) return found
        from = message.seq + 1
        found.push({
          subject: message.subject,
          seq: message.seq,
          headers: headersOf(message.lines),
          text: Buffer.from(message.data).toString(),
        })
      }
    },
    depth: async () => {
      const info = await requestApi<{ state: { messages: number } }>(access.inbox, `STREAM.INFO.${access.names.queue}`)
      return info.state.messages
    },
    deadLetters: (name) =>
      until(
        async () => {
          const letters = await platform.messages(
            access.names.deadLetters,
            access.names.subjects.deadLetter({ namespace: "default", name }),
          )
          return letters.length > 0 && letters
        },
        { name: `a dead letter of ${name}`, timeoutMs: 20_000 },
      ),
    records: async (name) => {
      const found = await platform.messages(access.names.executions, access.names.subjects.executions({ name }))
      return found.map(({ text }) => {
        const { status, attempt } = JSON.parse(text) as { status: string; attempt: number }
        return `${status} ${attempt}`
      })
    },
    consumer: (name) => requestApi(access.inbox, `CONSUMER.INFO.${access.names.queue}.default=${name}`),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(hosts.map((host) => host.close()))
      access.inbox.dispose()
      await server[Symbol.asyncDispose]()
      for (const folder of folders) await folder[Symbol.asyncDispose]()
    },
  }
  try {
    for (let count = 0; count < (options.hosts ?? 1); count++) await platform.host()
  } catch (thrown) {
    await platform[Symbol.asyncDispose]()
    throw FnError.from(thrown)
  }
  return platform
}

/** Header lines as a map. */
export function headersOf(lines: string): Map<string, string> {
  const headers = new Map<string, string>()
  readHeaderBlock(Buffer.from(`NATS/1.0\r\n${lines}\r\n`), (name, value) => headers.set(name, value))
  return headers
}
