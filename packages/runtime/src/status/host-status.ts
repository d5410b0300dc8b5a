import {
  FnError,
  type FnErrorData,
  type FunctionStatus,
  type HostStatus,
  messageOf,
  type RunningExecution,
  type RuntimeKind,
  type StatusRequest,
} from "@fn/core"
import type { Catalog, UnservedFunction } from "../catalog/catalog.js"
import type { Call } from "../dispatch/call.js"
import type { Dispatcher } from "../dispatch/dispatcher.js"
import { type HostedFunction, offeredSlots } from "../dispatch/hosted-function.js"
import type { DurableQueue } from "../queue/queue.js"
import { RECENT_EXECUTIONS, type RecentExecutions } from "../records/recent-executions.js"

import { instancesOf } from "./instance-usage.js"

/** What a status is made from. */
export interface HostStatusSource {
  readonly host: string
  readonly version: string
  readonly startedAt: string
  readonly phase: () => HostStatus["phase"]
  readonly runtimes: readonly RuntimeKind[]
  readonly catalog: Catalog
  readonly dispatcher: Dispatcher
  readonly recent: RecentExecutions
  readonly queue: DurableQueue | undefined
}

const DEFAULT_AWAIT_MS = 5_000

/** The request in a status question. @throws {FnError} invalid_argument INVALID_REQUEST */
export function parseStatusRequest(payload: Uint8Array): StatusRequest {
  if (payload.length === 0) return {}
  try {
    const parsed: unknown = JSON.parse(Buffer.from(payload).toString("utf8"))
    if (typeof parsed === "object" && parsed !== null) return parsed as StatusRequest
  } catch (thrown) {
    throw FnError.of("INVALID_REQUEST", `a status question is JSON: ${messageOf(thrown)}`)
  }
  throw FnError.of("INVALID_REQUEST", "a status question is a JSON object")
}

/** Answers a question about the host, when the time it asks for has come. */
export async function answerStatus(source: HostStatusSource, request: StatusRequest, closing: AbortSignal): Promise<HostStatus> {
  if (request.function !== undefined && request.awaitRevision !== undefined) {
    const patience = AbortSignal.any([closing, AbortSignal.timeout(request.timeoutMs ?? DEFAULT_AWAIT_MS)])
    await source.catalog.applied(request.function, request.awaitRevision, patience)
  }
  const status = hostStatus(source, request.function)
  const functions = request.usage === true ? await withUsage(source, status.functions) : status.functions
  return { ...status, functions, ...invocationStatus(source, request.invocationId), ...recentStatus(source, request) }
}

async function withUsage({ catalog }: HostStatusSource, functions: readonly FunctionStatus[]): Promise<FunctionStatus[]> {
  return await Promise.all(
    functions.map(async (status) => {
      const fn = catalog.served.get(status.function)
      return fn ? { ...status, usage: await instancesOf(fn) } : status
    }),
  )
}

function invocationStatus(source: HostStatusSource, id: string | undefined): Partial<HostStatus> {
  if (id === undefined) return {}
  const call = source.dispatcher.find(id)
  const execution = call ? runningExecution(call) : source.recent.list({ id, limit: 1 })[0]
  return { runningInvocation: source.dispatcher.has(id), ...(execution ? { execution } : {}) }
}

function runningExecution(call: Call): RunningExecution {
  const { invocationId, runningVersion, attempt, durable, startedAt, pooled } = call
  return {
    id: invocationId,
    function: call.fn?.key ?? "",
    ...(runningVersion === undefined ? {} : { version: runningVersion }),
    attempt,
    durable,
    ...(startedAt === 0 ? {} : { startedAt: new Date(Date.now() - performance.now() + startedAt).toISOString() }),
    ...(pooled ? { instance: pooled.instance.id } : {}),
  }
}

function recentStatus(source: HostStatusSource, { recent, function: key }: StatusRequest): Partial<HostStatus> {
  if (typeof recent !== "number" || !(recent > 0)) return {}
  return { recent: source.recent.list({ limit: Math.min(recent, RECENT_EXECUTIONS), function: key }) }
}

/** The host's status; `only` limits it to one function, `""` to none. */
export function hostStatus(source: HostStatusSource, only?: string): HostStatus {
  const { catalog } = source
  const served = only === undefined ? [...catalog.served.values()] : pick(catalog.served.get(only))
  const unserved = only === undefined ? [...catalog.unserved.values()] : pick(catalog.unserved.get(only))
  return {
    host: source.host,
    phase: source.phase(),
    version: source.version,
    startedAt: source.startedAt,
    pid: process.pid,
    runtimes: source.runtimes,
    rssBytes: process.memoryUsage.rss(),
    running: source.dispatcher.running,
    functions: [...served.map(servedStatus), ...unserved.map(unservedStatus)],
    ...(source.queue ? { queue: { working: source.queue.workers, ...source.queue.counts } } : {}),
    problems: Array.from(problemsOf(source), ([key, error]) => ({ key, error: error.toData() })),
  }
}

function problemsOf({ catalog, queue }: HostStatusSource): readonly (readonly [string, FnError])[] {
  return queue?.problem ? [...catalog.problems, ["queue", queue.problem]] : [...catalog.problems]
}

function servedStatus(fn: HostedFunction): FunctionStatus {
  const open = [...fn.versions.values()]
  const active = fn.versions.get(fn.record.activeVersion)
  const { stats } = fn
  const circuit = fn.circuit?.status()
  return {
    function: fn.key,
    revision: fn.revision,
    activeVersion: fn.record.activeVersion,
    served: true,
    instances: open.reduce((sum, { pool }) => sum + pool.instanceCount, 0),
    // A version that is not open yet has all its slots free; how many is in its definition.
    freeSlots: active ? offeredSlots(active) : 1,
    running: open.reduce((sum, { pool }) => sum + pool.running, 0),
    ...(stats.stuck > 0 ? { stuck: stats.stuck } : {}),
    waiting: open.reduce((sum, { waiting }) => sum + waiting.size, 0),
    ...(fn.queued > 0 ? { queued: fn.queued } : {}),
    ...(circuit ? { circuit } : {}),
    executions: stats.executions,
    errors: stats.errors,
    coldStarts: stats.coldStarts,
    crashes: stats.crashes,
    ...(stats.limits ? { limits: stats.limits } : {}),
    ...(stats.lastColdStartMs === undefined ? {} : { lastColdStartMs: stats.lastColdStartMs }),
  }
}

function unservedStatus({ record, revision, error }: UnservedFunction): FunctionStatus {
  const data: FnErrorData = error.toData()
  return {
    function: `${record.namespace}/${record.name}`,
    revision,
    activeVersion: record.activeVersion,
    served: false,
    error: data,
    instances: 0,
    freeSlots: 0,
    running: 0,
    waiting: 0,
    executions: 0,
    errors: 0,
    coldStarts: 0,
    crashes: 0,
  }
}

function pick<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value]
}
