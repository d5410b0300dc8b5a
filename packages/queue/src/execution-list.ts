/** Reading the log of executions: one by id, or page by page from the newest. docs/protocol.md#executions */
import { FnError } from "@fn/core"
import { findMessage, newestFirst, type StoredMessage } from "@fn/nats"
import type { QueueAccess } from "./access.js"
import type { ExecutionRecord, FinalStatus } from "./executions.js"
import { type Page, type PageOptions, pageOf, sequenceOf } from "./page.js"
import { FINAL_STATUSES } from "./streams.js"

/** Which executions to list. */
export interface ExecutionFilter extends PageOptions {
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly status?: FinalStatus | undefined
}

/** A page of executions, the newest first. It may be short although there is more, if very many others had to be passed over. */
export interface ExecutionPage {
  readonly executions: readonly ExecutionRecord[]
  readonly hasMore: boolean
  /** Where the next page starts; absent when there is none. */
  readonly startAfter?: string
}

/**
 * The record of an invocation; undefined when none is kept: it has not ended, ended too long ago, or was not recorded.
 * @throws {FnError} JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
 */
export async function findExecution(access: QueueAccess, namespace: string, id: string): Promise<ExecutionRecord | undefined> {
  const { inbox, names, jsDomain } = access
  const nextOf = names.subjects.executions({ namespace, id })
  // The log may hold what is not one of our records: whoever may publish there can write anything.
  for (let from = 1; ; ) {
    const found = await findMessage(inbox, names.executions, { nextOf, from }, { jsDomain })
    if (!found) return undefined
    const record = recordIn(found)
    if (record) return record
    from = found.seq + 1
  }
}

/**
 * Executions that ended, the newest first. What runs or waits is not among them: ask for its status.
 * @throws {FnError} invalid_argument INVALID_REQUEST; NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function listExecutions(access: QueueAccess, filter: ExecutionFilter = {}): Promise<ExecutionPage> {
  const { status } = filter
  if (status !== undefined && !FINAL_STATUSES.includes(status))
    throw FnError.of("INVALID_REQUEST", `status must be one of ${FINAL_STATUSES.join(", ")}, not ${JSON.stringify(status)}`)
  const { nc, inbox, names, jsDomain } = access
  const { namespace, name, signal } = filter
  const only = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(status === undefined ? {} : { status }),
  }
  const before = sequenceOf(filter.startAfter)
  const list = (subject: string, stretch: number): Promise<Page<ExecutionRecord>> =>
    pageOf(
      filter,
      (pageSize) =>
        newestFirst({ nc, inbox, jsDomain, signal, stream: names.executions, subject, pageSize: Math.max(pageSize, stretch), before }),
      (message) => (isOf(filter, message) ? recordIn(message) : undefined),
    )
  const { items, hasMore, startAfter } = await list(names.subjects.executions(only), 1).catch((thrown: unknown) => {
    if (FnError.from(thrown).details?.errCode !== FILTER_NOT_A_SUBSET) throw thrown
    // Servers before 2.10 take no filter that lies across the subjects of a stream, as that of one function and every status does.
    return list(names.subjects.executions(), UNFILTERED_STRETCH)
  })
  return { executions: items, hasMore, ...(startAfter === undefined ? {} : { startAfter }) }
}

const FILTER_NOT_A_SUBSET = 10_093
/** Long stretches where few of many records are wanted. */
const UNFILTERED_STRETCH = 1_000

function isOf({ namespace, name }: ExecutionFilter, { subject }: StoredMessage): boolean {
  const [, , ofNamespace, ofName] = subject.split(".")
  return (namespace === undefined || namespace === ofNamespace) && (name === undefined || name === ofName)
}

/** The record in a message; undefined for what is none. Unknown fields stay: a newer host may have written them. */
function recordIn({ data }: StoredMessage): ExecutionRecord | undefined {
  try {
    const record = JSON.parse(Buffer.from(data).toString("utf8")) as Partial<ExecutionRecord> | null
    return typeof record?.id === "string" && typeof record.status === "string" ? (record as ExecutionRecord) : undefined
  } catch {
    return undefined
  }
}
