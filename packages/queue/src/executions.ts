/** The log of executions: one record per recorded execution, written when it ends. docs/protocol.md#executions */
import { type FnErrorData, headerLine } from "@fn/core"
import { publishAcked, publishRaw } from "@fn/nats"
import type { QueueAccess } from "./access.js"
import type { FINAL_STATUSES } from "./streams.js"

/** How an execution ended. */
export type FinalStatus = (typeof FINAL_STATUSES)[number]

/** What is kept of an execution. */
export interface ExecutionRecord {
  readonly schema: 1
  /** Invocation id. */
  readonly id: string
  readonly namespace: string
  readonly name: string
  /** Exact version that ran it; absent when none did. */
  readonly version?: string
  /** Instance that ran it, and the host it was on. */
  readonly instance?: string
  readonly host: string
  readonly status: FinalStatus
  /** Of the last attempt, from 1; 0 when none was made. */
  readonly attempt: number
  /** Whether it came through the queue. */
  readonly durable: boolean
  /** ISO times. `queuedAt` of durable ones, `startedAt` absent when it never ran. */
  readonly queuedAt?: string
  readonly startedAt?: string
  readonly endedAt: string
  /** Time in the function, last attempt, ms. */
  readonly durationMs: number
  readonly eventsOut: number
  readonly error?: FnErrorData
  /** Memory of the instance's process as last measured, bytes. */
  readonly memoryBytes?: number
}

/**
 * Appends a record under its status; once per invocation however often it is tried, within the stream's duplicate window.
 * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function recordExecution(access: QueueAccess, record: ExecutionRecord): Promise<void> {
  await publishAcked(access.inbox, subjectOf(access, record), {
    lines: headerLine("Nats-Msg-Id", `${record.namespace}.${record.id}`),
    data: JSON.stringify(record),
    repeat: true,
  })
}

/** As {@link recordExecution} without waiting for the stream: for sync executions, whose caller must not wait for it. @throws {FnError} DISCONNECTED */
export function recordExecutionSoon(access: QueueAccess, record: ExecutionRecord): void {
  publishRaw(access.nc, subjectOf(access, record), JSON.stringify(record))
}

function subjectOf({ names }: QueueAccess, { namespace, name, status, id }: ExecutionRecord): string {
  return names.subjects.execution({ namespace, name }, status, id)
}
