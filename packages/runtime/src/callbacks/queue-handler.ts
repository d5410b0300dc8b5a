import type { FnError } from "@fn/core"

/** One delivery of a queued message that is the platform's own work. */
export interface HandlerDelivery {
  /** Namespace in the subject it was queued on. */
  readonly namespace: string
  /** Header lines as they were queued, the server's own excepted. */
  readonly lines: string
  readonly data: Uint8Array
  /** From 1. */
  readonly attempt: number
  /** Sequence in the queue. */
  readonly seq: number
  /** Aborts when the host gives up: it closes. */
  readonly signal: AbortSignal
}

/** What becomes of it: acknowledged, given back for a while, or given up (the handler has stored its dead letter). */
export type HandlerOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "retry"; readonly afterMs: number; readonly error: FnError }
  | { readonly kind: "gave-up"; readonly error: FnError }

/**
 * Work that waits in the queue without being an invocation: messages of `function.queue.{namespace}.{name}` with a name no function can
 * have. The queue's workers pull it as they do for a function and call `run` where they would dispatch.
 */
export interface QueueHandler {
  /** Last token of the subject. */
  readonly name: string
  /** Deliveries of one namespace at once on this host. */
  readonly concurrency: number
  /** Deliveries after which `run` gives up by itself. */
  readonly attempts: number
  /** Never rejects. The worker keeps the lease while it runs. */
  run(delivery: HandlerDelivery): Promise<HandlerOutcome>
}
