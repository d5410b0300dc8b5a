/**
 * Emits the events of durable executions: acknowledged where a stream keeps them, else as core messages like those of sync calls.
 *
 * Whether a stream takes a subject is asked once a minute for each subject. Every event carries the id `{invocationId}:{index}`, so an
 * attempt that is repeated adds nothing to a stream within its duplicate window.
 */

import type { Subjects } from "@fn/core"
import { binaryHeaderLines, FnError, Header, headerLine, type Logger, type WireEvent } from "@fn/core"
import { publishAcked, publishLines, requestApi } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"

/** Whose events they are. */
export interface EventOrigin {
  readonly namespace: string
  readonly invocationId: string
  /** Functions that the event which caused them had passed. */
  readonly hops: number
}

interface Known {
  readonly stored: boolean
  readonly until: number
}

/** Events of one execution that are on their way to a stream at once. */
const AT_ONCE = 64
const KNOWN_MS = 60_000
const MAX_KNOWN = 1_024
const NOTHING = new Uint8Array(0)

/** See the head of this file. */
export class StoredEvents {
  readonly #access: QueueAccess
  readonly #subjects: Subjects
  readonly #logger: Logger
  readonly #known = new Map<string, Known>()

  constructor(access: QueueAccess, subjects: Subjects, logger: Logger) {
    this.#access = access
    this.#subjects = subjects
    this.#logger = logger
  }

  /**
   * Publishes `events` in order; resolves when those that are kept are stored. An event that can be no message, for its size or its type, is
   * logged and left out, as it is of sync calls: it is in the result.
   * @throws {FnError} STORAGE_FULL, JETSTREAM_UNAVAILABLE, DISCONNECTED, DEADLINE_EXCEEDED
   */
  async emit(events: readonly WireEvent[], origin: EventOrigin): Promise<void> {
    const { invocationId, hops } = origin
    const head = headerLine(Header.invocationId, invocationId) + headerLine(Header.hops, hops + 1)
    let waiting: Promise<void>[] = []
    for (const [index, event] of events.entries()) {
      const lines = head + headerLine("Nats-Msg-Id", `${invocationId}:${index}`) + binaryHeaderLines(event.attributes)
      const subject = this.#subjectOf(event, origin)
      if (subject === undefined) continue
      if (await this.#isStored(subject)) waiting.push(this.#store(subject, lines, event, invocationId))
      else this.#publish(subject, lines, event, invocationId)
      if (waiting.length < AT_ONCE) continue
      await Promise.all(waiting)
      waiting = []
    }
    await Promise.all(waiting)
  }

  #subjectOf({ attributes }: WireEvent, { namespace, invocationId }: EventOrigin): string | undefined {
    try {
      return this.#subjects.event(namespace, attributes.type)
    } catch (thrown) {
      this.#leaveOut(invocationId, attributes.type, FnError.from(thrown))
      return undefined
    }
  }

  async #store(subject: string, lines: string, { attributes, data }: WireEvent, invocationId: string): Promise<void> {
    try {
      await publishAcked(this.#access.inbox, subject, { lines, data, repeat: true })
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (error.reason !== "PAYLOAD_TOO_LARGE") throw error
      this.#leaveOut(invocationId, attributes.type, error)
    }
  }

  #publish(subject: string, lines: string, { attributes, data }: WireEvent, invocationId: string): void {
    try {
      publishLines(this.#access.nc, subject, lines, data ?? NOTHING)
    } catch (thrown) {
      this.#leaveOut(invocationId, attributes.type, FnError.from(thrown))
    }
  }

  #leaveOut(invocationId: string, type: string, error: FnError): void {
    this.#logger.error("event not emitted", { invocationId, type, error: error.message })
  }

  async #isStored(subject: string): Promise<boolean> {
    const known = this.#known.get(subject)
    if (known && known.until > Date.now()) return known.stored
    const stored = await this.#look(subject)
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(subject, { stored, until: Date.now() + KNOWN_MS })
    return stored
  }

  async #look(subject: string): Promise<boolean> {
    const { inbox, jsDomain } = this.#access
    try {
      const { streams } = await requestApi<{ streams?: readonly string[] | null }>(inbox, "STREAM.NAMES", { jsDomain, body: { subject } })
      return (streams?.length ?? 0) > 0
    } catch (thrown) {
      const error = FnError.from(thrown)
      // A host that may not ask publishes and trusts: a stream takes it all the same.
      if (error.reason === "NATS_PERMISSION") return false
      throw error
    }
  }
}
