/** Where an invocation is: its result, else the hosts, else the queue say so. */
import { checkNamespace, errorFromReply, FnError, Header, headerBlock, readHeaderBlock } from "@fn/core"
import { findMessage } from "@fn/nats"
import { type ExecutionRecord, findExecution, findResult, type QueueAccess } from "@fn/queue"
import type { Hosts } from "../hosts.js"
import type { InvocationStatus, StatusOptions } from "./durable-client.js"
import { finalStatus } from "./final-status.js"

/** Waiting invocations that are looked at. More would be a job for the queue's own tools. */
const MAX_SCANNED = 1_000
const MAX_SCAN_MS = 5_000
/** Id of an invocation that was stored without one: its sequence. */
const SEQUENCE_ID = /^q([1-9][0-9]{0,15})$/

/** What it is asked of. */
export interface StatusSources {
  readonly access: QueueAccess
  readonly hosts: Hosts
}

/** @throws {FnError} not_found EXECUTION_NOT_FOUND; unavailable; deadline_exceeded; cancelled */
export async function invocationStatus(sources: StatusSources, id: string, options: StatusOptions): Promise<InvocationStatus> {
  const namespace = options.namespace ?? "default"
  const scope = { ...options, namespace }
  // Whatever moves from the queue to a host to its end while it is looked for is found by the second look at the ends.
  const found =
    (await whereEnded(sources, id, scope)) ??
    (await onHosts(sources, id, scope)) ??
    (await inQueue(sources, id, scope)) ??
    (await whereEnded(sources, id, scope))
  if (found) return found
  throw FnError.of(
    "EXECUTION_NOT_FOUND",
    `nothing is known of invocation ${id} in namespace ${namespace}: it has no result and no record, no host runs it, and it is not among the first ${MAX_SCANNED} that wait`,
  )
}

type Scope = StatusOptions & { readonly namespace: string }

/** By its result or, where there is none (a sync call, or one of long ago), by its record. */
async function whereEnded({ access }: StatusSources, id: string, scope: Scope): Promise<InvocationStatus | undefined> {
  const { namespace, signal } = scope
  const [stored, execution] = await Promise.all([
    findResult(access, namespace, id, signal ? { signal } : {}),
    findExecution(access, namespace, id).catch(unlessDenied),
  ])
  if (!stored && !execution) return undefined
  const known = { invocationId: id, namespace, ...(execution ? { execution } : {}) }
  if (!stored) return { ...known, ...ofRecord(execution as ExecutionRecord) }
  const headers = headersOf(stored.lines)
  const failed = headers.has(Header.errorCode) || headers.has(Header.serviceErrorCode)
  const error = failed ? errorFromReply((name) => headers.get(name), stored.data) : undefined
  const version = headers.get(Header.version)
  return {
    ...known,
    status: finalStatus(error),
    ...attemptIn(headers),
    ...(version === undefined ? {} : { version }),
    ...(error === undefined ? {} : { error }),
  }
}

function ofRecord({
  status,
  attempt,
  version,
  error,
}: ExecutionRecord): Pick<InvocationStatus, "status" | "attempt" | "version" | "error"> {
  return {
    status,
    attempt,
    ...(version === undefined ? {} : { version }),
    ...(error === undefined ? {} : { error: FnError.fromData(error) }),
  }
}

async function onHosts({ hosts }: StatusSources, id: string, scope: Scope): Promise<InvocationStatus | undefined> {
  // Naming a function, be it none, keeps the status of all others out of the answers.
  const key = scope.function === undefined ? "" : `${scope.namespace}/${scope.function}`
  const answers = await hosts.askAll({ invocationId: id, function: key })
  for (const [host, answer] of answers) {
    if (answer.kind === "status" && answer.status.runningInvocation === true)
      return { invocationId: id, namespace: scope.namespace, status: "running", host }
  }
  return undefined
}

async function inQueue({ access }: StatusSources, id: string, scope: Scope): Promise<InvocationStatus | undefined> {
  const { inbox, names, jsDomain } = access
  const { subjects } = names
  const { namespace, function: name, signal } = scope
  const pattern = name === undefined ? `${subjects.functions}.queue.${checkNamespace(namespace)}.*` : subjects.queue({ namespace, name })
  const sequence = SEQUENCE_ID.exec(id)?.[1]
  const until = performance.now() + MAX_SCAN_MS
  let from = sequence === undefined ? 1 : Number(sequence)
  for (let scanned = 0; scanned < MAX_SCANNED && performance.now() < until; scanned++) {
    const message = await findMessage(inbox, names.queue, { nextOf: pattern, from }, { jsDomain, ...(signal ? { signal } : {}) })
    if (!message) return undefined
    const headers = headersOf(message.lines)
    if ((headers.get(Header.invocationId) ?? `q${message.seq}`) === id) {
      const queuedAt = new Date(message.storedAt).toISOString()
      return { invocationId: id, namespace, status: "pending", queuedAt }
    }
    from = message.seq + 1
  }
  return undefined
}

/** Records are for operators; a caller's own result tells him nearly as much. */
function unlessDenied(thrown: unknown): undefined {
  if (FnError.from(thrown).reason !== "NATS_PERMISSION") throw thrown
  return undefined
}

function headersOf(lines: string): Map<string, string> {
  const headers = new Map<string, string>()
  readHeaderBlock(headerBlock(lines), (name, value) => headers.set(name, value))
  return headers
}

function attemptIn(headers: ReadonlyMap<string, string>): { attempt?: number } {
  const attempt = Number(headers.get(Header.attempt))
  return Number.isSafeInteger(attempt) && attempt > 0 ? { attempt } : {}
}
