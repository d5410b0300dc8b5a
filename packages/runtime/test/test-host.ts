import { createLogger, type Logger } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { createMemoryRegistry, type DeployOptions, type FunctionManifest, type Registry } from "@fn/registry"
import { startTestServer, type TestServer, tempDir } from "@fn/testing"
import { headers, type Msg } from "@nats-io/transport-node"
import { type ExecutionReport, type RuntimeOptions, type RuntimeService, startRuntime } from "../src/index.js"

/** One line a host logged. */
export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A host on a server of its own, and a caller that knows nothing but NATS. */
export interface TestHost extends AsyncDisposable {
  readonly server: TestServer
  readonly registry: Registry
  readonly runtime: RuntimeService
  /** The caller's connection; the host has another. */
  readonly nc: NatsConnection
  readonly lines: LogLine[]
  readonly reports: ExecutionReport[]
  readonly logger: Logger
  /** Resolves when the host serves it. */
  deploy(manifest: FunctionManifest, options?: DeployOptions): Promise<void>
  deployModule(name: string, source: string, manifest?: Partial<FunctionManifest>): Promise<void>
  deployBuiltin(name: string, manifest?: Partial<FunctionManifest>): Promise<void>
  deployPlugin(name: string, command: string[], manifest?: Partial<FunctionManifest>): Promise<void>
  request(subject: string, payload: string | Uint8Array, lines?: Record<string, string>, timeoutMs?: number): Promise<Msg>
}

/** Starts a host with a memory registry; use it as `await using host = await startTestHost()`. */
export async function startTestHost(options: Partial<RuntimeOptions> = {}): Promise<TestHost> {
  const folder = await tempDir("fn-host-")
  const server = await startTestServer()
  const registry = options.registry ?? createMemoryRegistry()
  const lines: LogLine[] = []
  const reports: ExecutionReport[] = []
  const logger = createLogger((level, message, fields) => lines.push({ level, message, fields }))
  const nc = await server.connect()
  const hostNc = await server.connect()
  const runtime = await startRuntime({
    nc: hostNc,
    dataDir: folder.path,
    logger,
    onExecution: (report) => reports.push(report),
    // Nobody has made the streams.
    queue: false,
    ...options,
    registry,
  })
  const deploy = async (manifest: FunctionManifest, deployed: DeployOptions = {}): Promise<void> => {
    await registry.deploy(manifest, { awaitServed: false, ...deployed })
    // The memory registry tells the host synchronously; a round trip of the host makes its subscription known to the server.
    await hostNc.flush()
  }
  return {
    server,
    registry,
    runtime,
    nc,
    lines,
    reports,
    logger,
    deploy,
    deployModule: (name, source, manifest = {}) =>
      deploy({ name, language: "js", runtime: "module", ...manifest }, { artifact: Buffer.from(source) }),
    deployBuiltin: (name, manifest = {}) => deploy({ name, language: "js", runtime: "builtin", ...manifest }),
    deployPlugin: (name, command, manifest = {}) => deploy({ name, language: "js", runtime: "plugin", command, ...manifest }),
    request: (subject, payload, fields = {}, timeoutMs = 10_000) => {
      const block = headers()
      for (const [name, value] of Object.entries(fields)) block.set(name, value)
      return nc.request(subject, payload, { timeout: timeoutMs, headers: block })
    },
    [Symbol.asyncDispose]: async () => {
      await runtime.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** One header of a reply, in its exact case. */
export function header(msg: Msg, name: string): string | undefined {
  return msg.headers?.get(name) || undefined
}

/** `code reason` of an error reply. */
export function failure(msg: Msg): string {
  return `${header(msg, "Fn-Error-Code")} ${header(msg, "Fn-Error-Reason")}`
}
