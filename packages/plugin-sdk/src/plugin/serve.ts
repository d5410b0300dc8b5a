/** The heavy half of servePlugin: everything that needs gRPC. */
import { type FunctionModule, type Logger, PLUGIN_HANDSHAKE } from "@fn/core"
import { createHclogLogger, serveGoPlugin } from "@fn/go-plugin"
import { plugin } from "@fn/proto"
import type { DefinedFunction } from "../function-types.js"
import type { ServePluginOptions } from "../serve-plugin.js"
import { createFunctionServer, type FunctionServer } from "./function-server.js"

/** go-plugin gives the hook a second before it ends the process. */
const SHUTDOWN_GRACE_MS = 800

/** Serves until the host ends the process. */
export async function serveFunction(module: FunctionModule, options: ServePluginOptions): Promise<void> {
  const described = describe(module, options)
  const log = options.logger ?? createHclogLogger({ name: described.name })
  const server = createFunctionServer(module, { ...described, log })
  await serveGoPlugin({
    handshake: PLUGIN_HANDSHAKE,
    versions: { 1: (grpc) => grpc.addService(plugin.FunctionService, server.service) },
    logger: log,
    // A host that skipped fn.plugin.v1's own Shutdown still gets the function's run.
    onShutdown: () => finish(server, log),
    ...(options.test ? { test: options.test } : {}),
  })
}

function describe(module: FunctionModule, options: ServePluginOptions) {
  const { name, configSchema, toManifest } = module as Partial<DefinedFunction>
  return {
    name: options.name ?? name ?? "function",
    version: options.version ?? "0.0.0",
    ...(options.description ? { description: options.description } : {}),
    configSchema,
    maxConcurrency: toManifest?.call(module).concurrency ?? 0,
  }
}

async function finish(server: FunctionServer, log: Logger): Promise<void> {
  const abandoned = await server.shutdown(SHUTDOWN_GRACE_MS)
  if (abandoned > 0) log.warn("executions were still running at the end", { abandoned })
}
