/** How the queue stands: what waits, by function. */
import { checkName, checkNamespace } from "@fn/core"
import { findMessage, requestApi } from "@fn/nats"
import type { QueueAccess } from "./access.js"

/** Of which part of the queue. */
export interface QueueStatsFilter {
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** One function's part of the queue. */
export interface FunctionQueueStats {
  readonly namespace: string
  /** `=callback` stands for results of the namespace that are on their way to callbacks. */
  readonly name: string
  /** Messages in the queue: those that wait, are put off, or are being worked on. */
  readonly depth: number
  /** Of them: delivered to a host and not finished yet. Put off ones count here too. */
  readonly delivered: number
  /** Of them: not delivered yet. */
  readonly pending: number
  /** Of them: delivered more than once. */
  readonly redelivered: number
  /** When the oldest of them was stored, ISO. Absent when there is none. */
  readonly oldestAt?: string
  /** Its age, ms, by this machine's clock. */
  readonly oldestAgeMs?: number
  /** Whether hosts work on it, or did within the last half hour: a function that has nothing to do needs no consumer. */
  readonly hasConsumer: boolean
}

/** The queue as a whole. */
export interface QueueStats {
  /** Functions with something in the queue, or with a consumer; by namespace and name. */
  readonly functions: readonly FunctionQueueStats[]
  /** Of everything in the queue, whatever was asked for. */
  readonly messages: number
  readonly bytes: number
  /** What it takes at most, bytes. */
  readonly maxBytes: number
}

interface StreamInfo {
  /** With a filter of subjects: how many there are in all. */
  readonly total?: number
  readonly config: { readonly max_bytes: number }
  readonly state: { readonly messages: number; readonly bytes: number; readonly subjects?: Readonly<Record<string, number>> }
}

interface ConsumerPage {
  readonly total: number
  readonly consumers: readonly ConsumerInfo[] | null
}

interface ConsumerInfo {
  readonly config: { readonly filter_subject?: string }
  readonly num_pending: number
  readonly num_ack_pending: number
  readonly num_redelivered: number
}

/** Oldest messages that are looked up at once. */
const AT_ONCE = 16

/**
 * How the queue stands now. Costs a request, one for every 256 consumers, and one for every function that has something in it.
 * @throws {FnError} INVALID_NAME; NOT_SET_UP, JETSTREAM_UNAVAILABLE, NATS_PERMISSION, DISCONNECTED, DEADLINE_EXCEEDED, CANCELLED
 */
export async function queueStats(access: QueueAccess, filter: QueueStatsFilter = {}): Promise<QueueStats> {
  const subject = subjectOf(access, filter)
  const [queue, consumers] = await Promise.all([readDepths(access, subject, filter), readConsumers(access, filter)])
  const subjects = new Set([...queue.depths.keys(), ...[...consumers.keys()].filter((each) => isWithin(each, subject))])
  const functions: FunctionQueueStats[] = []
  const waiting = [...subjects].sort()
  for (let at = 0; at < waiting.length; at += AT_ONCE) {
    const some = waiting.slice(at, at + AT_ONCE)
    functions.push(
      ...(await Promise.all(some.map((each) => statsOf(access, each, queue.depths.get(each) ?? 0, consumers.get(each), filter)))),
    )
  }
  return { functions, messages: queue.messages, bytes: queue.bytes, maxBytes: queue.maxBytes }
}

async function statsOf(
  { inbox, names, jsDomain }: QueueAccess,
  subject: string,
  depth: number,
  consumer: ConsumerInfo | undefined,
  { signal }: QueueStatsFilter,
): Promise<FunctionQueueStats> {
  const [namespace = "", name = ""] = subject.split(".").slice(-2)
  const oldest = depth === 0 ? undefined : await findMessage(inbox, names.queue, { nextOf: subject }, { jsDomain, signal })
  return {
    namespace,
    name,
    depth,
    delivered: consumer?.num_ack_pending ?? 0,
    pending: consumer?.num_pending ?? depth,
    redelivered: consumer?.num_redelivered ?? 0,
    ...(oldest ? { oldestAt: new Date(oldest.storedAt).toISOString(), oldestAgeMs: Math.max(0, Date.now() - oldest.storedAt) } : {}),
    hasConsumer: consumer !== undefined,
  }
}

async function readDepths(
  { inbox, names, jsDomain }: QueueAccess,
  subject: string,
  { signal }: QueueStatsFilter,
): Promise<{ depths: Map<string, number>; messages: number; bytes: number; maxBytes: number }> {
  const depths = new Map<string, number>()
  // The server gives so many subjects at a time.
  for (;;) {
    const body = { subjects_filter: subject, offset: depths.size }
    const { config, state, total = 0 } = await requestApi<StreamInfo>(inbox, `STREAM.INFO.${names.queue}`, { jsDomain, signal, body })
    const page = Object.entries(state.subjects ?? {})
    for (const [each, depth] of page) depths.set(each, depth)
    if (page.length === 0 || depths.size >= total) {
      return { depths, messages: state.messages, bytes: state.bytes, maxBytes: config.max_bytes }
    }
  }
}

/** The queue's consumers by the subject each is for. */
async function readConsumers(
  { inbox, names, jsDomain }: QueueAccess,
  { signal }: QueueStatsFilter,
): Promise<ReadonlyMap<string, ConsumerInfo>> {
  const consumers = new Map<string, ConsumerInfo>()
  for (let offset = 0; ; ) {
    const { total, consumers: page } = await requestApi<ConsumerPage>(inbox, `CONSUMER.LIST.${names.queue}`, {
      jsDomain,
      signal,
      body: { offset },
    })
    for (const consumer of page ?? []) if (consumer.config.filter_subject) consumers.set(consumer.config.filter_subject, consumer)
    offset += page?.length ?? 0
    if (!page?.length || offset >= total) return consumers
  }
}

function subjectOf({ names }: QueueAccess, { namespace, name }: QueueStatsFilter): string {
  const scope = namespace === undefined ? "*" : checkNamespace(namespace)
  return names.subjects.queueAll.replace(/>$/, `${scope}.${name === undefined ? "*" : checkName(name)}`)
}

function isWithin(subject: string, pattern: string): boolean {
  const tokens = subject.split(".")
  const wanted = pattern.split(".")
  return tokens.length === wanted.length && wanted.every((token, at) => token === "*" || token === tokens[at])
}
