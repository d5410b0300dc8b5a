/**
 * A host: everything between a NATS connection and running functions.
 *
 * Phases: starting (reads the registry) → ready (takes calls, discoverable) → draining (left discovery, finishes what it has) → closed.
 * It does not own the connection or the registry it was given. Neighbours: catalog/ knows what to serve, ingress/ takes messages,
 * dispatch/ runs them, instances/ are what they run on, egress/ answers, status/ tells.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import {
  asFunctionModule,
  FnError,
  type FunctionModule,
  formatRef,
  type HostStatus,
  type Instruments,
  type Logger,
  messageOf,
  newId,
  noopInstruments,
  noopLogger,
  parseRef,
  RUNTIME_SERVICE_NAME,
  type RuntimeKind,
  Subjects,
} from "@fn/core"
import { isReplySubject, type MicroService, REPLY_PREFIXES, ReplyInbox, startMicroService } from "@fn/nats"
import { createScratchFolder, type ScratchFolder } from "@fn/process"
import { Payloads, type QueueAccess, queueNames } from "@fn/queue"
import type { FunctionRecord } from "@fn/registry"
import type { Msg, Subscription } from "@nats-io/transport-node"
import { CallbackHandler } from "./callbacks/callback-handler.js"
import { createCallbackSender } from "./callbacks/callback-queue.js"
import { HttpPolicy } from "./callbacks/http-policy.js"
import { ArtifactCache } from "./catalog/artifact-cache.js"
import { Catalog } from "./catalog/catalog.js"
import { VerifiedFiles } from "./catalog/verified-files.js"
import { CircuitBreaker } from "./dispatch/circuit-breaker.js"
import { Dispatcher } from "./dispatch/dispatcher.js"
import type { HostedFunction, OpenVersion } from "./dispatch/hosted-function.js"
import { Emitter } from "./egress/emitter.js"
import type { EndpointCounter } from "./egress/responder.js"
import { Broadcasts } from "./ingress/broadcasts.js"
import { Ingress } from "./ingress/ingress.js"
import { createBuiltinStarter } from "./instances/builtin/builtin-instance.js"
import { createCommandStarter } from "./instances/command/command-starter.js"
import type { InstanceStarter } from "./instances/instance.js"
import { createModuleStarter } from "./instances/module/module-starter.js"
import { createPluginStarter } from "./instances/plugin/plugin-starter.js"
import { InstancePool } from "./instances/pool.js"
import { createWasmStarter } from "./instances/wasm/wasm-starter.js"
import { askingOf } from "./isolation/demand.js"
import { FunctionLauncher } from "./isolation/launcher.js"
import { DEFAULT_LIMITS, type RuntimeLimits, type RuntimeOptions } from "./options.js"
import { HandOverDesk } from "./overflow/hand-over-desk.js"
import { CallOverflow } from "./overflow/overflow.js"
import { PayloadOutbox } from "./payloads/payload-outbox.js"
import { StoredIntake } from "./payloads/stored-intake.js"
import { DurableQueue } from "./queue/queue.js"
import { ExecutionLog } from "./records/execution-log.js"
import { answerStatus, type HostStatusSource, hostStatus, parseStatusRequest } from "./status/host-status.js"
import { usageByVersion } from "./status/instance-usage.js"
import { VERSION } from "./version.js"

const NO_QUEUE = FnError.of("JETSTREAM_UNAVAILABLE", "this host does not work on the queue")

/** Grace of a drain, ms. Keep it below the orchestrator's own kill delay. */
const DEFAULT_DRAIN_MS = 20_000

/**
 * Starts a host and resolves when it takes calls.
 * @throws {FnError} NOT_SET_UP, REGISTRY_TIMEOUT, INVALID_CONFIG for a builtin that is no function; nothing is left running then
 */
export async function startRuntime(options: RuntimeOptions): Promise<RuntimeService> {
  const scratch = await createScratchFolder("fn-")
  const runtime = new RuntimeService(options, scratch)
  try {
    await runtime.start()
  } catch (thrown) {
    await runtime.close()
    throw thrown
  }
  return runtime
}

/** A running host. */
export class RuntimeService implements AsyncDisposable {
  /** Id of the host, and of its NATS service. */
  readonly host: string
  /** Settles when the host is closed; with an error unless it was asked to. Never rejects. */
  readonly closed: Promise<FnError | undefined>
  readonly #options: RuntimeOptions
  /** Sockets of plugins; gone with this process even when it is killed. */
  readonly #scratch: ScratchFolder
  readonly #limits: RuntimeLimits
  readonly #logger: Logger
  readonly #instruments: Instruments
  readonly #subjects: Subjects
  readonly #launcher: FunctionLauncher
  readonly #starters: ReadonlyMap<RuntimeKind, InstanceStarter>
  readonly #builtins: ReadonlyMap<string, FunctionModule>
  readonly #catalog: Catalog
  readonly #dispatcher: Dispatcher
  readonly #ingress: Ingress
  readonly #overflow: CallOverflow
  readonly #handOverDesk: HandOverDesk
  readonly #broadcasts: Broadcasts
  readonly #queue: DurableQueue | undefined
  readonly #artifacts: ArtifactCache
  readonly #inbox: ReplyInbox
  readonly #executions: ExecutionLog
  readonly #intake: StoredIntake
  readonly #outbox: PayloadOutbox
  readonly #statusSource: HostStatusSource
  readonly #counters = new Map<string, EndpointCounter>()
  readonly #pools = new Set<InstancePool>()
  readonly #subscriptions: Subscription[] = []
  readonly #closing = new AbortController()
  #isolationProblem: FnError | undefined
  #service: MicroService | undefined
  #phase: HostStatus["phase"] = "starting"
  #draining: Promise<void> | undefined
  #ended: Promise<void> | undefined
  #settleClosed: (error: FnError | undefined) => void = () => undefined

  constructor(options: RuntimeOptions, scratch: ScratchFolder) {
    this.#options = options
    this.#scratch = scratch
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.host = options.host ?? newId()
    this.#logger = (options.logger ?? noopLogger).child({ host: this.host })
    this.#instruments = options.instruments ?? noopInstruments
    this.#subjects = new Subjects(options.subjects)
    this.#builtins = readBuiltins(options.builtins ?? {})
    this.#inbox = new ReplyInbox(options.nc, { logger: this.#logger })
    const access: QueueAccess = {
      nc: options.nc,
      inbox: this.#inbox,
      names: queueNames(options.subjects?.functions),
      jsDomain: options.jsDomain,
    }
    this.#executions = new ExecutionLog({
      access,
      host: this.host,
      logger: this.#logger,
      failuresPerSecond: this.#limits.failureRecordsPerSecond,
    })
    const verified = new VerifiedFiles()
    this.#artifacts = new ArtifactCache(join(options.dataDir, "artifacts"), options.registry.artifacts, verified)
    this.#launcher = new FunctionLauncher(options.isolation, this.#logger)
    const launcher = this.#launcher
    this.#starters = new Map<RuntimeKind, InstanceStarter>([
      ["builtin", createBuiltinStarter(this.#builtins)],
      ["module", createModuleStarter({ spares: this.#limits.spares, launcher })],
      [
        "plugin",
        createPluginStarter({
          logger: this.#logger,
          startTimeoutMs: this.#limits.pluginStartTimeoutMs,
          socketDir: scratch.path,
          launcher,
          verified,
        }),
      ],
      [
        "command",
        createCommandStarter({
          launcher,
          scratchDir: scratch.path,
          killGraceMs: this.#limits.cancelGraceMs / 2,
          maxOutputBytes: this.#limits.outputBytes,
        }),
      ],
      ["wasm", createWasmStarter({ spares: this.#limits.spares, maxOutputBytes: this.#limits.outputBytes, launcher })],
    ])
    this.#dispatcher = new Dispatcher({
      open: (fn, version) => this.#open(fn, version),
      instruments: this.#instruments,
      logger: this.#logger,
      overflow: { take: (open, call) => this.#overflow.take(open, call) },
      startedAfterMs: this.#limits.startedAfterMs,
      cancelGraceMs: this.#limits.cancelGraceMs,
      onExecution: options.onExecution,
      recorder: this.#executions,
    })
    this.#catalog = new Catalog({
      registry: options.registry,
      refusal: (record) => this.#refusal(record),
      untilKnown: (record) => (record.runtime === "builtin" ? undefined : this.#launcher.untilKnown(askingOf(record))),
      onServe: (fn) => this.#serve(fn),
      onUpdate: (fn, before) => this.#update(fn, before),
      onUnserve: (fn) => this.#unserve(fn),
    })
    const emitter = new Emitter({ nc: options.nc, subjects: this.#subjects, logger: this.#logger })
    const payloads = new Payloads(access)
    this.#intake = new StoredIntake({
      payloads,
      bucket: access.names.payloads,
      maxBytes: this.#limits.payloadBytes,
      logger: this.#logger,
    })
    this.#outbox = new PayloadOutbox({
      access,
      payloads,
      logger: this.#logger,
      expect: (id) => this.#dispatcher.expect(id),
      unexpect: (id) => this.#dispatcher.unexpect(id),
    })
    const egress = { nc: options.nc, subjects: this.#subjects, emitter, host: this.host, logger: this.#logger, outbox: this.#outbox }
    this.#ingress = new Ingress({
      ...egress,
      inbox: this.#inbox,
      intake: this.#intake,
      dispatcher: this.#dispatcher,
      catalog: this.#catalog,
      replyPrefixes: options.replyPrefixes ?? REPLY_PREFIXES,
      counter: (endpoint) => this.#counter(endpoint),
    })
    const replyPrefixes = options.replyPrefixes ?? REPLY_PREFIXES
    const shared = { ...egress, dispatcher: this.#dispatcher, catalog: this.#catalog, replyPrefixes }
    this.#overflow = new CallOverflow({
      ...shared,
      access,
      inbox: this.#inbox,
      instruments: this.#instruments,
      waitFactor: this.#limits.waitFactor,
      queueProblem: () => (this.#queue ? this.#queue.problem : NO_QUEUE),
    })
    const counter = (endpoint: string): EndpointCounter => this.#counter(endpoint)
    this.#handOverDesk = new HandOverDesk({ ...shared, counter, inbox: this.#inbox })
    this.#broadcasts = new Broadcasts({ ...shared, counter })
    if (options.queue !== false)
      this.#queue = new DurableQueue({
        ...(options.queue ?? {}),
        context: {
          ...shared,
          access,
          egress,
          counter,
          recorder: this.#executions,
          callbacks: createCallbackSender(access),
          payloads: this.#intake,
          outbox: this.#outbox,
          closing: this.#closing.signal,
          onSpilled: (id) => this.#overflow.delivered(id),
        },
        registry: options.registry,
        handlers: [this.#callbackHandler(access, payloads)],
      })
    this.#statusSource = {
      host: this.host,
      version: VERSION,
      startedAt: new Date().toISOString(),
      phase: () => this.#phase,
      runtimes: [...this.#starters.keys()],
      catalog: this.#catalog,
      dispatcher: this.#dispatcher,
      recent: this.#executions.recent,
      queue: this.#queue,
    }
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
  }

  get phase(): HostStatus["phase"] {
    return this.#phase
  }

  /** Everything the host knows of itself and its functions. */
  status(): HostStatus {
    return hostStatus(this.#statusSource)
  }

  /** Called by {@link startRuntime}. Not ready, not advertised: discovery comes last. */
  async start(): Promise<void> {
    const { nc, dataDir } = this.#options
    await mkdir(dataDir, { recursive: true })
    await this.#readyIsolation()
    this.#listen(this.#subjects.status(this.host), (msg) => this.#answerStatus(msg))
    this.#listen(this.#subjects.health(this.host), (msg) => this.#answerHealth(msg))
    this.#listen(this.#subjects.cancelAll, (msg) => this.#cancel(msg))
    // Endpoints that nobody counts on yet must exist before the first call: functions are opened while the watch reads.
    this.#service = await startMicroService(nc, {
      name: RUNTIME_SERVICE_NAME,
      id: this.host,
      version: VERSION,
      description: "Runs fn functions",
      metadata: { "fn.pid": String(process.pid), prefix: this.#subjects.functions },
      endpoints: [{ name: "invoke", subject: this.#subjects.envelope, queueGroup: this.#subjects.envelopeQueue }],
      logger: this.#logger,
      replyPrefixes: this.#options.replyPrefixes ?? REPLY_PREFIXES,
    })
    await this.#catalog.watch(this.#closing.signal)
    this.#instruments.usage(() => usageByVersion(this.#catalog.served.values()))
    this.#ingress.openEnvelope()
    this.#handOverDesk.open()
    this.#broadcasts.open()
    this.#overflow.open()
    this.#queue?.start()
    await nc.flush()
    this.#enter("ready")
    void nc.closed().then((error) => this.#lost(error ?? undefined))
  }

  /**
   * Leaves discovery, takes no more calls, finishes those it has, ends the instances. After `graceMs` (default 20 000) what still runs
   * fails with HOST_DRAINING. May be called twice.
   */
  drain(options: { graceMs?: number } = {}): Promise<void> {
    this.#draining ??= this.#drain(options.graceMs ?? DEFAULT_DRAIN_MS)
    return this.#draining
  }

  /** Ends at once: running calls fail with HOST_DRAINING. May be called twice, or while a drain goes on. */
  close(): Promise<void> {
    this.#ended ??= this.#close()
    return this.#ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  /** Before the first function is looked at: what cannot be run here is not served here, so that other hosts get its calls. */
  async #readyIsolation(): Promise<void> {
    if (this.#launcher.policy.name === "dev")
      return this.#logger.info("functions run as processes of this user unless they ask for more", { policy: "dev" })
    this.#isolationProblem = await this.#launcher.problem()
    if (this.#isolationProblem) this.#logger.error("no function can be isolated here", { reason: this.#isolationProblem.message })
  }

  async #drain(graceMs: number): Promise<void> {
    if (this.#phase === "closed") return
    this.#enter("draining")
    this.#queue?.stop()
    await this.#service?.stop()
    this.#overflow.close("draining")
    await this.#leaveSubjects()
    const abort = new AbortController()
    const timer = setTimeout(() => abort.abort(), graceMs)
    const finished = Promise.all([this.#dispatcher.idle(), this.#queue?.idle()])
    await Promise.race([finished, new Promise((resolve) => abort.signal.addEventListener("abort", resolve))])
    clearTimeout(timer)
    await this.close()
  }

  async #close(): Promise<void> {
    this.#queue?.close()
    this.#closing.abort()
    for (const fn of this.#catalog.served.values()) for (const { breaker } of fn.versions.values()) breaker.close()
    this.#overflow.close("closed")
    await this.#service?.stop()
    await this.#leaveSubjects().catch((thrown: unknown) =>
      this.#logger.debug("subscriptions were gone already", { error: messageOf(thrown) }),
    )
    this.#dispatcher.close(FnError.of("HOST_DRAINING", "the host is shutting down"))
    this.#executions.close()
    this.#intake.close()
    this.#outbox.close()
    await Promise.all([...this.#pools].map((pool) => pool.close()))
    await Promise.all([...this.#starters.values()].map((starter) => starter.close()))
    await this.#launcher.close()
    if (!this.#options.nc.isClosed()) {
      this.#report("closed")
      for (const subscription of this.#subscriptions) subscription.unsubscribe()
      await this.#options.nc.flush().catch((thrown: unknown) => this.#logger.debug("last flush failed", { error: messageOf(thrown) }))
    }
    this.#inbox.dispose()
    await this.#scratch.remove()
    this.#enter("closed")
    this.#settleClosed(undefined)
  }

  /** Takes no more calls. */
  async #leaveSubjects(): Promise<void> {
    await Promise.all([this.#ingress.drain(), this.#handOverDesk.drain(), this.#broadcasts.drain()])
  }

  #enter(phase: HostStatus["phase"]): void {
    if (this.#phase === phase) return
    this.#phase = phase
    this.#logger.info(`host ${phase}`, { functions: this.#catalog.served.size })
    if (phase !== "closed") this.#report(phase)
  }

  /** Tells whoever listens that the phase changed. */
  #report(phase: HostStatus["phase"]): void {
    const { nc } = this.#options
    if (nc.isClosed()) return
    nc.publish(this.#subjects.status(this.host), JSON.stringify({ ...hostStatus(this.#statusSource, ""), phase }))
  }

  #lost(error: Error | undefined): void {
    if (this.#phase === "closed" || this.#ended) return
    this.#logger.error("NATS connection closed", { error: error ? error.message : "closed by its owner" })
    const reason = FnError.of("DISCONNECTED", `the NATS connection is closed${error ? `: ${error.message}` : ""}`)
    void this.close().then(() => this.#settleClosed(reason))
  }

  #refusal(record: FunctionRecord): FnError | undefined {
    if (record.runtime !== "builtin" && this.#isolationProblem) return this.#isolationProblem
    if (!this.#starters.has(record.runtime))
      return FnError.of("RUNTIME_UNSUPPORTED", `this host does not run functions of kind ${record.runtime}`)
    if (record.runtime !== "builtin") return this.#launcher.refusal(askingOf(record))
    const key = `${record.namespace}/${record.name}`
    if (this.#builtins.has(key)) return undefined
    return FnError.of("BUILTIN_NOT_REGISTERED", `this host has no builtin ${key}`)
  }

  #serve(fn: HostedFunction): void {
    this.#ingress.open(fn)
    this.#queue?.served(fn)
    this.#logger.info("function served", { functionName: fn.ref.name, namespace: fn.ref.namespace, version: fn.record.activeVersion })
  }

  #update(fn: HostedFunction, before: FunctionRecord): void {
    if (fn.record.activeVersion === before.activeVersion) return
    this.#heedCircuit(fn)
    const wasWarm = (fn.versions.get(before.activeVersion)?.pool.instanceCount ?? 0) > 0
    this.#logger.info("function updated", { functionName: fn.ref.name, version: fn.record.activeVersion, before: before.activeVersion })
    const kept = new Set([fn.record.activeVersion, ...Object.values(fn.record.aliases)])
    for (const [version, open] of fn.versions) if (!kept.has(version)) this.#retire(fn, version, open)
    if (wasWarm) void this.#warm(fn)
  }

  #unserve(fn: HostedFunction): void {
    this.#ingress.close(fn)
    this.#queue?.unserved(fn)
    for (const [version, open] of fn.versions) this.#retire(fn, version, open)
    this.#logger.info("function no longer served", { functionName: fn.ref.name, namespace: fn.ref.namespace })
  }

  /** Running and waiting calls of the version finish on it; then its instances end. */
  #retire(fn: HostedFunction, version: string, open: OpenVersion): void {
    fn.versions.delete(version)
    open.breaker.close()
    void open.pool.drain().then(() => this.#pools.delete(open.pool))
  }

  /** What was warm stays warm: the next caller should not pay for the redeploy. */
  async #warm(fn: HostedFunction): Promise<void> {
    try {
      await (await this.#dispatcher.open(fn, fn.record.activeVersion)).pool.warm()
    } catch (thrown) {
      this.#logger.warn("new version does not start", {
        functionName: fn.ref.name,
        version: fn.record.activeVersion,
        error: messageOf(thrown),
      })
    }
  }

  #callbackHandler(access: QueueAccess, payloads: Payloads): CallbackHandler {
    const { callbacks } = this.#options
    return new CallbackHandler({
      access,
      payloads,
      policy: new HttpPolicy(callbacks),
      knows: ({ namespace, name }) => this.#catalog.knows(`${namespace}/${name}`),
      crossNamespace: callbacks?.crossNamespace ?? false,
      logger: this.#logger,
      retry: callbacks?.retry,
    })
  }

  async #open(fn: HostedFunction, version: string): Promise<OpenVersion> {
    const ref = { ...fn.ref, version }
    const definition = await this.#options.registry.findDefinition(ref)
    if (!definition) throw FnError.of("VERSION_NOT_FOUND", `${formatRef(ref)} is not deployed`)
    const starter = this.#starters.get(definition.runtime)
    if (!starter) throw FnError.of("RUNTIME_UNSUPPORTED", `this host does not run functions of kind ${definition.runtime}`)
    const breaker = new CircuitBreaker(this.#limits.circuit, () => this.#circuitChanged(fn, open))
    const pool = new InstancePool({
      definition,
      labels: { namespace: ref.namespace, name: ref.name, version, runtime: definition.runtime },
      starter,
      artifactPath: () => this.#artifacts.file(definition),
      logger: this.#logger,
      instruments: this.#instruments,
      stats: fn.stats,
      backoff: this.#limits.backoff,
      closeGraceMs: this.#limits.closeGraceMs,
      idleMs: this.#limits.idleMs,
      onFailure: (error) => breaker.failed(error),
    })
    this.#pools.add(pool)
    const open: OpenVersion = { pool, waiting: new Set(), breaker }
    return open
  }

  #circuitChanged(fn: HostedFunction, { pool, breaker }: OpenVersion): void {
    const about = { functionName: fn.ref.name, namespace: fn.ref.namespace, version: pool.definition.version }
    if (breaker.phase === "closed") this.#logger.info("circuit closed", about)
    else
      this.#logger.warn(`circuit ${breaker.phase}`, { ...about, reason: breaker.lastFailure?.reason, error: breaker.lastFailure?.message })
    if (breaker.phase === "open") this.#instruments.circuitOpened(pool.labels)
    // Its own pauses are over: otherwise the trial would be refused instead of made.
    if (breaker.phase === "half-open") pool.retryNow()
    this.#heedCircuit(fn)
  }

  /** A function whose active version is given a rest takes no calls: NATS brings them to other hosts. */
  #heedCircuit(fn: HostedFunction): void {
    if (this.#phase === "draining" || this.#phase === "closed" || this.#catalog.served.get(fn.key) !== fn) return
    if (fn.circuit?.isOpen) return this.#ingress.close(fn)
    this.#ingress.open(fn)
    this.#queue?.served(fn)
  }

  /** The counters of one endpoint; a language gets its endpoint with the first function that is served. */
  #counter(name: string): EndpointCounter {
    const known = this.#counters.get(name)
    if (known) return known
    const counter: EndpointCounter & { target?: EndpointCounter } = { count: (outcome) => counter.target?.count(outcome) }
    this.#counters.set(name, counter)
    void this.#addEndpoint(name, counter)
    return counter
  }

  async #addEndpoint(name: string, counter: { target?: EndpointCounter }): Promise<void> {
    const service = this.#service
    if (!service) return
    try {
      // Only advertised: the subscriptions are one per function, never a wildcard that would take calls this host cannot run.
      counter.target =
        name === "invoke"
          ? service.endpoint("invoke")
          : await service.addEndpoint({
              name,
              subject: `${this.#subjects.invokeQueue(name)}.>`,
              queueGroup: this.#subjects.invokeQueue(name),
            })
    } catch (thrown) {
      this.#logger.warn("endpoint not advertised", { endpoint: name, error: messageOf(thrown) })
    }
  }

  #listen(subject: string, onMessage: (msg: Msg) => void): void {
    const subscription = this.#options.nc.subscribe(subject, {
      callback: (error, msg) => {
        if (error) return this.#logger.error("subscription failed", { subject, error: error.message })
        try {
          onMessage(msg)
        } catch (thrown) {
          this.#logger.warn("message not understood", { subject, error: messageOf(thrown) })
        }
      },
    })
    this.#subscriptions.push(subscription)
  }

  #answerStatus(msg: Msg): void {
    if (!this.#mayReply(msg)) return
    answerStatus(this.#statusSource, parseStatusRequest(msg.data), this.#closing.signal).then(
      (status) => this.#respond(msg, status),
      (thrown) => this.#logger.warn("status not answered", { error: messageOf(thrown) }),
    )
  }

  #answerHealth(msg: Msg): void {
    if (!this.#mayReply(msg)) return
    const problems = this.#catalog.problems.size
    const queue = this.#queue?.problem === undefined
    const status = this.#phase === "ready" ? (problems > 0 || !queue ? "degraded" : "healthy") : "unhealthy"
    this.#respond(msg, {
      host: this.host,
      status,
      phase: this.#phase,
      checks: { nats: true, registry: problems === 0, queue },
      running: this.#dispatcher.running,
    })
  }

  /** A report of another host has no reply subject; a question has one, and only an inbox is answered. */
  #mayReply(msg: Msg): boolean {
    return isReplySubject(msg.reply, this.#options.replyPrefixes ?? REPLY_PREFIXES)
  }

  #respond(msg: Msg, body: unknown): void {
    if (!this.#options.nc.isClosed()) msg.respond(JSON.stringify(body))
  }

  #cancel(msg: Msg): void {
    const [, , namespace = "", id = "", queued] = msg.subject.split(".")
    this.#dispatcher.cancel(id, FnError.of("CANCELLED", "the caller cancelled"))
    this.#queue?.cancel(namespace, id, queued !== undefined)
  }
}

function readBuiltins(builtins: NonNullable<RuntimeOptions["builtins"]>): Map<string, FunctionModule> {
  const modules = new Map<string, FunctionModule>()
  for (const [name, value] of Object.entries(builtins)) {
    const module = asFunctionModule(value)
    if (!module) throw FnError.of("INVALID_CONFIG", `builtin ${name} is neither a function nor made by defineFunction`)
    const ref = parseRef(name)
    modules.set(`${ref.namespace}/${ref.name}`, module)
  }
  return modules
}
