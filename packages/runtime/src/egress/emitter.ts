/**
 * Publishes what functions emit, as core messages onto `event.…`, after the replies of the same tick.
 *
 * The calls that one chunk of input brought in are answered first, in one flush; their events follow in the next, still in the same tick. A caller
 * waits for its reply and not for what others may hear of it: docs/adr/0007.
 */
import { binaryHeaderLines, Header, headerLine, type Logger, messageOf, type Subjects, type WireEvent } from "@fn/core"
import { publishLines } from "@fn/nats"
import type { NatsConnection } from "@nats-io/transport-node"
import type { Call } from "../dispatch/call.js"

const NOTHING = new Uint8Array(0)

/** What emitting goes through. */
export interface EmitterOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
  readonly logger: Logger
}

interface Emission {
  readonly call: Call
  readonly events: readonly WireEvent[]
  /** Header lines of the first event, if they are known already. */
  readonly firstLines: string | undefined
}

/** See the head of this file. */
export class Emitter {
  readonly #options: EmitterOptions
  #queue: Emission[] = []

  constructor(options: EmitterOptions) {
    this.#options = options
  }

  /** Publishes the events of `call` at the end of this tick, each with one hop more than the event that caused it. */
  emit(call: Call, events: readonly WireEvent[], firstLines?: string): void {
    if (events.length === 0) return
    this.#queue.push({ call, events, firstLines })
    if (this.#queue.length === 1) process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    const queue = this.#queue
    this.#queue = []
    for (const emission of queue) this.#publish(emission)
  }

  /** An event the server would refuse (its size, its type) is logged: the call has been answered. */
  #publish({ call, events, firstLines }: Emission): void {
    const { nc, subjects, logger } = this.#options
    const namespace = call.fn?.ref.namespace as string
    const lines = headerLine(Header.invocationId, call.invocationId) + headerLine(Header.hops, call.hops + 1)
    for (const event of events) {
      const eventLines = event === events[0] && firstLines !== undefined ? firstLines : binaryHeaderLines(event.attributes)
      try {
        publishLines(nc, subjects.event(namespace, event.attributes.type), lines + eventLines, event.data ?? NOTHING)
      } catch (thrown) {
        logger.error("event not emitted", { invocationId: call.invocationId, type: event.attributes.type, error: messageOf(thrown) })
      }
    }
  }
}
