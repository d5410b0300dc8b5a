import type { Logger } from "@fn/core"
import type { QueueAccess } from "@fn/queue"
import type { CallbackSender } from "../callbacks/callback-sender.js"
import type { Dispatcher } from "../dispatch/dispatcher.js"
import type { EgressOptions, EndpointCounter } from "../egress/responder.js"
import type { PayloadIntake } from "../payloads/payload-intake.js"
import type { PayloadOutbox } from "../payloads/payload-outbox.js"
import type { ExecutionRecorder } from "../records/execution-recorder.js"
import type { CancelledIds } from "./cancelled.js"
import type { QueueDefaults } from "./settings.js"
import type { StoredEvents } from "./stored-events.js"

/** What a host has counted of its part of the queue since it started. */
export interface QueueCounts {
  /** Invocations that another queued message had claimed before: not run. */
  duplicates: number
  /** Results that were dropped, since another attempt had stored one. */
  droppedResults: number
  /** Reply subjects that were refused. */
  badReplySubjects: number
  /** Attempts that were given back to be tried again. */
  retries: number
  deadLetters: number
}

/** What the parts of the queue share. */
export interface QueueContext {
  readonly access: QueueAccess
  readonly dispatcher: Dispatcher
  readonly egress: EgressOptions
  readonly replyPrefixes: readonly string[]
  readonly logger: Logger
  readonly defaults: QueueDefaults
  readonly counts: QueueCounts
  readonly cancelled: CancelledIds
  readonly events: StoredEvents
  readonly recorder: Pick<ExecutionRecorder, "recordDurable" | "trace">
  readonly callbacks?: CallbackSender | undefined
  readonly payloads?: PayloadIntake | undefined
  /** Takes results too large for a message. */
  readonly outbox?: PayloadOutbox | undefined
  /** A sync call has come out of the queue. This host may be the one that puts it there, and not know yet that it is in. */
  readonly onSpilled?: ((invocationId: string) => void) | undefined
  /** Counters of the language's endpoint: a spilled call is still a call. */
  readonly counter: (endpoint: string) => EndpointCounter
  /** Aborts when the host closes. */
  readonly closing: AbortSignal
}
