/** The streams and the bucket as `fn setup` makes them. */
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream"
import { type QueueNames, queueNames } from "./names.js"

/** What an operator may choose. */
export interface QueueStreamOptions {
  /** First token of subjects. Default `function`. */
  readonly prefix?: string | undefined
  /** Copies. Default 1. */
  readonly replicas?: number | undefined
  /** Upper bound of each stream's size, bytes. Default: {@link DEFAULT_STREAM_BYTES} by stream. */
  readonly maxBytes?: number | undefined
  /** Invocations that may wait for one function; the stream refuses more. Default 100 000. */
  readonly maxPending?: number | undefined
  /** How long results can be fetched, ms. Default 1 h. */
  readonly resultAgeMs?: number | undefined
  /** How long executions can be listed, ms. Default 24 h. */
  readonly executionAgeMs?: number | undefined
  /** How long dead letters are kept, ms. Default 7 d. */
  readonly deadLetterAgeMs?: number | undefined
  /** How long an idempotency key is remembered, ms. Default 24 h. */
  readonly claimAgeMs?: number | undefined
}

/** A stream's settings, as far as they are ours. */
export type QueueStream = Pick<
  StreamConfig,
  | "name"
  | "description"
  | "subjects"
  | "retention"
  | "storage"
  | "discard"
  | "discard_new_per_subject"
  | "max_msgs_per_subject"
  | "max_age"
  | "max_bytes"
  | "duplicate_window"
  | "allow_direct"
  | "num_replicas"
> &
  Partial<Pick<StreamConfig, "republish">>

/** Sizes of new streams, bytes. */
export const DEFAULT_STREAM_BYTES = {
  queue: 1_073_741_824,
  results: 536_870_912,
  executions: 268_435_456,
  deadLetters: 536_870_912,
  claims: 268_435_456,
  payloads: 1_073_741_824,
} as const

const HOUR_MS = 3_600_000
export const DEFAULT_RESULT_AGE_MS: number = HOUR_MS
export const DEFAULT_EXECUTION_AGE_MS: number = 24 * HOUR_MS
export const DEFAULT_DEAD_LETTER_AGE_MS: number = 7 * 24 * HOUR_MS
export const DEFAULT_CLAIM_AGE_MS: number = 24 * HOUR_MS
export const DEFAULT_MAX_PENDING = 100_000
const DUPLICATE_WINDOW_MS = 120_000
const NS_PER_MS = 1_000_000

/** The streams for these options. docs/operations.md says how to size them. */
export function queueStreams(options: QueueStreamOptions = {}): QueueStream[] {
  const names = queueNames(options.prefix)
  const { subjects } = names
  const size = (name: keyof typeof DEFAULT_STREAM_BYTES): number => options.maxBytes ?? DEFAULT_STREAM_BYTES[name]
  const base = {
    storage: StorageType.File,
    num_replicas: options.replicas ?? 1,
    allow_direct: true,
    discard_new_per_subject: false,
    max_msgs_per_subject: -1,
    duplicate_window: DUPLICATE_WINDOW_MS * NS_PER_MS,
  }
  const kept = (ageMs: number) => ({
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: ageMs * NS_PER_MS,
    // A server takes none that is longer than the age.
    duplicate_window: Math.min(DUPLICATE_WINDOW_MS, ageMs) * NS_PER_MS,
  })
  return [
    {
      ...base,
      name: names.queue,
      description: "fn: invocations that wait to run",
      subjects: [subjects.queueAll],
      retention: RetentionPolicy.Workqueue,
      // A full queue refuses: what was accepted is never dropped. Age is checked at delivery, so that what is too old is a dead letter.
      discard: DiscardPolicy.New,
      discard_new_per_subject: true,
      max_msgs_per_subject: options.maxPending ?? DEFAULT_MAX_PENDING,
      max_age: 0,
      max_bytes: size("queue"),
      republish: { src: subjects.queueAll, dest: subjects.wakeAll, headers_only: true },
    },
    {
      ...base,
      ...kept(options.resultAgeMs ?? DEFAULT_RESULT_AGE_MS),
      name: names.results,
      description: "fn: results of invocations, by id",
      subjects: subjects.resultAll,
      max_msgs_per_subject: 1,
      max_bytes: size("results"),
    },
    {
      ...base,
      ...kept(options.executionAgeMs ?? DEFAULT_EXECUTION_AGE_MS),
      name: names.executions,
      description: "fn: executions that ended",
      // Not `running`: that one is only told, not kept.
      subjects: FINAL_STATUSES.map((status) => subjects.executions({ status })),
      max_bytes: size("executions"),
    },
    {
      ...base,
      ...kept(options.deadLetterAgeMs ?? DEFAULT_DEAD_LETTER_AGE_MS),
      name: names.deadLetters,
      description: "fn: invocations that were given up",
      subjects: [subjects.deadLetters()],
      max_bytes: size("deadLetters"),
    },
    {
      ...base,
      ...kept(options.claimAgeMs ?? DEFAULT_CLAIM_AGE_MS),
      name: names.claims,
      description: "fn: idempotency keys in use, and cancels of queued invocations",
      subjects: [subjects.claimAll, subjects.cancelQueuedAll],
      max_msgs_per_subject: 1,
      max_bytes: size("claims"),
    },
  ]
}

/** What a stream that is there must have: all that is not an operator's choice, and what these options choose. */
export function requiredSettings(stream: QueueStream, options: QueueStreamOptions = {}): Partial<QueueStream> {
  const { subjects, retention, discard, discard_new_per_subject, max_age, duplicate_window, allow_direct, republish } = stream
  const names = queueNames(options.prefix)
  const askedAgeMs: Readonly<Record<string, number | undefined>> = {
    [names.queue]: 0,
    [names.results]: options.resultAgeMs,
    [names.executions]: options.executionAgeMs,
    [names.deadLetters]: options.deadLetterAgeMs,
    [names.claims]: options.claimAgeMs,
  }
  const isChosen = stream.name === names.queue && options.maxPending === undefined
  return {
    subjects,
    retention,
    discard,
    discard_new_per_subject,
    allow_direct,
    ...(republish === undefined ? {} : { republish }),
    ...(isChosen ? {} : { max_msgs_per_subject: stream.max_msgs_per_subject }),
    ...(askedAgeMs[stream.name] === undefined ? {} : { max_age, duplicate_window }),
    ...(options.replicas === undefined ? {} : { num_replicas: stream.num_replicas }),
    ...(options.maxBytes === undefined ? {} : { max_bytes: stream.max_bytes }),
  }
}

/** How an execution can end. */
export const FINAL_STATUSES = ["succeeded", "failed", "cancelled", "timed_out"] as const

/** The payload bucket: name, description, size, and how long an object stays that nobody deleted. */
export function payloadBucket(options: QueueStreamOptions = {}): {
  name: string
  description: string
  ttlMs: number
  maxBytes: number
  replicas: number
} {
  const names: QueueNames = queueNames(options.prefix)
  const ages = {
    resultAgeMs: options.resultAgeMs ?? DEFAULT_RESULT_AGE_MS,
    deadLetterAgeMs: options.deadLetterAgeMs ?? DEFAULT_DEAD_LETTER_AGE_MS,
    claimAgeMs: options.claimAgeMs ?? DEFAULT_CLAIM_AGE_MS,
  }
  return {
    name: names.payloads,
    description: "fn: events and results too large for a message",
    // As long as anything may name an object: a result, a dead letter, an invocation that waits.
    ttlMs: Math.max(ages.resultAgeMs, ages.deadLetterAgeMs, ages.claimAgeMs) + HOUR_MS,
    maxBytes: options.maxBytes ?? DEFAULT_STREAM_BYTES.payloads,
    replicas: options.replicas ?? 1,
  }
}
