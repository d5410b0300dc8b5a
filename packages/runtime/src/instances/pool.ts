/**
 * The instances of one version: started when calls need them, shared up to their concurrency, restarted with backoff when they die,
 * stopped when idle.
 *
 * Phases: open → draining (another version is active: running calls finish, nothing new starts) → closed.
 * Neighbours: dispatch/dispatcher.ts owns pools and gives them only as many calls as they have slots.
 */
import { FnError, type FunctionLabels, type InstanceStatus, type Instruments, type Logger, newId } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import type { FunctionStats } from "../status/function-stats.js"
import type { Instance, InstanceStarter } from "./instance.js"

/** A caller waits this long for a restart at most; then it hears at once why. */
const LONGEST_WAIT_MS = 1_000

/** An instance and what the pool knows of it. */
export interface PooledInstance {
  readonly instance: Instance
  running: number
  /** Gets no further calls: it is over, holds an execution that ignores its cancellation, or its version is drained. */
  retired: boolean
  idleSince: number
  /** Processor time, as last read. */
  cpuUs: number | undefined
}

/** What a pool needs from its surroundings. */
export interface PoolOptions {
  readonly definition: FunctionDefinition
  readonly labels: FunctionLabels
  readonly starter: InstanceStarter
  /** Verified file of the artifact, fetched at the first start. */
  readonly artifactPath: () => Promise<string | undefined>
  readonly logger: Logger
  readonly instruments: Instruments
  readonly stats: FunctionStats
  readonly backoff: BackoffOptions
  /** Grace for the function's shutdown, ms. */
  readonly closeGraceMs: number
  /** An instance without calls for this long is stopped, ms. */
  readonly idleMs: number
  /** Hears of every instance that does not start or dies, and of calls that are refused for it. Must not throw. */
  readonly onFailure?: (error: FnError) => void
}

/** How long a version waits after a crash before it is started again. */
export interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  /** So many crashes in a row, without a call that succeeded in between, are a crash loop. */
  readonly loopAfter: number
}

interface Waiter {
  resolve(instance: PooledInstance): void
  reject(error: FnError): void
}

/** Runs one version. */
export class InstancePool {
  readonly definition: FunctionDefinition
  readonly labels: FunctionLabels
  readonly stats: FunctionStats
  /** Calls this pool may run at once. */
  readonly capacity: number
  /** Calls it runs or that wait for one of its instances; kept by the dispatcher. */
  running = 0
  #stuck = 0
  readonly #options: PoolOptions
  readonly #instances: PooledInstance[] = []
  readonly #waiters: Waiter[] = []
  /** Processor time of instances that are over. */
  #pastCpuUs: number | undefined
  #starting = 0
  #failures = 0
  #lastFailure: FnError | undefined
  #retryAt = 0
  #retryTimer: NodeJS.Timeout | undefined
  #idleTimer: NodeJS.Timeout | undefined
  readonly #abort = new AbortController()
  #phase: "open" | "draining" | "closed" = "open"
  readonly #closing = new Set<Promise<void>>()
  readonly #drained: Promise<void>
  #becameDrained: () => void = () => undefined

  constructor(options: PoolOptions) {
    this.#options = options
    this.definition = options.definition
    this.labels = options.labels
    this.stats = options.stats
    this.#drained = new Promise((resolve) => {
      this.#becameDrained = resolve
    })
    this.capacity = options.definition.concurrency * Math.max(1, options.definition.instances.max)
  }

  /** Slots that calls can have: those of executions that never let go of theirs are lost. */
  get slots(): number {
    return this.capacity - this.#stuck
  }

  /** An execution that was answered long ago holds on to its slot. */
  stick(): void {
    this.#stuck++
    this.stats.stuck++
  }

  /** It has let go. */
  unstick(): void {
    this.#stuck--
    this.stats.stuck--
  }

  get instanceCount(): number {
    return this.#instances.length
  }

  get pids(): number[] {
    return this.#instances.flatMap(({ instance }) => (instance.pid === undefined ? [] : [instance.pid]))
  }

  /** What each instance uses now. */
  async usage(): Promise<InstanceStatus[]> {
    const version = this.definition.version
    return await Promise.all(
      this.#instances.map(async (pooled) => {
        const { id, pid } = pooled.instance
        const usage = await this.#read(pooled)
        return { id, version, ...defined({ pid, ...usage }) }
      }),
    )
  }

  /** Processor time of all instances there are or were, as far as it was counted, when it was last read. */
  get cpuMs(): number | undefined {
    const known = [this.#pastCpuUs, ...this.#instances.map(({ cpuUs }) => cpuUs)].flatMap((cpuUs) => cpuUs ?? [])
    return known.length === 0 ? undefined : known.reduce((sum, cpuUs) => sum + cpuUs, 0) / 1000
  }

  async #read(pooled: PooledInstance): Promise<Omit<InstanceStatus, "id" | "version">> {
    const usage = await pooled.instance.usage?.()
    if (usage === undefined) return {}
    const { cpuUs, memoryBytes, memoryPeakBytes, pids, source } = usage
    // What a process used is never less than it was; of one that has ended less may be known.
    if (cpuUs !== undefined) pooled.cpuUs = Math.max(cpuUs, pooled.cpuUs ?? 0)
    return {
      source,
      ...defined({ memoryBytes, memoryPeakBytes, pids, cpuMs: pooled.cpuUs === undefined ? undefined : pooled.cpuUs / 1000 }),
    }
  }

  /** The least loaded ready instance with a free slot, taken; undefined when there is none. */
  tryAcquire(): PooledInstance | undefined {
    let best: PooledInstance | undefined
    for (const candidate of this.#instances) {
      if (!this.#hasSlot(candidate)) continue
      if (best === undefined || candidate.running < best.running) best = candidate
    }
    if (best) best.running++
    return best
  }

  /** An instance with a free slot, started if need be: one start serves all who wait. @throws {FnError} why none can be had */
  acquire(): Promise<PooledInstance> {
    const ready = this.tryAcquire()
    if (ready) return Promise.resolve(ready)
    if (this.#phase === "closed") return Promise.reject(FnError.of("HOST_DRAINING", "this host is shutting down"))
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#startIfNeeded()
    })
  }

  /** Gives a slot back. */
  release(pooled: PooledInstance): void {
    pooled.running--
    const waiter = this.#hasSlot(pooled) ? this.#waiters.shift() : undefined
    if (waiter) {
      pooled.running++
      waiter.resolve(pooled)
    } else if (pooled.running === 0) {
      pooled.idleSince = Date.now()
      if (pooled.retired || this.#phase !== "open") this.#stop(pooled)
      else this.#idleTimer ??= setTimeout(() => this.#stopIdle(), this.#options.idleMs)
    }
  }

  /** A call succeeded: what was counted towards a crash loop is forgotten. */
  succeeded(): void {
    this.#failures = 0
  }

  /** The next call may start an instance whatever happened before. */
  retryNow(): void {
    this.#retryAt = 0
  }

  /** Starts an instance ahead of the first call. */
  async warm(): Promise<void> {
    if (this.#instances.length > 0 || this.#starting > 0) return
    this.release(await this.acquire())
  }

  /** Gives an instance no more calls; it is stopped when its last one ends, at once with `kill`. */
  retire(pooled: PooledInstance, options: { kill: boolean }): void {
    pooled.retired = true
    if (options.kill || pooled.running === 0) this.#stop(pooled, options.kill ? 0 : undefined)
  }

  /** No instances for new calls; the present ones stop when they have finished. Resolves when nothing is left. */
  drain(): Promise<void> {
    if (this.#phase === "open") {
      this.#phase = "draining"
      clearTimeout(this.#idleTimer)
      for (const pooled of [...this.#instances]) this.retire(pooled, { kill: false })
      this.settle()
    }
    return this.#drained
  }

  /** Looks whether a draining pool is empty. The dispatcher calls it when a call has left. */
  settle(): void {
    if (this.#phase === "open" || this.running > 0 || this.#instances.length > 0 || this.#starting > 0) return
    void Promise.all(this.#closing).then(() => this.#becameDrained())
  }

  /** Ends every instance. Executions still on them fail. */
  async close(): Promise<void> {
    this.#phase = "closed"
    clearTimeout(this.#idleTimer)
    clearTimeout(this.#retryTimer)
    const closed = FnError.of("HOST_DRAINING", "this host is shutting down")
    this.#abort.abort(closed)
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closed)
    for (const pooled of [...this.#instances]) this.#stop(pooled)
    while (this.#closing.size > 0) await Promise.all(this.#closing)
    this.#becameDrained()
  }

  #hasSlot({ instance, retired, running }: PooledInstance): boolean {
    return !retired && instance.isOver !== true && running < this.definition.concurrency
  }

  #startIfNeeded(): void {
    const wanted = this.#starting * this.definition.concurrency < this.#waiters.length
    const allowed = this.#instances.filter(({ retired }) => !retired).length + this.#starting < Math.max(1, this.definition.instances.max)
    if (!wanted || !allowed || this.#retryTimer) return
    const waitMs = this.#retryAt - Date.now()
    if (waitMs <= 0) return this.#start()
    if (this.#failures >= this.#options.backoff.loopAfter || this.#lastFailure?.retryable === false || waitMs > LONGEST_WAIT_MS) {
      const error = this.#loopError(waitMs)
      this.#rejectWaiters(error)
      this.#options.onFailure?.(error)
      return
    }
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.#start()
    }, waitMs)
  }

  #start(): void {
    this.#starting++
    const started = this.#startOne().then(
      (pooled) => {
        this.#starting--
        this.#assign(pooled)
      },
      (thrown) => {
        this.#starting--
        this.#failed(FnError.from(thrown, "internal"))
        // With nobody left who could serve them, those who wait get the reason now.
        if (this.#starting === 0 && !this.#instances.some(({ retired }) => !retired)) this.#rejectWaiters(FnError.from(thrown, "internal"))
      },
    )
    this.#track(started)
  }

  async #startOne(): Promise<PooledInstance> {
    const { definition, starter, logger, labels, instruments } = this.#options
    const startedAt = performance.now()
    const fn = { namespace: definition.namespace, name: definition.name, version: definition.version, instance: newId() }
    const artifactPath = await this.#options.artifactPath()
    const log = logger.child({ functionName: fn.name, version: fn.version, instanceId: fn.instance })
    const spec = { fn, definition, logger: log, ...(artifactPath === undefined ? {} : { artifactPath }) }
    const instance = await starter.start(spec, this.#abort.signal)
    const durationMs = performance.now() - startedAt
    instruments.coldStart(labels, durationMs)
    this.stats.coldStarted(durationMs)
    logger.info("instance ready", {
      functionName: fn.name,
      version: fn.version,
      instanceId: fn.instance,
      durationMs: Math.round(durationMs),
    })
    const pooled: PooledInstance = {
      instance,
      running: 0,
      retired: this.#phase === "draining" && this.#waiters.length === 0,
      idleSince: Date.now(),
      cpuUs: undefined,
    }
    if (this.#phase === "closed") {
      await instance.close({ graceMs: this.#options.closeGraceMs })
      throw FnError.of("HOST_DRAINING", "this host is shutting down")
    }
    this.#instances.push(pooled)
    void instance.exited.then((error) => this.#exited(pooled, error))
    return pooled
  }

  #assign(pooled: PooledInstance): void {
    while (this.#hasSlot(pooled)) {
      const waiter = this.#waiters.shift()
      if (!waiter) break
      pooled.running++
      waiter.resolve(pooled)
    }
    if (pooled.running === 0 && this.#phase !== "open") this.#stop(pooled)
    this.#startIfNeeded()
  }

  /** Executions may still hold it: whatever they give back is no slot for anybody. */
  #exited(pooled: PooledInstance, error: FnError | undefined): void {
    pooled.retired = true
    this.#remove(pooled)
    this.#track(this.#readLast(pooled))
    if (!error) return
    this.#options.instruments.crash(this.labels)
    this.stats.crashed()
    this.#options.logger.error("instance crashed", {
      functionName: this.definition.name,
      version: this.definition.version,
      instanceId: pooled.instance.id,
      reason: error.reason,
      ...error.details,
    })
    this.#failed(error)
    this.#startIfNeeded()
  }

  async #readLast(pooled: PooledInstance): Promise<void> {
    await this.#read(pooled)
    if (pooled.cpuUs !== undefined) this.#pastCpuUs = (this.#pastCpuUs ?? 0) + pooled.cpuUs
  }

  #failed(error: FnError): void {
    const { initialMs, maxMs } = this.#options.backoff
    this.#lastFailure = error
    // The first restart is free: a single crash should cost one start, not a pause.
    const delayMs = this.#failures === 0 ? 0 : Math.min(maxMs, initialMs * 2 ** (this.#failures - 1))
    this.#failures++
    this.#retryAt = Date.now() + delayMs
    this.#options.onFailure?.(error)
  }

  #loopError(retryAfterMs: number): FnError {
    const last = this.#lastFailure as FnError
    if (last.reason !== "FUNCTION_CRASHED" && last.reason !== "PLUGIN_EXITED") return last
    return FnError.of(
      "CRASH_LOOP",
      `the function crashed ${this.#failures} times in a row, the next start is in ${Math.ceil(retryAfterMs / 1000)} s: ${last.message}`,
      {
        retryAfterMs,
        ...(last.details ? { details: last.details } : {}),
      },
    )
  }

  #rejectWaiters(error: FnError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
  }

  #stopIdle(): void {
    this.#idleTimer = undefined
    const now = Date.now()
    let next = Number.POSITIVE_INFINITY
    for (const pooled of [...this.#instances]) {
      if (pooled.running > 0) continue
      const leftMs = pooled.idleSince + this.#options.idleMs - now
      if (leftMs > 0) next = Math.min(next, leftMs)
      else if (this.#instances.length > this.definition.instances.min) this.#stop(pooled)
    }
    if (next !== Number.POSITIVE_INFINITY) this.#idleTimer = setTimeout(() => this.#stopIdle(), next)
  }

  #stop(pooled: PooledInstance, graceMs: number = this.#options.closeGraceMs): void {
    pooled.retired = true
    this.#remove(pooled)
    this.#track(pooled.instance.close({ graceMs }))
  }

  #remove(pooled: PooledInstance): void {
    const at = this.#instances.indexOf(pooled)
    if (at >= 0) this.#instances.splice(at, 1)
  }

  #track(work: Promise<void>): void {
    this.#closing.add(work)
    void work.finally(() => {
      this.#closing.delete(work)
      this.settle()
    })
  }
}

function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
