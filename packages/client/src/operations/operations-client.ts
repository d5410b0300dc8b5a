/** What a client shows an operator, and lets him do: executions that ended, dead letters, the queue. */
import type {
  DeadLetterContent,
  DeadLetterListOptions,
  DeadLetterPage,
  DeadLetterSelection,
  DeadLetterWorkOptions,
  ExecutionFilter,
  ExecutionPage,
  ExecutionRecord,
  QueueStats,
  QueueStatsFilter,
  Redriven,
  RedriveOptions,
} from "@fn/queue"
import type { InvocationScope } from "../durable/durable-client.js"

/** The log of executions that ended: durable ones, failed ones, and successes of functions that record all. */
export interface Executions {
  /**
   * A page, the newest first. Give its `startAfter` to get the next one.
   * @throws {FnError} invalid_argument INVALID_REQUEST, INVALID_NAME; unavailable; failed_precondition NOT_SET_UP; permission_denied; cancelled
   */
  list(filter?: ExecutionFilter): Promise<ExecutionPage>
  /** The record of an invocation. @throws {FnError} not_found EXECUTION_NOT_FOUND; unavailable; permission_denied */
  get(id: string, scope?: InvocationScope): Promise<ExecutionRecord>
}

/** Invocations that were given up, with the events they had. */
export interface DeadLetters {
  /** A page, the newest first, without events. @throws {FnError} as {@link Executions.list} */
  list(options?: DeadLetterListOptions): Promise<DeadLetterPage>
  /** One with what was queued. @throws {FnError} not_found DEAD_LETTER_NOT_FOUND; unavailable; permission_denied */
  get(seq: number): Promise<DeadLetterContent>
  /**
   * Sends letters back to the queue as new invocations: with new ids and all their attempts, without delay, caller and idempotency key, on
   * the version that is active then. A first failure ends it; repeating it is no risk.
   * @throws {FnError} not_found DEAD_LETTER_NOT_FOUND; invalid_argument INVALID_REQUEST for an empty selection; resource_exhausted QUEUE_FULL;
   *   unavailable; permission_denied; cancelled
   */
  redrive(selection: DeadLetterSelection, options?: RedriveOptions): Promise<Redriven[]>
  /** Throws letters away, with the data that is stored apart for them; resolves with how many. @throws {FnError} as {@link redrive} */
  purge(selection: DeadLetterSelection, options?: DeadLetterWorkOptions): Promise<number>
}

/** The queue as it stands. */
export interface Queue {
  /** What waits, by function. @throws {FnError} invalid_argument INVALID_NAME; unavailable; failed_precondition NOT_SET_UP; permission_denied */
  stats(filter?: QueueStatsFilter): Promise<QueueStats>
}

/** The part of a client that is for operators. Each needs more permissions than a caller has: docs/operations.md#permissions */
export interface OperationsClient {
  readonly executions: Executions
  readonly deadLetters: DeadLetters
  readonly queue: Queue
}
