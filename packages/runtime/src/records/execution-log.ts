/**
 * What a host keeps of executions: all of the last 1 000 in memory; in the stream every durable one, every failed one, and sync successes
 * of functions that ask for it. docs/protocol.md#executions
 */
import { FnError, type FnErrorData, type Logger, messageOf } from "@fn/core"
import { publishRaw } from "@fn/nats"
import { type ExecutionRecord, type QueueAccess, recordExecution, recordExecutionSoon } from "@fn/queue"
import type { Call } from "../dispatch/call.js"
import type { DurableEnd, ExecutionRecorder, ExecutionTrace } from "./execution-recorder.js"
import { MemorySampler } from "./memory-sampler.js"
import { RecentExecutions } from "./recent-executions.js"
import { RecordLimit } from "./record-limit.js"
import { statusOf } from "./status-of.js"

/** What records go through. */
export interface ExecutionLogOptions {
  readonly access: QueueAccess
  readonly host: string
  readonly logger: Logger
  /** Records of failed sync calls a function may write in a second: a broken one at full load would write tens of thousands. */
  readonly failuresPerSecond: number
}

/** A call that never ran here for one of these goes to another host, or is tried again by its caller: no execution ended. */
const NOT_HERE: ReadonlySet<string> = new Set(["QUEUE_FULL", "HOST_DRAINING", "CIRCUIT_OPEN"])

/** What a record keeps of an error: a message that no stream takes would be tried for ever. */
const MESSAGE_CHARS = 4_096
const DETAILS_CHARS = 8_192

/** See the head of this file. */
export class ExecutionLog implements ExecutionRecorder {
  readonly recent: RecentExecutions = new RecentExecutions()
  readonly #options: ExecutionLogOptions
  readonly #limit: RecordLimit
  readonly #memory = new MemorySampler()

  constructor(options: ExecutionLogOptions) {
    this.#options = options
    this.#limit = new RecordLimit(options.failuresPerSecond, options.logger)
  }

  started(call: Call): void {
    if (!call.durable && call.open?.pool.definition.record !== "all") return
    const { access, host } = this.#options
    const { fn, invocationId } = call
    if (!fn) return
    const body = {
      schema: 1,
      id: invocationId,
      ...fn.ref,
      version: call.runningVersion,
      instance: call.pooled?.instance.id,
      host,
      status: "running",
      attempt: call.attempt,
      durable: call.durable,
      startedAt: new Date().toISOString(),
    }
    this.#try(call, () => publishRaw(access.nc, access.names.subjects.execution(fn.ref, "running", invocationId), JSON.stringify(body)))
  }

  ended(call: Call, error: FnError | undefined, eventsOut: number): void {
    this.recent.add(call, error, eventsOut)
    if (call.durable || !this.#isRecorded(call, error)) return
    this.#try(call, () => recordExecutionSoon(this.#options.access, this.#syncRecord(call, error, eventsOut)))
  }

  trace(call: Call): ExecutionTrace {
    const { pooled, startedAt } = call
    if (startedAt === 0) return { version: call.runningVersion, durationMs: 0 }
    const durationMs = performance.now() - startedAt
    return {
      version: call.runningVersion,
      instance: pooled?.instance.id,
      startedAt: Date.now() - durationMs,
      durationMs,
      memoryBytes: pooled && this.#memory.bytes(pooled.instance.pid),
    }
  }

  async recordDurable(end: DurableEnd): Promise<void> {
    await recordExecution(this.#options.access, {
      ...this.#record(end),
      durable: true,
      queuedAt: new Date(end.queuedAt).toISOString(),
    })
  }

  /** Says what was left out so far. */
  close(): void {
    this.#limit.close()
  }

  #isRecorded(call: Call, error: FnError | undefined): boolean {
    if (!error) return call.open?.pool.definition.record === "all"
    if (call.startedAt === 0 && NOT_HERE.has(error.reason)) return false
    return this.#limit.take(call.fn?.key ?? "")
  }

  #syncRecord(call: Call, error: FnError | undefined, eventsOut: number): ExecutionRecord {
    const { fn, invocationId, attempt } = call
    // The dispatcher reports only calls it has a function for.
    if (!fn) throw FnError.of("INTERNAL", "an execution of no function has ended")
    return { ...this.#record({ ...this.trace(call), ref: fn.ref, invocationId, attempt, eventsOut, error }), durable: false }
  }

  #record(end: Omit<DurableEnd, "queuedAt">): Omit<ExecutionRecord, "durable"> {
    const { ref, version, instance, startedAt, error, memoryBytes } = end
    return {
      schema: 1,
      id: end.invocationId,
      namespace: ref.namespace,
      name: ref.name,
      ...(version === undefined ? {} : { version }),
      ...(instance === undefined ? {} : { instance }),
      host: this.#options.host,
      status: statusOf(error),
      attempt: end.attempt,
      ...(startedAt === undefined ? {} : { startedAt: new Date(startedAt).toISOString() }),
      endedAt: new Date().toISOString(),
      durationMs: Math.round(end.durationMs * 1_000) / 1_000,
      eventsOut: end.eventsOut,
      ...(error ? { error: boundedError(error) } : {}),
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
    }
  }

  /** Called in the middle of a dispatch, which nothing here may disturb: only a connection closed for good throws. */
  #try(call: Call, publish: () => void): void {
    try {
      publish()
    } catch (thrown) {
      this.#options.logger.debug("execution not recorded", { invocationId: call.invocationId, error: messageOf(thrown) })
    }
  }
}

function boundedError(error: FnError): FnErrorData {
  const { details, message, ...data } = error.toData()
  return {
    ...data,
    message: message.length > MESSAGE_CHARS ? `${message.slice(0, MESSAGE_CHARS)}…` : message,
    ...(details && JSON.stringify(details).length <= DETAILS_CHARS ? { details } : {}),
  }
}
