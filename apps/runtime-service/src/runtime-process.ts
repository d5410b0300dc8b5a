/**
 * The process around one host: connection, registry, runtime, metrics, health endpoints. Ends in the reverse order.
 */
import { resolve } from "node:path"
import { type HealthServer, startHealthServer } from "@fn/app"
import { DEFAULT_NAMESPACE, FnError, type FunctionModule, type Logger } from "@fn/core"
import { createPrometheusInstruments } from "@fn/metrics"
import { connectNats, type NatsConnection, type NatsOptions } from "@fn/nats"
import { connectRegistry, type Registry } from "@fn/registry"
import { DEFAULT_LIMITS, loadBuiltins, type RuntimeService, startRuntime } from "@fn/runtime"
import type { RuntimeServiceSettings } from "./config.js"
import { isolationSettings } from "./isolation-config.js"
import { announceIsolation } from "./isolation-notice.js"

/** A running runtime-service. */
export interface RuntimeProcess {
  readonly runtime: RuntimeService
  readonly health: HealthServer
  readonly closed: Promise<FnError | undefined>
  drain(): Promise<void>
}

/** Starts everything; what was started is ended again when a later part fails. @throws {FnError} as its parts do */
export async function startRuntimeProcess(settings: RuntimeServiceSettings, nats: NatsOptions, logger: Logger): Promise<RuntimeProcess> {
  const builtins = await modulesOf(settings.builtins)
  const nc = await connectNats({ name: "fn-runtime-service", ...nats })
  const undo: (() => Promise<unknown>)[] = [() => nc.close()]
  try {
    announceIsolation(settings, nc.getServer(), logger)
    const registry = await connectRegistry(nc, registryOptions(nats))
    undo.push(() => registry.close())
    const instruments = createPrometheusInstruments({ defaultMetrics: true })
    const runtime = await startRuntime({
      nc,
      registry,
      builtins,
      logger,
      instruments,
      dataDir: settings.dataDir,
      limits: {
        spares: settings.spares,
        idleMs: settings.idleMs,
        waitFactor: settings.waitFactor,
        circuit: { ...DEFAULT_LIMITS.circuit, failures: settings.circuitFailures },
        cancelGraceMs: settings.cancelGraceMs,
      },
      queue: settings.queue,
      isolation: isolationSettings(settings),
      callbacks: {
        allow: settings.callbackAllow,
        allowPrivate: settings.callbackAllowPrivate,
        crossNamespace: settings.callbackCrossNamespace,
      },
      ...(settings.host === undefined ? {} : { host: settings.host }),
      ...(nats.prefix === undefined ? {} : { subjects: { functions: nats.prefix } }),
      ...(nats.jsDomain === undefined ? {} : { jsDomain: nats.jsDomain }),
    })
    undo.push(() => runtime.close())
    const health = await startHealthServer({
      host: settings.healthHost,
      port: settings.healthPort,
      ready: () => runtime.phase === "ready" && !nc.isClosed(),
      details: () => ({ host: runtime.host, phase: runtime.phase, functions: runtime.status().functions.length }),
      metrics: async () => ({ contentType: instruments.contentType, text: await instruments.metrics() }),
    })
    logger.info("runtime-service ready", { host: runtime.host, health: health.url, nats: nc.getServer() })
    return { runtime, health, closed: runtime.closed, drain: () => drain(runtime, registry, nc, health, settings.drainMs) }
  } catch (thrown) {
    for (const step of undo.reverse()) await step()
    throw thrown
  }
}

async function drain(
  runtime: RuntimeService,
  registry: Registry,
  nc: NatsConnection,
  health: HealthServer,
  graceMs: number,
): Promise<void> {
  await runtime.drain({ graceMs })
  await registry.close()
  await nc.drain()
  await health.close()
}

function registryOptions({ prefix, jsDomain }: NatsOptions): { prefix?: string; jsDomain?: string } {
  return { ...(prefix === undefined ? {} : { prefix }), ...(jsDomain === undefined ? {} : { jsDomain }) }
}

/** The builtins of all files, by name. */
async function modulesOf(files: readonly string[]): Promise<Record<string, FunctionModule>> {
  const modules: Record<string, FunctionModule> = {}
  for (const file of files) {
    for (const { module, manifest } of await loadBuiltins(resolve(file), DEFAULT_NAMESPACE)) {
      if (modules[manifest.name]) throw FnError.of("INVALID_CONFIG", `builtin ${manifest.name} is there twice; the second time in ${file}`)
      modules[manifest.name] = module
    }
  }
  return modules
}
