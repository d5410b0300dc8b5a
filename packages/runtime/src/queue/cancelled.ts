/** Invocations that were cancelled before this host saw them: what it hears live, and what the server kept of it. docs/protocol.md#cancel */
import { findMessage } from "@fn/nats"
import { DEFAULT_CLAIM_AGE_MS, type QueueAccess } from "@fn/queue"

/** Ids remembered at once; the oldest go first. */
const MAX_IDS = 100_000

/** See the head of this file. */
export class CancelledIds {
  readonly #until = new Map<string, number>()
  /** Sequence up to which the stored ones were read. */
  #readTo = 0

  /** Whether `id` of `namespace` was cancelled. */
  has(namespace: string, id: string): boolean {
    if (this.#until.size === 0) return false
    const until = this.#until.get(`${namespace}/${id}`)
    return until !== undefined && until > Date.now()
  }

  add(namespace: string, id: string, until: number = Date.now() + DEFAULT_CLAIM_AGE_MS): void {
    const key = `${namespace}/${id}`
    this.#until.delete(key)
    this.#until.set(key, until)
    if (this.#until.size <= MAX_IDS) return
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest)
      break
    }
  }

  /** Reads what was stored since the last time. @throws {FnError} NOT_SET_UP, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED */
  async read({ inbox, names, jsDomain }: QueueAccess): Promise<void> {
    for (;;) {
      const query = { nextOf: names.subjects.cancelQueuedAll, from: this.#readTo + 1 }
      const found = await findMessage(inbox, names.claims, query, { jsDomain, fromLeader: true })
      if (!found) return
      this.#readTo = found.seq
      const [, , namespace, id] = found.subject.split(".")
      if (namespace !== undefined && id !== undefined) this.add(namespace, id, found.storedAt + DEFAULT_CLAIM_AGE_MS)
    }
  }
}
