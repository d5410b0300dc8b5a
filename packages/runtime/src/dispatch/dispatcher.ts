/**
 * Admission and dispatch: takes a call, chooses the version, waits for a slot, runs it on an instance, and answers, once.
 *
 * Request/reply, the envelope, hand-overs and later the queue all end in `dispatch()`. A call is answered by whichever comes first:
 * its result, its deadline, its cancellation, the death of its instance. It holds its slot until the instance lets go of it.
 */
import { DeadlineSweep, FnError, formatRef, type Instruments, isVersion, type Logger, messageOf, SlabMap, type WireEvent } from "@fn/core"
import type { PooledInstance } from "../instances/pool.js"
import type { ExecutionRecorder } from "../records/execution-recorder.js"
import { isLimit } from "../status/function-stats.js"
import type { Call } from "./call.js"
import { showsLife } from "./circuit-breaker.js"
import { freeSlots, type HostedFunction, type OpenVersion } from "./hosted-function.js"
import { streamRest } from "./stream-rest.js"

/** What is told about every call that ended. */
export interface ExecutionReport {
  readonly namespace: string
  readonly name: string
  /** Version that ran it; absent when none did. */
  readonly version?: string
  readonly invocationId: string
  readonly ok: boolean
  readonly code?: string
  readonly reason?: string
  readonly message?: string
  readonly durationMs: number
  readonly eventsOut: number
}

/** What becomes of calls that find no free slot. */
export interface Overflow {
  /** Takes a call of a version whose slots are all taken: lets it wait, moves it elsewhere, or refuses it. Must not throw. */
  take(open: OpenVersion, call: Call): void
}

/** What the dispatcher needs from the host. */
export interface DispatcherOptions {
  /** Opens a version: reads its definition and makes its pool. @throws {FnError} VERSION_NOT_FOUND, RUNTIME_UNSUPPORTED … */
  readonly open: (fn: HostedFunction, version: string) => Promise<OpenVersion>
  readonly instruments: Instruments
  readonly logger: Logger
  readonly overflow: Overflow
  /** After this long a caller that asked for it hears that its call has started, ms. */
  readonly startedAfterMs: number
  /** How long a cancelled execution may go on before its instance is given up, ms. */
  readonly cancelGraceMs: number
  readonly onExecution?: ((report: ExecutionReport) => void) | undefined
  readonly recorder: Pick<ExecutionRecorder, "started" | "ended">
}

/** Part of its time-out that a function must have had for its running out to be held against it: calls wait before they start. */
const FAIR_SHARE = 0.9
/** How often calls are looked at that may have to be told that they started, ms. */
const STARTED_EVERY_MS = 20

/** Runs calls on the functions of this host. */
export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #calls = new SlabMap<string, Call>()
  /** Invocations that are here and not with us, and why they are to be stopped when they come, if they are. */
  readonly #expected = new Map<string, FnError | undefined>()
  #running = 0
  readonly #deadlines: DeadlineSweep<Call>
  #startedTimer: NodeJS.Timeout | undefined
  readonly #graceTimers = new Set<NodeJS.Timeout>()
  /** Executions that were answered long ago and never let go of their slot. */
  readonly #stuck = new Set<Call>()
  #idle: (() => void) | undefined
  #closed = false

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#deadlines = new DeadlineSweep((call) => this.#expire(call))
  }

  /** Calls that are not answered yet. */
  get pending(): number {
    return this.#calls.size
  }

  /** Executions that hold a slot. */
  get running(): number {
    return this.#running
  }

  /** Whether the invocation is on this host and not answered yet. */
  has(invocationId: string): boolean {
    return this.#calls.has(invocationId) || this.#expected.has(invocationId)
  }

  /** The call of an invocation that is on this host and not answered yet; undefined also while it is only expected. */
  find(invocationId: string): Call | undefined {
    return this.#calls.get(invocationId)
  }

  /** An invocation that is about to be dispatched, once something has been read, or whose reply is being stored: it is on this host. */
  expect(invocationId: string): void {
    this.#expected.set(invocationId, undefined)
  }

  /** It will not be dispatched, or its reply has left. */
  unexpect(invocationId: string): void {
    if (this.#expected.delete(invocationId)) this.#checkIdle()
  }

  /** Runs `call` on `fn`, now or when a slot is free. Its responder gets the outcome, always. */
  dispatch(fn: HostedFunction, call: Call): void {
    const stopped = this.#met(call)
    const leftMs = call.deadline - Date.now()
    if (!this.#accept(fn, call, leftMs)) return this.#checkIdle()
    if (stopped) return this.#answerError(call, stopped)
    let version: string
    try {
      version = resolveVersion(fn, call.version)
    } catch (thrown) {
      return this.#answerError(call, FnError.from(thrown))
    }
    call.runningVersion = version
    const open = fn.versions.get(version)
    if (open) return this.#admit(open, call)
    this.#track(call)
    this.open(fn, version).then(
      (opened) => this.#admit(opened, call),
      (thrown) => this.#answerError(call, FnError.from(thrown)),
    )
  }

  /** Runs a queued call on a slot that was set aside for it. Its responder gets the outcome, always. */
  dispatchReserved(fn: HostedFunction, open: OpenVersion, call: Call): void {
    const { backlog, pool } = open
    if (backlog) backlog.reserved--
    if (!this.#accept(fn, call, call.deadline - Date.now())) return this.freed(open)
    call.runningVersion = pool.definition.version
    this.#run(open, call)
  }

  /** Slots of `open` are free: those who wait get them, calls and backlog in turn. */
  freed(open: OpenVersion): void {
    const { waiting, backlog } = open
    while (freeSlots(open) > 0) {
      if (backlog && (waiting.size === 0 || backlog.isNext) && backlog.takeSlot()) backlog.isNext = false
      else if (!this.#runNext(open)) return
    }
  }

  /** Asks a call to stop and answers its caller with `reason`. False when it is not here. */
  cancel(invocationId: string, reason: FnError): boolean {
    const call = this.#calls.get(invocationId)
    if (call) this.#stop(call, reason)
    else if (this.#expected.has(invocationId)) this.#expected.set(invocationId, reason)
    return call !== undefined
  }

  /** A call that was to go elsewhere and did not: runs it if a slot is free now. */
  takeBack(open: OpenVersion, call: Call): void {
    this.#admit(open, call)
  }

  /** Answers a call that cannot run, unless it has been answered. */
  refuse(call: Call, error: FnError): void {
    this.#answerError(call, error)
  }

  /** Somebody else has the call now and answers it. */
  release(call: Call): void {
    if (call.answered) return
    this.#forget(call)
    this.#checkIdle()
  }

  /** Resolves when every call is answered and every slot free, but for those that never let go of theirs. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => {
      const before = this.#idle
      this.#idle = () => {
        before?.()
        resolve()
      }
    })
  }

  /** Answers what is still open with `reason` and stops all timers. */
  close(reason: FnError): void {
    this.#closed = true
    for (const call of [...this.#calls.values()]) this.#stop(call, reason)
    for (const timer of this.#graceTimers) clearTimeout(timer)
    this.#deadlines.close()
    clearInterval(this.#startedTimer)
  }

  get #isIdle(): boolean {
    return this.#calls.size === 0 && this.#expected.size === 0 && this.#running === this.#stuck.size
  }

  #checkIdle(): void {
    if (this.#idle && this.#isIdle) this.#idle()
  }

  /** A call that was expected has come: why it must not run, if somebody cancelled it meanwhile. */
  #met({ invocationId }: Call): FnError | undefined {
    if (this.#expected.size === 0) return undefined
    const reason = this.#expected.get(invocationId)
    this.#expected.delete(invocationId)
    return reason
  }

  #accept(fn: HostedFunction, call: Call, leftMs: number): boolean {
    call.fn = fn
    if (this.#closed || leftMs <= 0 || this.#calls.has(call.invocationId)) {
      call.answered = true
      call.responder.fail(call, this.#refusal(call, leftMs))
      return false
    }
    call.expiresAt = call.receivedAt + leftMs
    return true
  }

  #refusal(call: Call, leftMs: number): FnError {
    if (this.#closed) return FnError.of("HOST_DRAINING", "this host is shutting down")
    if (leftMs <= 0) return FnError.of("DEADLINE_EXCEEDED", "the deadline had passed when the call arrived")
    return FnError.of("INVALID_REQUEST", `invocation ${call.invocationId} is running on this host already`)
  }

  /** The version, opened if it is not yet; one opening serves all who ask. */
  open(fn: HostedFunction, version: string): Promise<OpenVersion> {
    const open = fn.versions.get(version)
    if (open) return Promise.resolve(open)
    const opening = fn.opening.get(version)
    if (opening) return opening
    const opened = this.#options.open(fn, version).then((open) => {
      fn.versions.set(version, open)
      return open
    })
    fn.opening.set(version, opened)
    const done = (): void => void fn.opening.delete(version)
    opened.then(done, done)
    return opened
  }

  #admit(open: OpenVersion, call: Call): void {
    if (call.answered) return
    const { pool, breaker } = open
    if (breaker.isOpen) return this.#answerError(call, breaker.refusal(formatRef(pool.definition)))
    if (freeSlots(open) > 0) return this.#run(open, call)
    this.#track(call)
    this.#options.overflow.take(open, call)
  }

  #run(open: OpenVersion, call: Call): void {
    open.pool.running++
    const pooled = open.pool.tryAcquire()
    if (pooled) return this.#execute(open, pooled, call)
    this.#track(call)
    open.pool.acquire().then(
      (acquired) => this.#execute(open, acquired, call),
      (thrown) => {
        this.#left(open)
        this.#answerError(call, FnError.from(thrown))
      },
    )
  }

  #execute(open: OpenVersion, pooled: PooledInstance, call: Call): void {
    if (call.answered) {
      open.pool.release(pooled)
      return this.#left(open)
    }
    call.open = open
    call.pooled = pooled
    this.#running++
    const startedAt = performance.now()
    call.startedAt = startedAt
    this.#options.recorder.started(call)
    try {
      const { sink } = call
      const events = sink ? streamRest(pooled.instance.execute(call), sink) : pooled.instance.execute(call)
      if (events instanceof Promise) {
        this.#track(call)
        events.then(
          (done) => this.#succeeded(open, pooled, call, startedAt, done),
          (thrown) => this.#failed(open, pooled, call, startedAt, FnError.from(thrown)),
        )
      } else this.#succeeded(open, pooled, call, startedAt, events)
    } catch (thrown) {
      this.#failed(open, pooled, call, startedAt, FnError.from(thrown))
    }
  }

  #succeeded(open: OpenVersion, pooled: PooledInstance, call: Call, startedAt: number, events: WireEvent[]): void {
    open.pool.succeeded()
    if (!call.answered) {
      // What lets go once its time is up has not succeeded.
      open.breaker.succeeded()
      const durationMs = performance.now() - startedAt
      this.#forget(call)
      open.pool.stats.executed(durationMs)
      this.#options.instruments.execution(open.pool.labels, "ok", durationMs)
      void call.responder.succeed(call, events)
      this.#report(call, undefined, events.length)
    }
    this.#finished(open, pooled, call)
  }

  #failed(open: OpenVersion, pooled: PooledInstance, call: Call, startedAt: number, error: FnError): void {
    if (!call.answered) {
      if (showsLife(error)) open.breaker.succeeded()
      if (isLimit(error)) this.#tellLimit(pooled, call, error)
      this.#count(open, error, performance.now() - startedAt)
      this.#answer(call, error)
    }
    this.#finished(open, pooled, call)
  }

  #tellLimit({ instance }: PooledInstance, { fn, runningVersion, invocationId }: Call, { reason, message }: FnError): void {
    this.#options.logger.warn("execution ended by a limit", {
      functionName: fn?.ref.name,
      version: runningVersion,
      instanceId: instance.id,
      invocationId,
      reason,
      cause: message,
    })
  }

  #count(open: OpenVersion, error: FnError, durationMs: number): void {
    open.pool.stats.executed(durationMs)
    open.pool.stats.failed(error)
    this.#options.instruments.execution(open.pool.labels, error.code, durationMs)
  }

  /** The instance has let go of a call. */
  #finished(open: OpenVersion, pooled: PooledInstance, call: Call): void {
    call.pooled = undefined
    this.#running--
    if (this.#stuck.size > 0 && this.#stuck.delete(call)) open.pool.unstick()
    open.pool.release(pooled)
    if (pooled.retired && pooled.running > 0 && !this.#isNeeded(pooled)) open.pool.retire(pooled, { kill: true })
    this.#left(open)
  }

  /** A call has left its slot: the next one that waits takes it. */
  #left(open: OpenVersion): void {
    open.pool.running--
    this.freed(open)
    if (open.pool.running === 0) open.pool.settle()
    this.#checkIdle()
  }

  #runNext(open: OpenVersion): boolean {
    for (const next of open.waiting) {
      open.waiting.delete(next)
      if (next.answered) continue
      if (open.backlog) open.backlog.isNext = true
      this.#run(open, next)
      return true
    }
    return false
  }

  #expire(call: Call): void {
    if (call.answered) return
    const timeoutMs = Math.round(performance.now() - call.receivedAt)
    if (!call.pooled) return this.#stop(call, FnError.of("DEADLINE_EXCEEDED", `the call did not start within ${timeoutMs} ms`))
    const error = FnError.of("FUNCTION_TIMEOUT", `the function did not finish within ${timeoutMs} ms`)
    // One whose caller gave it less time than it declares says nothing of the function.
    const { open } = call
    if (open && performance.now() - call.startedAt >= FAIR_SHARE * open.pool.definition.timeoutMs) open.breaker.failed(error)
    this.#stop(call, error)
  }

  /** Answers a call early and makes its function let go of it. */
  #stop(call: Call, reason: FnError): void {
    const { open, pooled } = call
    if (open && pooled) this.#count(open, reason, performance.now() - call.receivedAt)
    else {
      call.fn?.stats.failed(reason)
      for (const { waiting } of call.fn?.versions.values() ?? []) waiting.delete(call)
    }
    this.#answer(call, reason)
    if (!pooled) return
    call.cancel?.(reason)
    let responsive = pooled.instance.ping === undefined
    pooled.instance.ping?.().then(
      () => {
        responsive = true
      },
      (thrown) => this.#options.logger.debug("ping failed", { instanceId: pooled.instance.id, error: messageOf(thrown) }),
    )
    const timer = setTimeout(() => {
      this.#graceTimers.delete(timer)
      this.#giveUp(call, responsive)
    }, this.#options.cancelGraceMs)
    this.#graceTimers.add(timer)
  }

  /**
   * The function ignored its cancellation: its instance gets no more calls, and is killed once nobody else's call is on it. One that does
   * not even answer a ping is stuck in a loop: nothing on it will ever finish, so it is killed at once.
   */
  #giveUp(call: Call, responsive: boolean): void {
    const { open, pooled } = call
    if (!open || !pooled) return
    if (open.pool.definition.runtime === "builtin") return this.#stick(open, call)
    const kill = !responsive || !this.#isNeeded(pooled)
    this.#options.logger.warn("execution ignored its cancellation", {
      functionName: open.pool.definition.name,
      instanceId: pooled.instance.id,
      responsive,
      killed: kill,
    })
    open.pool.retire(pooled, { kill })
  }

  /** A builtin cannot be killed: its execution keeps its slot until it lets go of it, and is shown as stuck so long. */
  #stick(open: OpenVersion, call: Call): void {
    this.#stuck.add(call)
    open.pool.stick()
    this.#options.logger.warn("execution is stuck", { functionName: open.pool.definition.name, invocationId: call.invocationId })
    this.#checkIdle()
  }

  /** Whether an instance executes a call whose caller still waits. */
  #isNeeded(pooled: PooledInstance): boolean {
    for (const call of this.#calls.values()) if (call.pooled === pooled) return true
    return false
  }

  #answerError(call: Call, error: FnError): void {
    if (call.answered) return
    call.fn?.stats.failed(error)
    this.#answer(call, error)
  }

  #answer(call: Call, error: FnError): void {
    this.#forget(call)
    call.responder.fail(call, error)
    this.#report(call, error, 0)
    this.#checkIdle()
  }

  #forget(call: Call): void {
    call.answered = true
    if (!call.tracked) return
    this.#calls.delete(call.invocationId)
    if (call.deadlineSlot >= 0) this.#deadlines.delete(call, call.deadlineSlot)
  }

  /**
   * From here on the call can expire, be cancelled and be asked about. A handler that answers in the tick it was called in never gets here:
   * nothing could happen to it in between, and the bookkeeping would cost as much as the rest.
   */
  #track(call: Call): void {
    if (call.tracked) return
    call.tracked = true
    this.#calls.set(call.invocationId, call)
    if (call.expiresAt !== Number.POSITIVE_INFINITY) call.deadlineSlot = this.#deadlines.add(call, call.expiresAt)
    if (call.wantsStarted) this.#startedTimer ??= setInterval(() => this.#tellStarted(), STARTED_EVERY_MS)
  }

  /** Tells the callers of calls that have lasted long enough. They are in order of arrival, so a look ends at the first young call. */
  #tellStarted(): void {
    const before = performance.now() - this.#options.startedAfterMs
    for (const call of this.#calls.values()) {
      if (call.receivedAt > before) return
      if (!call.wantsStarted || call.toldStarted) continue
      call.toldStarted = true
      call.responder.started?.(call)
    }
    if (this.#calls.size > 0) return
    clearInterval(this.#startedTimer)
    this.#startedTimer = undefined
  }

  #report(call: Call, error: FnError | undefined, eventsOut: number): void {
    const { onExecution, recorder } = this.#options
    const { fn } = call
    if (!fn) return
    recorder.ended(call, error, eventsOut + (call.responder.streamed ?? 0))
    if (!onExecution) return
    onExecution({
      namespace: fn.ref.namespace,
      name: fn.ref.name,
      ...(call.runningVersion === undefined ? {} : { version: call.runningVersion }),
      invocationId: call.invocationId,
      ok: error === undefined,
      ...(error ? { code: error.code, reason: error.reason, message: error.message } : {}),
      durationMs: performance.now() - call.receivedAt,
      eventsOut: eventsOut + (call.responder.streamed ?? 0),
    })
  }
}

/** The exact version a call runs on. @throws {FnError} not_found VERSION_NOT_FOUND */
export function resolveVersion(fn: HostedFunction, asked: string | undefined): string {
  if (asked === undefined || asked === fn.record.activeVersion) return fn.record.activeVersion
  const aliased = fn.record.aliases[asked]
  if (aliased !== undefined) return aliased
  if (isVersion(asked)) return asked
  throw FnError.of("VERSION_NOT_FOUND", `${fn.key} has neither a version nor an alias ${asked}`)
}
