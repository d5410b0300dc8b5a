/**
 * A NATS service by ADR-32: discoverable, and honest about work that ends later than its handler returns.
 *
 * Ours because the client's package counts only the synchronous part of a handler, leaves fields out that other clients require, and
 * stops the whole service when one endpoint loses its subscription. Every field is always sent.
 * https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md
 */
import { FnError, type Logger, messageOf, newId, noopLogger } from "@fn/core"
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node"
import { fromNatsError } from "../connection/errors.js"
import { isReplySubject } from "../inbox/reply-subject.js"
import { type EndpointConfig, type EndpointInfo, type EndpointStats, ServiceEndpoint } from "./endpoint.js"

/** What a service is. */
export interface MicroServiceConfig {
  /** `[A-Za-z0-9_-]+`. */
  readonly name: string
  /** Unique among the running ones. Default: a new id. */
  readonly id?: string
  /** Semantic version. */
  readonly version: string
  readonly description?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly endpoints?: readonly EndpointConfig[]
  /** First token of the discovery subjects. Default `$SRV`. */
  readonly discoveryPrefix?: string
  /** Reply subjects answered. Default {@link REPLY_PREFIXES}; others are dropped. */
  readonly replyPrefixes?: readonly string[]
  readonly logger?: Logger
}

/** Answer to PING, and head of the others. */
export interface ServicePing {
  readonly type: string
  readonly name: string
  readonly id: string
  readonly version: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Answer to INFO. */
export interface ServiceInfo extends ServicePing {
  readonly description: string
  readonly endpoints: readonly EndpointInfo[]
}

/** Answer to STATS. */
export interface ServiceStats extends ServicePing {
  readonly started: string
  readonly endpoints: readonly EndpointStats[]
}

const TYPE = "io.nats.micro.v1"
const NAME = /^[A-Za-z0-9_-]+$/
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/

/**
 * Starts a service; once this resolves the server knows its subscriptions.
 * @throws {FnError} invalid_argument INVALID_CONFIG for a bad name, id or version; NATS_PERMISSION when a subject is refused; DISCONNECTED
 */
export async function startMicroService(nc: NatsConnection, config: MicroServiceConfig): Promise<MicroService> {
  const service = new MicroService(nc, config)
  await service.start()
  return service
}

/** A running service. */
export class MicroService {
  readonly name: string
  readonly id: string
  readonly version: string
  readonly startedAt: string = new Date().toISOString()
  readonly #nc: NatsConnection
  readonly #config: MicroServiceConfig
  readonly #log: Logger
  readonly #endpoints = new Map<string, ServiceEndpoint>()
  readonly #subscriptions: Subscription[] = []
  #stopping: Promise<void> | undefined

  constructor(nc: NatsConnection, config: MicroServiceConfig) {
    this.#nc = nc
    this.#config = config
    this.#log = config.logger ?? noopLogger
    this.name = checkToken("service name", config.name)
    this.id = checkToken("service id", config.id ?? newId())
    this.version = config.version
    if (!SEMVER.test(config.version)) throw invalid(`service version ${JSON.stringify(config.version)} is no semantic version`)
    for (const [key, value] of Object.entries(config.metadata ?? {}))
      if (typeof value !== "string") throw invalid(`service metadata ${key} must be a string`)
  }

  /** Subscribes; called by {@link startMicroService}. */
  async start(): Promise<void> {
    const refusals: FnError[] = []
    try {
      for (const endpoint of this.#config.endpoints ?? []) this.#listen(endpoint, refusals)
      this.#answer("PING", () => this.ping(), refusals)
      this.#answer("INFO", () => this.info(), refusals)
      this.#answer("STATS", () => this.stats(), refusals)
      await this.#settle(refusals)
    } catch (thrown) {
      await this.stop()
      throw fromNatsError(thrown, `starting service ${this.name}`)
    }
  }

  /** The endpoint called `name`. @throws {FnError} not_found */
  endpoint(name: string): ServiceEndpoint {
    const endpoint = this.#endpoints.get(name)
    if (!endpoint) throw new FnError("not_found", `service ${this.name} has no endpoint ${name}`)
    return endpoint
  }

  /** Adds an endpoint to the running service. @throws {FnError} as {@link startMicroService} */
  async addEndpoint(config: EndpointConfig): Promise<ServiceEndpoint> {
    const refusals: FnError[] = []
    const endpoint = this.#listen(config, refusals)
    try {
      await this.#settle(refusals)
      return endpoint
    } catch (thrown) {
      await this.removeEndpoint(config.name)
      throw fromNatsError(thrown, `adding endpoint ${config.name}`)
    }
  }

  /** Takes an endpoint out of discovery once the messages it already got are handled. */
  async removeEndpoint(name: string): Promise<void> {
    const endpoint = this.#endpoints.get(name)
    this.#endpoints.delete(name)
    await endpoint?.drain()
  }

  /** Answer to PING. */
  ping(): ServicePing {
    return { type: `${TYPE}.ping_response`, ...this.#identity() }
  }

  /** Answer to INFO. */
  info(): ServiceInfo {
    const endpoints = Array.from(this.#endpoints.values(), (endpoint) => endpoint.info())
    return { type: `${TYPE}.info_response`, ...this.#identity(), description: this.#config.description ?? "", endpoints }
  }

  /** Answer to STATS. */
  stats(): ServiceStats {
    const endpoints = Array.from(this.#endpoints.values(), (endpoint) => endpoint.stats())
    return { type: `${TYPE}.stats_response`, ...this.#identity(), started: this.startedAt, endpoints }
  }

  /** Leaves discovery, then ends the endpoints once the messages they already got are handled. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #identity(): Omit<ServicePing, "type"> {
    return { name: this.name, id: this.id, version: this.version, metadata: this.#config.metadata ?? {} }
  }

  #listen(config: EndpointConfig, refusals: FnError[]): ServiceEndpoint {
    checkToken("endpoint name", config.name)
    if (this.#endpoints.has(config.name)) throw invalid(`service ${this.name} has two endpoints called ${config.name}`)
    const endpoint = new ServiceEndpoint(config, this.#log, this.#config.replyPrefixes)
    endpoint.listen(this.#nc, (error) => this.#refused(error, refusals))
    this.#endpoints.set(config.name, endpoint)
    return endpoint
  }

  /** Answers one verb on its three subjects: of all services, of this name, of this instance. */
  #answer(verb: "PING" | "INFO" | "STATS", body: () => ServicePing, refusals: FnError[]): void {
    const root = `${this.#config.discoveryPrefix ?? "$SRV"}.${verb}`
    for (const subject of [root, `${root}.${this.name}`, `${root}.${this.name}.${this.id}`]) {
      const callback = (refused: Error | null, msg: Msg): void => {
        if (refused) this.#refused(fromNatsError(refused, `subscribing to ${subject}`), refusals)
        else this.#respond(subject, msg, body)
      }
      this.#subscriptions.push(this.#nc.subscribe(subject, { callback }))
    }
  }

  #respond(subject: string, msg: Msg, body: () => ServicePing): void {
    if (!isReplySubject(msg.reply, this.#config.replyPrefixes)) return
    try {
      msg.respond(JSON.stringify(body()))
    } catch (thrown) {
      this.#log.error("a service question could not be answered", { subject, error: messageOf(thrown) })
    }
  }

  /** At the start this fails the start; later (permissions were taken away) the rest of the service goes on. */
  #refused(error: FnError, refusals: FnError[]): void {
    refusals.push(error)
    this.#log.error("a service subscription was refused", { service: this.name, error: error.message })
  }

  /** After a round trip the server has taken every subscription, or said why not: then this throws the first reason. */
  async #settle(refusals: readonly FnError[]): Promise<void> {
    await this.#nc.flush()
    if (refusals[0]) throw refusals[0]
  }

  async #stop(): Promise<void> {
    // A drain of a connection that is closed or closing has nothing left to do.
    await Promise.allSettled(this.#subscriptions.map((subscription) => subscription.drain()))
    await Promise.all(Array.from(this.#endpoints.values(), (endpoint) => endpoint.drain()))
  }
}

function checkToken(what: string, value: string): string {
  if (!NAME.test(value)) throw invalid(`${JSON.stringify(value)} cannot be a ${what}: it must match [A-Za-z0-9_-]+`)
  return value
}

function invalid(message: string): FnError {
  return FnError.of("INVALID_CONFIG", message)
}
