/** The service fn.plugin.v1.Function over one function: what serveGoPlugin registers. docs/plugin-protocol.md */
import { DEFAULT_NAMESPACE, FnError, type FunctionIdentity, type FunctionModule, handlerError, type Logger, newId } from "@fn/core"
import { msFromDuration, STATUS_DETAILS_TRAILER, statusFromError } from "@fn/core/plugin-wire"
import { plugin } from "@fn/proto"
import { Metadata, type ServerErrorResponse, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js"
import { serveExecuteStream } from "./execute-stream.js"
import { Executions, type LoadedFunction } from "./executions.js"

/** How a function describes itself to hosts. */
export interface FunctionServerOptions {
  readonly name: string
  readonly version: string
  readonly description?: string
  /** JSON Schema of the configuration. */
  readonly configSchema?: Readonly<Record<string, unknown>> | undefined
  /** Executions at once; 0: whatever the host likes. */
  readonly maxConcurrency: number
  readonly log: Logger
}

/** The service, and how it ends. */
export interface FunctionServer {
  readonly service: plugin.FunctionServer
  /** Refuses calls, waits for the running ones, runs the function's shutdown. Once, however often it is called; resolves with the calls left behind. */
  shutdown(graceMs: number): Promise<number>
}

const SDK_NAME = "@fn/plugin-sdk"
const SDK_VERSION = "0.1.0"
/** Open calls of a function that names no concurrency. */
const DEFAULT_CALL_CREDIT = 1024
/** A grace for a host that names none. */
const DEFAULT_GRACE_MS = 1_000

/** A service over `module`. */
export function createFunctionServer(module: FunctionModule, options: FunctionServerOptions): FunctionServer {
  const server = new Server(module, options)
  return { service: server.service, shutdown: (graceMs) => server.shutdown(graceMs) }
}

class Server {
  readonly service: plugin.FunctionServer
  readonly #module: FunctionModule
  readonly #options: FunctionServerOptions
  readonly #executions = new Executions()
  #initializing: Promise<plugin.InitializeResponse> | undefined
  #loaded: LoadedFunction | undefined
  #shutdown: Promise<number> | undefined

  constructor(module: FunctionModule, options: FunctionServerOptions) {
    this.#module = module
    this.#options = options
    this.service = {
      describe: (_call, callback) => callback(null, this.#describe()),
      initialize: (call, callback) => answer(callback, () => this.#initialize(call.request)),
      execute: (call, callback) => this.#execute(call, callback),
      executeStream: (stream) => {
        const loaded = this.#loaded
        if (!loaded) return void stream.emit("error", rpcError(notInitialized()))
        const callCredit = options.maxConcurrency || DEFAULT_CALL_CREDIT
        serveExecuteStream(stream, { executions: this.#executions, loaded, callCredit, log: options.log })
      },
      shutdown: (call, callback) =>
        answer(callback, async () => {
          const grace = call.request.grace
          return { callsAbandoned: BigInt(await this.shutdown(grace ? msFromDuration(grace) : DEFAULT_GRACE_MS)) }
        }),
    }
  }

  shutdown(graceMs: number): Promise<number> {
    this.#shutdown ??= this.#end(graceMs)
    return this.#shutdown
  }

  #describe(): plugin.DescribeResponse {
    const { name, version, description, configSchema, maxConcurrency } = this.#options
    return {
      name,
      version,
      type: plugin.FunctionType.FUNCTION_TYPE_STATELESS,
      capabilities: [
        plugin.Capability.CAPABILITY_EXECUTE_STREAM,
        plugin.Capability.CAPABILITY_CANCEL,
        plugin.Capability.CAPABILITY_PARTIAL_OUTPUT,
      ],
      description: description ?? "",
      accepts: [...(this.#module.accepts ?? [])],
      emits: [...(this.#module.emits ?? [])],
      configSchemaJson: configSchema ? JSON.stringify(configSchema) : "",
      maxConcurrency,
      // grpc-js is told to take messages of any size; the largest event of the platform is 64 MiB.
      maxReceiveBytes: 80n * 1024n * 1024n,
      sdkName: SDK_NAME,
      sdkVersion: SDK_VERSION,
      protocolMinor: 0,
      labels: {},
    }
  }

  async #initialize(request: plugin.InitializeRequest): Promise<plugin.InitializeResponse> {
    if (this.#initializing) throw new FnError("failed_precondition", "this plugin is initialized already")
    this.#initializing = this.#load(request)
    return await this.#initializing
  }

  async #load(request: plugin.InitializeRequest): Promise<plugin.InitializeResponse> {
    const fn = identityOf(request, this.#options)
    const config = (request.config ?? {}) as Readonly<Record<string, unknown>>
    try {
      await this.#module.initialize?.({ fn, config, secrets: request.secrets, log: this.#options.log })
    } catch (thrown) {
      if (!FnError.is(thrown)) this.#options.log.error("initialize failed", { error: thrown })
      return { diagnostics: diagnosticsOf(FnError.from(thrown, "failed_precondition", "INIT_FAILED")) }
    }
    this.#loaded = { module: this.#module, fn, config, secrets: request.secrets }
    return { diagnostics: [] }
  }

  #execute(call: ServerUnaryCall<plugin.ExecuteRequest, plugin.ExecuteResponse>, callback: sendUnaryData<plugin.ExecuteResponse>): void {
    if (!this.#loaded) return callback(rpcError(notInitialized()))
    const { event, context } = call.request
    const log = context ? this.#options.log.child({ invocationId: context.invocationId }) : this.#options.log
    const running = this.#executions.start(
      this.#loaded,
      { event, context, timeoutMs: timeLeft(call), log },
      { succeeded: (events) => callback(null, { events }), failed: (error) => callback(rpcError(error)) },
    )
    call.on("cancelled", () => running?.cancel(FnError.of("CANCELLED", "the caller cancelled")))
  }

  async #end(graceMs: number): Promise<number> {
    const abandoned = await this.#executions.drain(graceMs)
    const loaded = this.#loaded
    if (loaded) await loaded.module.shutdown?.(loaded.fn)
    return abandoned
  }
}

/** Answers a unary call with what `work` gives or throws. */
function answer<Response>(callback: sendUnaryData<Response>, work: () => Promise<Response>): void {
  work().then(
    (response) => callback(null, response),
    (thrown) => callback(rpcError(handlerError(thrown))),
  )
}

/** An error as gRPC sends it: code and message in the clear, the rest in the standard trailer. */
function rpcError(error: FnError): Partial<ServerErrorResponse> & Error {
  const sent = statusFromError(error)
  const metadata = new Metadata()
  metadata.set(STATUS_DETAILS_TRAILER, Buffer.from(plugin.Status.encode(sent).finish()))
  return Object.assign(new Error(sent.message), { code: sent.code, details: sent.message, metadata })
}

/** One diagnostic per wrong key of the config, or one for all that is wrong. */
function diagnosticsOf(error: FnError): plugin.Diagnostic[] {
  const severity = plugin.Diagnostic_Severity.SEVERITY_ERROR
  const issues = error.reason === "INVALID_CONFIG" ? error.details?.issues : undefined
  if (!Array.isArray(issues)) return [{ severity, summary: error.message, detail: error.reason, configPath: "" }]
  return (issues as { pointer?: string; message: string }[]).map(({ pointer, message }) => ({
    severity,
    summary: message,
    detail: error.reason,
    configPath: pointer ?? "",
  }))
}

/** The identity a host of ours sends; another host knows neither namespace nor version. */
function identityOf({ instanceId, hostMetadata }: plugin.InitializeRequest, options: FunctionServerOptions): FunctionIdentity {
  return {
    namespace: hostMetadata["fn.namespace"] || DEFAULT_NAMESPACE,
    name: hostMetadata["fn.name"] || options.name,
    version: hostMetadata["fn.version"] || options.version,
    instance: instanceId || newId(),
  }
}

function timeLeft(call: ServerUnaryCall<unknown, unknown>): number | undefined {
  const deadline = call.getDeadline()
  const ms = typeof deadline === "number" ? deadline : deadline.getTime()
  return Number.isFinite(ms) ? Math.max(0, ms - Date.now()) : undefined
}

function notInitialized(): FnError {
  return new FnError("failed_precondition", "this plugin is not initialized: Initialize comes first")
}
