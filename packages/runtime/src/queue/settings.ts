import type { FunctionDefinition, QueueSettings } from "@fn/registry"

/** Settings that a host's operator gives: for all functions, and for those of one language. */
export interface QueueDefaults {
  readonly platform?: QueueSettings | undefined
  /** By queue group, `function.{language}`, whatever the prefix of subjects is. */
  readonly groups?: Readonly<Record<string, QueueSettings>> | undefined
}

/** Settings of one function's queue, all of them known. */
export interface ResolvedQueueSettings {
  /** Undefined: only the stream's own limit holds. */
  readonly maxPending: number | undefined
  readonly maxAgeMs: number
  /** Attempts of an invocation. */
  readonly attempts: number
  readonly ackWaitMs: number
  readonly batchSize: number
}

/** What holds where nobody said anything. `attempts` is that of a retry policy. */
export const DEFAULT_QUEUE_SETTINGS = { maxAgeMs: 86_400_000, attempts: 3, ackWaitMs: 30_000, batchSize: 256 } as const

/** What a definition says of its queue. */
export type QueueDeclaration = Pick<FunctionDefinition, "language" | "retry" | "queue">

/** Each setting from the first that has it: the function, its language's group, the platform. */
export function resolveQueueSettings(definition: QueueDeclaration, defaults: QueueDefaults = {}): ResolvedQueueSettings {
  const levels = [definition.queue, defaults.groups?.[`function.${definition.language}`], defaults.platform]
  const first = <Key extends keyof QueueSettings>(key: Key): QueueSettings[Key] => levels.find((level) => level?.[key] !== undefined)?.[key]
  return {
    maxPending: first("maxPending"),
    maxAgeMs: first("maxAgeMs") ?? DEFAULT_QUEUE_SETTINGS.maxAgeMs,
    // A function's own retry policy is nearer to it than what an operator says of all functions.
    attempts: definition.queue?.maxDeliver ?? definition.retry?.attempts ?? first("maxDeliver") ?? DEFAULT_QUEUE_SETTINGS.attempts,
    ackWaitMs: first("ackWaitMs") ?? DEFAULT_QUEUE_SETTINGS.ackWaitMs,
    batchSize: first("batchSize") ?? DEFAULT_QUEUE_SETTINGS.batchSize,
  }
}
