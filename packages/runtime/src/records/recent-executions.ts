/** The last executions of a host, in memory: what a status answers of executions that are not recorded. */
import type { Code, FnError, RecentExecution } from "@fn/core"
import type { Call } from "../dispatch/call.js"
import { statusOfReason } from "./status-of.js"

/** How many are remembered. */
export const RECENT_EXECUTIONS = 1_000
/** What is kept of an error's message. */
const MESSAGE_CHARS = 1_024

/** Made once and written over again: remembering an execution allocates nothing. Never the call itself, which holds its event. */
interface Slot {
  id: string
  function: string
  version: string | undefined
  instance: string | undefined
  attempt: number
  durable: boolean
  /** performance.now() of its begin, 0 when it never ran, and of its end. */
  startedAt: number
  endedAt: number
  eventsOut: number
  /** Of its error; a code of "" for none. */
  code: Code | ""
  reason: string
  message: string
  retryable: boolean
}

/** Which of them. */
export interface RecentQuery {
  /** At most so many, the latest first. */
  readonly limit: number
  /** Only this function, `namespace/name`. */
  readonly function?: string | undefined
  /** Only this invocation. */
  readonly id?: string | undefined
}

/** See the head of this file. */
export class RecentExecutions {
  readonly #slots: Slot[]
  #next = 0
  #used = 0

  constructor(size: number = RECENT_EXECUTIONS) {
    this.#slots = Array.from({ length: size }, newSlot)
  }

  add(call: Call, error: FnError | undefined, eventsOut: number): void {
    const slot = this.#slots[this.#next] as Slot
    this.#next = this.#next + 1 === this.#slots.length ? 0 : this.#next + 1
    if (this.#used < this.#slots.length) this.#used++
    slot.id = call.invocationId
    slot.function = call.fn?.key ?? ""
    slot.version = call.runningVersion
    slot.instance = call.pooled?.instance.id
    slot.attempt = call.attempt
    slot.durable = call.durable
    slot.startedAt = call.startedAt
    slot.endedAt = performance.now()
    slot.eventsOut = eventsOut
    slot.code = error?.code ?? ""
    if (!error) return
    slot.reason = error.reason
    slot.message = error.message.length > MESSAGE_CHARS ? `${error.message.slice(0, MESSAGE_CHARS)}…` : error.message
    slot.retryable = error.retryable
  }

  /** The latest first. */
  list(query: RecentQuery): RecentExecution[] {
    // Wall time is reckoned when somebody asks, not at every call.
    const epochMs = Date.now() - performance.now()
    const found: RecentExecution[] = []
    for (let back = 1; back <= this.#used && found.length < query.limit; back++) {
      const slot = this.#slots[(this.#next - back + this.#slots.length) % this.#slots.length] as Slot
      if (query.function !== undefined && slot.function !== query.function) continue
      if (query.id === undefined || slot.id === query.id) found.push(describe(slot, epochMs))
    }
    return found
  }
}

function newSlot(): Slot {
  return {
    id: "",
    function: "",
    version: undefined,
    instance: undefined,
    attempt: 0,
    durable: false,
    startedAt: 0,
    endedAt: 0,
    eventsOut: 0,
    code: "",
    reason: "",
    message: "",
    retryable: false,
  }
}

function describe(slot: Slot, epochMs: number): RecentExecution {
  const { version, instance, startedAt, endedAt, code, reason, message, retryable } = slot
  return {
    id: slot.id,
    function: slot.function,
    ...(version === undefined ? {} : { version }),
    ...(instance === undefined ? {} : { instance }),
    status: code === "" ? "succeeded" : statusOfReason(reason),
    attempt: slot.attempt,
    durable: slot.durable,
    ...(startedAt === 0 ? {} : { startedAt: new Date(epochMs + startedAt).toISOString() }),
    endedAt: new Date(epochMs + endedAt).toISOString(),
    durationMs: startedAt === 0 ? 0 : rounded(endedAt - startedAt),
    eventsOut: slot.eventsOut,
    ...(code === "" ? {} : { error: { code, reason, message, retryable } }),
  }
}

/** Milliseconds to the microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
