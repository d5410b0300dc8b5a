/**
 * Starts plugin instances: any program that speaks go-plugin and serves fn.plugin.v1.Function. docs/plugin-protocol.md
 *
 * Phases of a start: artifact checked → launched → described → initialized → stream accepted → an instance. All of it within one time-out;
 * a failure in any of them ends the process before `start` rejects.
 */
import { tmpdir } from "node:os"
import { FnError, type Logger, PLUGIN_HANDSHAKE } from "@fn/core"
import { launchPlugin, type PinnedFile, type PluginProcess } from "@fn/go-plugin"
import { plugin } from "@fn/proto"
import { commandLine, type FunctionDefinition } from "@fn/registry"
import { Metadata, type ServiceError } from "@grpc/grpc-js"
import type { VerifiedFiles } from "../../catalog/verified-files.js"
import { FunctionLauncher } from "../../isolation/launcher.js"
import type { Instance, InstanceSpec, InstanceStarter } from "../instance.js"
import { LineSplitter } from "../line-splitter.js"
import { dropPast } from "../paced-output.js"
import { type IsolatedPlugin, isolatedPlugin } from "./isolated-plugin.js"
import type { PluginCalls } from "./plugin-calls.js"
import { callError, initializeError, startError } from "./plugin-error.js"
import { PluginInstance } from "./plugin-instance.js"
import { StreamCalls } from "./stream-calls.js"
import { UnaryCalls } from "./unary-calls.js"

/** How plugin instances start. */
export interface PluginStarterOptions {
  readonly logger: Logger
  /** From the launch to the first possible call, ms. Default 10 000. */
  readonly startTimeoutMs?: number
  /** Encrypt the connection to the plugin with certificates made for it. Default true. */
  readonly autoMtls?: boolean
  /** Where plugins make their sockets; short, since a socket's path has 103 bytes at most. Default: the system's temporary folder. */
  readonly socketDir?: string
  /** Default: plain processes for functions that ask for nothing else. */
  readonly launcher?: FunctionLauncher
  /** Files that need not be hashed before they are launched. Default: none. */
  readonly verified?: VerifiedFiles
}

const DEFAULT_START_TIMEOUT_MS = 10_000
/** Of one message of a plugin: four of the largest events. A packed one could else unpack to all of the host's memory. */
const MAX_REPLY_BYTES = 256 * 1024 * 1024
/** What a gRPC server takes unless it says otherwise. */
const DEFAULT_RECEIVE_BYTES = 4 * 1024 * 1024

/** The starter of runtime `plugin`. */
export function createPluginStarter(options: PluginStarterOptions): InstanceStarter {
  const launcher = options.launcher ?? new FunctionLauncher()
  return {
    start: async (spec, signal) => await new PluginStart(spec, signal, options, launcher).run(),
    close: async () => {
      if (launcher !== options.launcher) await launcher.close()
    },
  }
}

class PluginStart {
  readonly #spec: InstanceSpec
  readonly #signal: AbortSignal
  readonly #options: PluginStarterOptions
  readonly #launcher: FunctionLauncher
  readonly #startTimeoutMs: number
  readonly #deadline: number

  #isolated: IsolatedPlugin | undefined

  constructor(spec: InstanceSpec, signal: AbortSignal, options: PluginStarterOptions, launcher: FunctionLauncher) {
    this.#spec = spec
    this.#launcher = launcher
    this.#signal = signal
    this.#options = options
    this.#startTimeoutMs = options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS
    this.#deadline = Date.now() + this.#startTimeoutMs
  }

  async run(): Promise<Instance> {
    const process = await this.#launch().catch(async (thrown) => {
      throw (await this.#isolated?.limit()) ?? thrown
    })
    // Ending the process ends whatever is waited for; it is the one way to give up that works in every phase.
    const abort = (): void => void process.close({ shutdownTimeoutMs: 0, graceMs: 0 })
    this.#signal.addEventListener("abort", abort, { once: true })
    try {
      return await this.#prepare(process)
    } catch (thrown) {
      const error = this.#signal.aborted ? FnError.from(this.#signal.reason, "cancelled") : await startError(process, thrown)
      await process.close({ shutdownTimeoutMs: 0, graceMs: 0 })
      throw (await this.#isolated?.limit()) ?? error
    } finally {
      this.#signal.removeEventListener("abort", abort)
    }
  }

  async #launch(): Promise<PluginProcess> {
    const { definition, artifactPath, logger } = this.#spec
    const isolated = await isolatedPlugin(this.#spec, this.#launcher, this.#signal)
    this.#isolated = isolated
    const [command, ...args] = isolated?.command ?? (commandLine(definition, artifactPath) as [string, ...string[]])
    const stdout = outputOf(logger, (line) => logger.info(line, { channel: "stdout" }))
    const stderr = outputOf(logger, (line) => logger.warn(line, { channel: "stderr" }))
    return await launchPlugin({
      ...(isolated ? { start: (program) => isolated.start(program) } : {}),
      command,
      args,
      env: definition.env,
      cwd: tmpdir(),
      handshake: { ...PLUGIN_HANDSHAKE, protocolVersions: [...PLUGIN_HANDSHAKE.protocolVersions] },
      autoMtls: this.#options.autoMtls ?? true,
      startTimeoutMs: this.#startTimeoutMs,
      maxReceiveBytes: MAX_REPLY_BYTES,
      checksums: await this.#checksums(definition.artifact, artifactPath),
      logger,
      ...(this.#options.socketDir ? { socketDir: this.#options.socketDir } : {}),
      onStdout: stdout,
      onStderr: stderr,
      signal: this.#signal,
    })
  }

  /** An archive was checked before it was unpacked, and what lies at its path is a folder. */
  async #checksums(artifact: FunctionDefinition["artifact"], path: string | undefined): Promise<PinnedFile[]> {
    if (!artifact || artifact.archive || path === undefined) return []
    return (await this.#options.verified?.holds(path, artifact.digest)) ? [] : [{ path, sha256: artifact.digest }]
  }

  async #prepare(process: PluginProcess): Promise<Instance> {
    const client = process.createClient(plugin.FunctionClient)
    const description = await this.#describe(client)
    await this.#initialize(client)
    let instance: PluginInstance | undefined
    const calls: PluginCalls = description.capabilities.includes(plugin.Capability.CAPABILITY_EXECUTE_STREAM)
      ? await this.#openStream(client, description, (thrown) => void instance?.broke(thrown))
      : new UnaryCalls(client, { maxReceiveBytes: receiveBytesOf(description), explain: (thrown) => callError(process, thrown) })
    instance = new PluginInstance({
      id: this.#spec.fn.instance,
      process,
      client,
      calls,
      accepts: description.accepts.length > 0 ? description.accepts : undefined,
      logger: this.#spec.logger,
      limit: async () => await this.#isolated?.limit(),
      usage: async () => await this.#isolated?.usage(),
    })
    return instance
  }

  async #describe(client: plugin.FunctionClient): Promise<plugin.DescribeResponse> {
    const request: plugin.DescribeRequest = { hostName: "fn-runtime", hostVersion: "", hostProtocolMinor: 0 }
    const description = await this.#ask<plugin.DescribeResponse>((meta, options, done) => client.describe(request, meta, options, done))
    if (description.type > plugin.FunctionType.FUNCTION_TYPE_STATELESS)
      throw FnError.of("PLUGIN_PROTOCOL", `the plugin serves functions of a type (${description.type}) that this host does not run`)
    return description
  }

  async #initialize(client: plugin.FunctionClient): Promise<void> {
    const { fn, definition, logger } = this.#spec
    const request: plugin.InitializeRequest = {
      config: definition.config,
      secrets: {},
      instanceId: fn.instance,
      logLevel: plugin.LogLevel.LOG_LEVEL_TRACE,
      workDir: tmpdir(),
      hostMetadata: { "fn.namespace": fn.namespace, "fn.name": fn.name, "fn.version": fn.version },
    }
    const { diagnostics } = await this.#ask<plugin.InitializeResponse>((meta, options, done) =>
      client.initialize(request, meta, options, done),
    )
    for (const { severity, summary, detail, configPath } of diagnostics)
      if (severity === plugin.Diagnostic_Severity.SEVERITY_WARNING) logger.warn(summary, { detail, configPath })
    const error = initializeError(diagnostics)
    if (error) throw error
  }

  async #openStream(
    client: plugin.FunctionClient,
    description: plugin.DescribeResponse,
    onBroken: (thrown: unknown) => void,
  ): Promise<StreamCalls> {
    let ready = false
    return await new Promise<StreamCalls>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(FnError.of("PLUGIN_START_TIMEOUT", "the plugin did not accept the stream in time")),
        this.#left(),
      )
      const calls = new StreamCalls(client.executeStream(), {
        streamId: this.#spec.fn.instance,
        maxReceiveBytes: receiveBytesOf(description),
        partialOutput: description.capabilities.includes(plugin.Capability.CAPABILITY_PARTIAL_OUTPUT),
        logger: this.#spec.logger,
        onBroken: (thrown) => (ready ? onBroken(thrown) : fail(thrown)),
      })
      const fail = (thrown: unknown): void => {
        clearTimeout(timer)
        reject(thrown)
      }
      void calls.accepted.then(() => {
        ready = true
        clearTimeout(timer)
        resolve(calls)
      })
    })
  }

  /** One unary call within what is left of the time. */
  #ask<Response>(
    send: (metadata: Metadata, options: { deadline: number }, done: (error: ServiceError | null, response: Response) => void) => unknown,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      send(new Metadata(), { deadline: this.#deadline }, (error, response) => (error ? reject(error) : resolve(response)))
    })
  }

  #left(): number {
    return Math.max(1, this.#deadline - Date.now())
  }
}

function receiveBytesOf({ maxReceiveBytes }: plugin.DescribeResponse): number {
  return Number(maxReceiveBytes) || DEFAULT_RECEIVE_BYTES
}

function outputOf(logger: Logger, onLine: (line: string) => void): (bytes: Buffer) => void {
  const lines = new LineSplitter(onLine)
  const push = dropPast(
    (text) => lines.push(text),
    (characters) => logger.warn("the plugin prints faster than can be logged: some of it was dropped", { characters }),
  )
  // Cut anywhere, also inside a character.
  const decoder = new TextDecoder()
  return (bytes) => push(decoder.decode(bytes, { stream: true }))
}
