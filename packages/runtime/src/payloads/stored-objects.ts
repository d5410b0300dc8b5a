/** Objects this host has stored and will delete: one timer for all. What it forgets when it ends, the bucket's age deletes. */
import { type Logger, messageOf } from "@fn/core"
import type { Payloads } from "@fn/queue"

/** How often those that are due are looked for, ms. */
const LOOK_EVERY_MS = 10_000
/** More are left to the bucket's age. */
const MAX_OBJECTS = 100_000

/** See the head of this file. */
export class StoredObjects {
  readonly #payloads: Pick<Payloads, "delete">
  readonly #logger: Logger
  readonly #lookEveryMs: number
  /** Epoch ms by name. */
  readonly #dueAt = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(payloads: Pick<Payloads, "delete">, logger: Logger, lookEveryMs: number = LOOK_EVERY_MS) {
    this.#payloads = payloads
    this.#logger = logger
    this.#lookEveryMs = lookEveryMs
  }

  /** Deletes `name` in `afterMs`, or a little later. */
  expire(name: string, afterMs: number): void {
    if (this.#closed || this.#dueAt.size >= MAX_OBJECTS) return
    this.#dueAt.set(name, Date.now() + afterMs)
    this.#timer ??= setInterval(() => this.#look(), this.#lookEveryMs)
  }

  /** Deletes `name` now, without waiting for it. */
  delete(name: string): void {
    this.#dueAt.delete(name)
    this.#payloads
      .delete(name)
      .catch((thrown: unknown) => this.#logger.debug("stored data not deleted", { name, error: messageOf(thrown) }))
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#dueAt.clear()
  }

  #look(): void {
    const now = Date.now()
    for (const [name, at] of this.#dueAt) if (at <= now) this.delete(name)
    if (this.#dueAt.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
