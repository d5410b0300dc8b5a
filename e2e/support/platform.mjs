/**
 * A whole platform for one test: nats-server, buckets, hosts and gateway as processes of their own, a client, and a connection that knows
 * nothing but NATS.
 */
import { connectClient } from "@fn/client"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { startTestServer, tempDir } from "@fn/testing"
import { startApp } from "./app.mjs"

/** @typedef {import("./app.mjs").App & { host: string, health: string }} Host */

/**
 * The NATS that a platform is on: a test server, or several.
 * @typedef {{ url: string, connect(): Promise<import("@fn/nats").NatsConnection> } & AsyncDisposable} Nats
 */

/** See {@link startPlatform}. */
/** @template {Nats} [Server=import("@fn/testing").TestServer] */
export class Platform {
  /** @type {Host[]} */
  hosts = []
  /** @type {import("./app.mjs").App | undefined} */
  #gateway
  /** @type {string} Address of the gateway, if there is one. */
  http = ""
  #hostCount = 0

  /**
   * @param {Server} server
   * @param {import("@fn/testing").TempDir} folder
   * @param {import("@fn/nats").NatsConnection} nc
   * @param {import("@fn/registry").Registry} registry
   * @param {import("@fn/client").Client} client
   */
  constructor(server, folder, nc, registry, client) {
    this.server = server
    this.folder = folder
    /** Another connection than the client's. */
    this.nc = nc
    this.registry = registry
    this.client = client
  }

  /**
   * Starts a host and waits until it takes calls.
   * @param {readonly string[]} [args]
   * @param {string} [host] id; its data folder has the same name
   * @param {Readonly<Record<string, string>>} [env]
   * @returns {Promise<Host>}
   */
  async startHost(args = [], host = `host-${++this.#hostCount}`, env = {}) {
    const dataDir = this.folder.file(host)
    // Most functions of these tests are files of this repository, which a sandbox does not show.
    const isolation = args.includes("--isolation") ? [] : ["--isolation", "dev"]
    const app = startApp(
      "runtime-service",
      ["--nats-url", this.server.url, "--data-dir", dataDir, "--host", host, "--health-port", "0", ...isolation, ...args],
      { env },
    )
    try {
      const { health } = await app.logged("runtime-service ready")
      const started = Object.assign(app, { host, health: String(health) })
      this.hosts.push(started)
      return started
    } catch (thrown) {
      await app.dispose()
      throw thrown
    }
  }

  /** Starts the gateway and waits until it takes requests. @returns {Promise<void>} */
  async startGateway() {
    this.#gateway = startApp("gateway", ["--nats-url", this.server.url, "--http-port", "0"])
    this.http = String((await this.#gateway.logged("gateway ready")).url)
  }

  /**
   * Deploys a module function whose bundle is `source`, and waits until every live host serves it.
   * @param {string} name
   * @param {string} source
   * @param {Partial<import("@fn/registry").FunctionManifest>} [manifest]
   */
  async deployModule(name, source, manifest = {}) {
    return this.registry.deploy({ name, language: "js", runtime: "module", ...manifest }, { artifact: Buffer.from(source) })
  }

  /**
   * Deploys a plugin that is a command on this machine.
   * @param {string} name
   * @param {string[]} command
   * @param {Partial<import("@fn/registry").FunctionManifest>} [manifest]
   */
  async deployPlugin(name, command, manifest = {}) {
    return this.registry.deploy({ name, language: "js", runtime: "plugin", command, ...manifest })
  }

  async dispose() {
    await this.client.close()
    await this.#gateway?.dispose()
    await Promise.all(this.hosts.map((host) => host.dispose()))
    await this.registry.close()
    await this.server[Symbol.asyncDispose]()
    await this.folder[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose]() {
    await this.dispose()
  }
}

/**
 * Starts one; use it as `await using platform = await startPlatform({ hosts: 2 })`.
 * @param {{ hosts?: number, gateway?: boolean, hostArgs?: readonly string[], server?: import("@fn/testing").TestServerOptions }} [options]
 * @returns {Promise<Platform>}
 */
export async function startPlatform(options = {}) {
  return startPlatformOn(await startTestServer(options.server), options)
}

/**
 * Starts one on a NATS that is there, and ends it with the platform.
 * @template {Nats} Server
 * @param {Server} server
 * @param {{ hosts?: number, gateway?: boolean, hostArgs?: readonly string[], replicas?: number }} [options]
 * @returns {Promise<Platform<Server>>}
 */
export async function startPlatformOn(server, options = {}) {
  const folder = await tempDir("fn-e2e-")
  const nc = await server.connect()
  await setupPlatform(nc, options.replicas === undefined ? {} : { replicas: options.replicas })
  const registry = await connectRegistry(nc)
  const platform = new Platform(server, folder, nc, registry, await connectClient({ servers: server.url }))
  try {
    await Promise.all(Array.from({ length: options.hosts ?? 1 }, () => platform.startHost(options.hostArgs)))
    if (options.gateway) await platform.startGateway()
    return platform
  } catch (thrown) {
    await platform.dispose()
    throw thrown
  }
}
