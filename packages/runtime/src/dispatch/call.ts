import type { EventSink, FnError, WireEvent } from "@fn/core"
import type { EventMode } from "../ingress/request.js"
import type { Execution } from "../instances/instance.js"
import type { PooledInstance } from "../instances/pool.js"
import type { HostedFunction, OpenVersion } from "./hosted-function.js"

/** Where an answer goes and how, for another host that gives it instead. */
export interface Destination {
  readonly reply: string
  readonly mode: EventMode
  /** The caller can read a reply whose body is stored apart. */
  readonly acceptsPayloadRef?: boolean
  /** Its events are to come one by one: such a call may be handed over, but it is not stored. */
  readonly stream?: boolean
}

/** Where the answer to a call goes. One of the two ends is called, once. Neither may throw, or reject. */
export interface Responder {
  /** Gives a promise where the answer takes a while to leave. */
  succeed(call: Call, events: WireEvent[]): void | Promise<void>
  fail(call: Call, error: FnError): void
  /** The call has lasted long enough that its caller wants to know who has it. */
  started?(call: Call): void
  /** Takes the call's events as they come; absent where they are answered all at once. What was handed over is not in `succeed` again. */
  sinkOf?(call: Call): EventSink | undefined
  /** Events handed over so far. */
  readonly streamed?: number
  /** Absent where only this host can answer: such a call is neither handed over nor stored. */
  readonly destination?: Destination | undefined
  /** The call waits in the durable queue, as its message `seq`. */
  queued?(call: Call, seq: number): void
}

/** One invocation on its way through this host: what ingress parsed, and what dispatch keeps while it runs. */
export class Call implements Execution {
  readonly invocationId: string
  readonly attempt: number
  readonly deadline: number
  readonly event: WireEvent
  readonly responder: Responder
  /** Exact version or alias the caller asked for. */
  readonly version: string | undefined
  /** How many functions the event has passed already. */
  readonly hops: number
  /** Whether the caller wants a started message. */
  readonly wantsStarted: boolean
  /** performance.now() when it came in. */
  readonly receivedAt: number = performance.now()
  /** The function it is for, and where it runs: set by the dispatcher as it gets there. */
  fn: HostedFunction | undefined
  runningVersion: string | undefined
  open: OpenVersion | undefined
  /** It came through the queue: one attempt of it ends here, not the invocation. */
  readonly durable: boolean
  /** performance.now() when it began to execute; 0 before. */
  startedAt = 0
  /** The instance that executes it now. */
  pooled: PooledInstance | undefined
  /** The caller has its answer; what the function still says is dropped. */
  answered = false
  /** Set by the instance. */
  cancel?: (reason: FnError) => void
  /** performance.now() when its time is up. */
  expiresAt: number = Number.POSITIVE_INFINITY
  /** The dispatcher has it on its books. */
  tracked = false
  toldStarted = false
  deadlineSlot = -1

  constructor(options: CallOptions) {
    this.invocationId = options.invocationId
    this.attempt = options.attempt ?? 1
    this.deadline = options.deadline
    this.event = options.event
    this.responder = options.responder
    this.version = options.version
    this.hops = options.hops ?? 0
    this.wantsStarted = options.wantsStarted ?? false
    this.durable = options.durable ?? false
  }

  get sink(): EventSink | undefined {
    return this.responder.sinkOf?.(this)
  }
}

/** What ingress knows of a call. */
export interface CallOptions {
  readonly invocationId: string
  readonly event: WireEvent
  readonly responder: Responder
  /** Epoch ms. */
  readonly deadline: number
  readonly attempt?: number
  readonly version?: string | undefined
  readonly hops?: number
  readonly wantsStarted?: boolean
  readonly durable?: boolean
}
