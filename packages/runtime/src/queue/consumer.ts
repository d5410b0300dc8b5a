/** The consumer of one function's part of the queue, and what else is asked of the stream. docs/operations.md#queue */
import { FnError } from "@fn/core"
import { deleteMessage as deleteStored, JsCode, requestApi } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { ResolvedQueueSettings } from "./settings.js"

/** A consumer nobody pulls from for so long is deleted by the server, ms. With it go the delivery counts, so hosts pull more often than that. */
const INACTIVE_MS = 1_800_000
const KEEP_MS = INACTIVE_MS / 3
/** Deliveries past the attempts before the server stops: hosts count attempts themselves, this is for hosts that die at each. */
const CRASH_NET = 4
const NS_PER_MS = 1_000_000

/** Subject and consumer of what one function, or one handler, has in the queue. */
export interface QueueLane {
  readonly subject: string
  readonly consumer: string
}

/** What a consumer says of itself. */
export interface ConsumerState {
  /** Not delivered yet. */
  readonly pending: number
  /** Delivered and neither acknowledged nor due again. */
  readonly ackPending: number
  readonly redelivered: number
  /** Last sequence of the stream that was delivered. */
  readonly deliveredSeq: number
}

interface ConsumerInfo {
  readonly num_pending: number
  readonly num_ack_pending: number
  readonly num_redelivered: number
  readonly delivered: { readonly stream_seq: number }
}

/** The consumers of a host's lanes: made when they are first needed, by whoever is first. */
export class Consumers {
  readonly #access: QueueAccess
  /** By name: the settings they were last given, and when something was last asked of them. */
  readonly #known = new Map<string, { readonly settings: string; askedAt: number }>()

  constructor(access: QueueAccess) {
    this.#access = access
  }

  /** The lane's consumer is there with these settings once this resolves. @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED … */
  async ensure(lane: QueueLane, settings: Pick<ResolvedQueueSettings, "ackWaitMs" | "attempts">): Promise<void> {
    const wanted = `${settings.ackWaitMs} ${settings.attempts}`
    const known = this.#known.get(lane.consumer)
    if (known && known.settings === wanted && !isOld(known)) return
    await createConsumer(this.#access, lane, settings)
    this.#known.set(lane.consumer, { settings: wanted, askedAt: Date.now() })
  }

  /** Something is asked of the consumer now: the server keeps it. */
  asked({ consumer }: QueueLane): void {
    const known = this.#known.get(consumer)
    if (known) known.askedAt = Date.now()
  }

  /** Whether the consumer should be asked for something, lest the server delete it. */
  isDue({ consumer }: QueueLane): boolean {
    const known = this.#known.get(consumer)
    return !known || isOld(known)
  }

  /** It may not be there any more. */
  forget({ consumer }: QueueLane): void {
    this.#known.delete(consumer)
  }

  /** Forgets those nothing was asked of for long; all of them after the server was away. */
  prune(all: boolean = false): void {
    for (const [consumer, known] of this.#known) if (all || isOld(known)) this.#known.delete(consumer)
  }
}

function isOld({ askedAt }: { readonly askedAt: number }): boolean {
  return Date.now() - askedAt > KEEP_MS
}

/** Makes the consumer, or gives it these settings. Without `action` every server since 2.9 does whichever is needed. */
async function createConsumer(
  { inbox, names, jsDomain }: QueueAccess,
  lane: QueueLane,
  settings: Pick<ResolvedQueueSettings, "ackWaitMs" | "attempts">,
): Promise<void> {
  await requestApi(inbox, `CONSUMER.CREATE.${names.queue}.${lane.consumer}.${lane.subject}`, {
    jsDomain,
    body: {
      stream_name: names.queue,
      config: {
        name: lane.consumer,
        durable_name: lane.consumer,
        filter_subject: lane.subject,
        ack_policy: "explicit",
        deliver_policy: "all",
        replay_policy: "instant",
        ack_wait: settings.ackWaitMs * NS_PER_MS,
        max_deliver: settings.attempts + CRASH_NET,
        max_ack_pending: -1,
        inactive_threshold: INACTIVE_MS * NS_PER_MS,
      },
    },
  })
}

/** State of the lane's consumer; undefined when there is none. */
export async function consumerState({ inbox, names, jsDomain }: QueueAccess, consumer: string): Promise<ConsumerState | undefined> {
  try {
    const info = await requestApi<ConsumerInfo>(inbox, `CONSUMER.INFO.${names.queue}.${consumer}`, { jsDomain })
    return {
      pending: info.num_pending,
      ackPending: info.num_ack_pending,
      redelivered: info.num_redelivered,
      deliveredSeq: info.delivered.stream_seq,
    }
  } catch (thrown) {
    if (hasCode(thrown, JsCode.consumerNotFound)) return undefined
    throw thrown
  }
}

/** Deletes the lane's consumer if it is there. */
export async function deleteConsumer({ inbox, names, jsDomain }: QueueAccess, consumer: string): Promise<void> {
  try {
    await requestApi(inbox, `CONSUMER.DELETE.${names.queue}.${consumer}`, { jsDomain })
  } catch (thrown) {
    if (!hasCode(thrown, JsCode.consumerNotFound)) throw thrown
  }
}

/** Takes a message out of the queue; nothing happens if it is gone. */
export function deleteMessage({ inbox, names, jsDomain }: QueueAccess, seq: number): Promise<void> {
  return deleteStored(inbox, names.queue, seq, { jsDomain })
}

interface StreamState {
  readonly total?: number
  readonly state: { readonly subjects?: Readonly<Record<string, number>> }
}

/** How many messages there are under each subject of the queue, all of them or those that match `filter`. @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED … */
export async function queueDepths(access: QueueAccess, filter: string = access.names.subjects.queueAll): Promise<Map<string, number>> {
  const { inbox, names, jsDomain } = access
  const depths = new Map<string, number>()
  for (;;) {
    const body = { subjects_filter: filter, offset: depths.size }
    const { state, total = 0 } = await requestApi<StreamState>(inbox, `STREAM.INFO.${names.queue}`, { jsDomain, body })
    const subjects = Object.entries(state.subjects ?? {})
    for (const [subject, depth] of subjects) depths.set(subject, depth)
    if (subjects.length === 0 || depths.size >= total) return depths
  }
}

function hasCode(thrown: unknown, code: number): boolean {
  return FnError.is(thrown) && thrown.details?.errCode === code
}
