/**
 * How long functions' queues are, as hosts report it: for `maxPending` below what the stream itself takes. A soft limit: reports are up to
 * a second old, and many callers may pass it together.
 */
import { FnError, type LoadReport } from "@fn/core"
import type { NatsConnection, RawMsg } from "@fn/nats"

/** A report says nothing any more after this long: its host may be gone. */
const FRESH_MS = 5_000
/** Functions whose depth is remembered; the least recently reported goes first. */
const MAX_REMEMBERED = 4_096

interface Depth {
  readonly queued: number
  readonly at: number
}

/** Listens from the first question on. */
export class QueueDepths {
  readonly #nc: NatsConnection
  readonly #subject: string
  readonly #depths = new Map<string, Depth>()
  #unsubscribe: (() => void) | undefined

  /** `subject` is where hosts report their load. */
  constructor(nc: NatsConnection, subject: string) {
    this.#nc = nc
    this.#subject = subject
  }

  /** `QUEUE_FULL` when the last report says that `maxPending` invocations of `key` wait; undefined also when there was no report. */
  refusal(key: string, maxPending: number): FnError | undefined {
    this.#unsubscribe ??= this.#listen()
    const depth = this.#depths.get(key)
    if (!depth || depth.queued < maxPending || performance.now() - depth.at > FRESH_MS) return undefined
    return FnError.of("QUEUE_FULL", `${depth.queued} invocations of ${key} wait already; it takes ${maxPending} (queue.maxPending)`)
  }

  /** Stops listening. */
  close(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
  }

  #listen(): () => void {
    const subscription = this.#nc.subscribe(this.#subject, {
      callback: (refused, msg) => {
        // Without leave to listen nothing is known, and the stream's own limit is the limit.
        if (!refused) this.#take(msg)
      },
    })
    return () => subscription.unsubscribe()
  }

  #take(msg: RawMsg): void {
    const at = performance.now()
    for (const { function: key, queued } of functionsOf(msg)) {
      if (typeof key !== "string" || typeof queued !== "number") continue
      this.#depths.delete(key)
      this.#depths.set(key, { queued, at })
    }
    for (const key of this.#depths.keys()) {
      if (this.#depths.size <= MAX_REMEMBERED) return
      this.#depths.delete(key)
    }
  }
}

function functionsOf(msg: RawMsg): LoadReport["functions"] {
  try {
    const { functions } = msg.json<Partial<LoadReport>>()
    return Array.isArray(functions) ? (functions as LoadReport["functions"]) : []
  } catch {
    return [] // not a host's: anybody who may publish there can send anything
  }
}
