/**
 * `fn dev`: NATS, a host, a gateway and a registry in one process, and the folders under watch.
 *
 * Phases: starting (each part after what it needs; whatever fails takes down what stands) → running → stopping (in reverse: no new
 * requests, running executions finish, then NATS). NATS is a child that the kernel ends with this process.
 */
import { join, relative, resolve } from "node:path"
import { type Client, connectClient } from "@fn/client"
import { FnError, formatRef, messageOf } from "@fn/core"
import { type Gateway, startGateway } from "@fn/gateway"
import { connectNats, findNatsServer, type NatsConnection, type NatsOptions, startNatsServer } from "@fn/nats"
import { connectRegistry, type Registry } from "@fn/registry"
import { type Builtin, type IsolationSettings, loadBuiltins, startRuntime } from "@fn/runtime"
import { registryOptions } from "../connection.js"
import type { Io } from "../io.js"
import type { DevConsole } from "./console.js"
import { DevFunction } from "./dev-function.js"
import { DevIsolation } from "./dev-isolation.js"
import { createDevLogger } from "./dev-logger.js"
import { setUpStores } from "./dev-stores.js"
import { baseVersion, contentDigest, devVersion } from "./dev-version.js"
import { lockDataDir } from "./lock.js"

/** How `fn dev` was asked to run. */
export interface DevOptions {
  /** Folders of functions, as the person wrote them. */
  readonly dirs: readonly string[]
  /** Absolute path. */
  readonly dataDir: string
  readonly namespace: string
  readonly isolation: IsolationSettings
  /** Absolute path of a module with builtins. */
  readonly builtins?: string | undefined
  readonly nats: NatsOptions
  /** Connect to the NATS of these options instead of starting one. */
  readonly natsElsewhere: boolean
  /** Of the NATS that is started; 0 is a free one. */
  readonly natsPort: number
  readonly httpPort: number
}

/** A running `fn dev`. */
export interface DevSession {
  readonly natsUrl: string
  readonly httpUrl: string
  /** Settles with what ended it, if anything but {@link stop} did: NATS or the host is gone. Never rejects. */
  readonly broken: Promise<FnError>
  /** Finishes what runs, then ends everything. */
  stop(): Promise<void>
}

/** What runs when `fn dev` is stopped has this long to finish. */
const GRACE_MS = 10_000
const MIN_GRACE_MS = 100

/**
 * Starts everything and deploys the folders; one that does not build is reported, and stays under watch.
 * @throws {FnError} PORT_IN_USE, DATA_DIR_IN_USE, NATS_SERVER_MISSING, NATS_UNREACHABLE, LOAD_FAILED …; nothing is left running then
 */
export async function startDevSession(options: DevOptions, io: Io, console: DevConsole): Promise<DevSession> {
  const closers: Closer[] = []
  const stop = async (): Promise<void> => {
    // One grace for all parts: a request that hangs in the gateway hangs in the host too.
    const end = performance.now() + GRACE_MS
    for (let close = closers.pop(); close; close = closers.pop()) {
      // One part that does not end well must not keep the others from ending.
      await close(Math.max(MIN_GRACE_MS, end - performance.now())).catch((thrown: unknown) =>
        console.warn(`while stopping: ${messageOf(thrown)}`),
      )
    }
  }
  try {
    return await start(options, { io, console, closers, stop })
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

/** Ends one part; what runs on it has `graceMs` to finish. */
type Closer = (graceMs: number) => Promise<unknown>

interface Context {
  readonly io: Io
  readonly console: DevConsole
  /** How to end what stands, in the order it was started. */
  readonly closers: Closer[]
  readonly stop: () => Promise<void>
}

async function start(options: DevOptions, context: Context): Promise<DevSession> {
  const { io, console, closers, stop } = context
  const lock = await lockDataDir(options.dataDir)
  closers.push(() => lock.release())
  const builtins = options.builtins === undefined ? [] : await loadBuiltins(options.builtins, options.namespace)

  const { natsOptions, serverGone } = await openNats(options, context)
  const nc = await connectNats({ name: "fn dev", ...natsOptions })
  closers.push(() => nc.close())
  const natsUrl = `nats://${nc.getServer()}`
  if (!isLoopback(natsUrl)) console.warn(`whoever may deploy to ${natsUrl} runs code on this machine, not sandboxed`)
  const scope = registryOptions(natsOptions)
  await setUpStores(nc, scope, (text) => console.warn(text))
  const registry = await connectRegistry(nc, scope)
  closers.push(() => registry.close())

  const runtime = await startRuntime({
    nc,
    registry,
    dataDir: join(options.dataDir, "host"),
    builtins: Object.fromEntries(builtins.map(({ module, manifest }) => [`${options.namespace}/${manifest.name}`, module])),
    logger: createDevLogger(console),
    isolation: options.isolation,
    onExecution: (report) => console.execution(report, options.namespace),
    // Who develops a receiver of results runs it here too.
    callbacks: { allow: ["localhost:*", "127.0.0.1:*"], allowPrivate: true },
    ...(natsOptions.prefix === undefined ? {} : { subjects: { functions: natsOptions.prefix } }),
  })
  closers.push((graceMs) => runtime.drain({ graceMs }))
  const gateway = await openGateway(nc, registry, options, context, scope)

  for (const builtin of builtins) await deployBuiltin(registry, builtin, console)
  await watchFolders(options, registry, context)
  io.signal.throwIfAborted()
  const hostGone = runtime.closed.then((error) => error ?? new Promise<FnError>(() => undefined))
  return { natsUrl, httpUrl: gateway.url, broken: Promise.race([serverGone, hostGone]), stop }
}

/** A NATS of our own, unless one was named. */
async function openNats(
  options: DevOptions,
  { closers, console }: Context,
): Promise<{ natsOptions: NatsOptions; serverGone: Promise<FnError> }> {
  if (options.natsElsewhere) return { natsOptions: options.nats, serverGone: new Promise(() => undefined) }
  const { path } = await findNatsServer({ onProgress: (line) => console.line(console.style.dim(line)) })
  const server = await startNatsServer({ binary: path, port: options.natsPort, storeDir: join(options.dataDir, "nats") }).catch(
    (thrown: unknown) => {
      throw portHint(FnError.from(thrown), "--nats-port", options.natsPort)
    },
  )
  let stopping = false
  closers.push(() => {
    stopping = true
    return server.stop()
  })
  const serverGone = server.exited.then(() =>
    stopping ? new Promise<FnError>(() => undefined) : FnError.of("NATS_SERVER_EXITED", `nats-server ended: ${server.logTail()}`),
  )
  const { prefix } = options.nats
  return { natsOptions: { servers: server.url, ...(prefix === undefined ? {} : { prefix }) }, serverGone }
}

function isLoopback(url: string): boolean {
  return /^nats:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\]):/.test(url)
}

async function openGateway(
  nc: NatsConnection,
  registry: Registry,
  options: DevOptions,
  { closers }: Context,
  scope: { prefix?: string; jsDomain?: string },
): Promise<Gateway> {
  const client: Client = await connectClient({ nc, registry, source: "/fn/dev", ...scope })
  closers.push((graceMs) => client.drain({ graceMs }))
  const gateway = await startGateway({ client, nc, port: options.httpPort }).catch((thrown: unknown) => {
    throw httpPortError(FnError.from(thrown), options.httpPort)
  })
  closers.push((graceMs) => gateway.close({ graceMs }))
  return gateway
}

async function deployBuiltin(registry: Registry, { manifest }: Builtin, console: DevConsole): Promise<void> {
  const ref = { namespace: manifest.namespace as string, name: manifest.name }
  const live = await registry.findFunction(ref)
  const version = live === undefined ? (manifest.version as string) : baseVersion(live.record.activeVersion)
  const result = await registry.deploy({ ...manifest, version }, { deployedBy: "fn dev" }).catch((thrown: unknown) => {
    if (!FnError.is(thrown) || thrown.reason !== "VERSION_EXISTS") throw thrown
    return registry.deploy({ ...manifest, version: devVersion(version, contentDigest(undefined, manifest)) }, { deployedBy: "fn dev" })
  })
  console.deployed("builtin", formatRef(result.ref), result.unchanged ? "as before" : "")
}

async function watchFolders(options: DevOptions, registry: Registry, { io, console, closers }: Context): Promise<void> {
  const { namespace } = options
  const isolation = new DevIsolation(options.isolation)
  closers.push(() => isolation.close())
  const functions = options.dirs.map((given) => {
    const dir = resolve(io.cwd, given)
    return new DevFunction({ dir, shown: relative(io.cwd, dir) || ".", namespace, registry, console, isolation, io })
  })
  closers.push(() => Promise.all(functions.map((fn) => fn.close())))
  // One after the other: compilers take all cores as it is.
  for (const fn of functions) await fn.start()
}

function httpPortError(error: FnError, port: number): FnError {
  const { code } = (error.cause ?? {}) as { code?: unknown }
  if (code !== "EADDRINUSE") return error
  return portHint(
    FnError.of("PORT_IN_USE", `the gateway cannot listen on 127.0.0.1:${port}: something else does already`, { cause: error }),
    "--http-port",
    port,
  )
}

/** A taken port is the most frequent trouble of a first run: say the way out in full. */
function portHint(error: FnError, flag: string, port: number): FnError {
  if (error.reason !== "PORT_IN_USE") return error
  return FnError.of("PORT_IN_USE", `port ${port} is taken: ${flag} 0 takes a free one, ${flag} ${port + 1} another\n${error.message}`, {
    cause: error,
  })
}
