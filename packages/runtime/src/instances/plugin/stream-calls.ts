/**
 * Executions over one ExecuteStream: many calls on one HTTP/2 stream, the frames of a tick in one message. docs/plugin-protocol.md#executestream
 *
 * The host opens; the plugin accepts with a credit of calls; past the credit, calls wait here for a result. Each call ends by exactly one
 * result. The stream ends with the process: its owner is plugin-instance.ts.
 */
import {
  type EventSink,
  eventFromProto,
  eventToProto,
  FnError,
  INSTANCE_STREAM_WINDOW,
  type Logger,
  SlabMap,
  type WireEvent,
} from "@fn/core"
import { durationFromMs, EnvelopeBatch, errorFromStatus, logLevelFromProto } from "@fn/core/plugin-wire"
import { type cloudevents, plugin } from "@fn/proto"
import type { ClientDuplexStream } from "@grpc/grpc-js"
import { EventRelay } from "../event-relay.js"
import type { Execution } from "../instance.js"
import type { PluginCalls } from "./plugin-calls.js"

/** What a stream needs to know of its plugin. */
export interface StreamCallsOptions {
  readonly streamId: string
  /** Largest message the plugin takes. */
  readonly maxReceiveBytes: number
  /** It sends events as they come where it is asked to; else those of its result are all there is. */
  readonly partialOutput: boolean
  readonly logger: Logger
  /** The stream broke though nobody ended it. */
  readonly onBroken: (thrown: unknown) => void
}

interface Call {
  readonly execution: Execution
  readonly outputs: cloudevents.CloudEvent[]
  /** Where the events of a call that streams go. */
  relay?: EventRelay
  resolve(events: WireEvent[]): void
  reject(error: FnError): void
}

type Stream = ClientDuplexStream<plugin.HostEnvelope, plugin.PluginEnvelope>

/** A frame without its event's data. */
const FRAME_BYTES = 512
/** Output events a plugin may send, unasked, before we took them; we take them at once. */
const OUTPUT_CREDIT = 1_024

export class StreamCalls implements PluginCalls {
  /** Resolves when calls may come. */
  readonly accepted: Promise<void>
  readonly #stream: Stream
  readonly #options: StreamCallsOptions
  readonly #batch: EnvelopeBatch<plugin.HostFrame>
  readonly #open = new SlabMap<bigint, Call>()
  readonly #waiting = new Set<Call>()
  readonly #drained: Promise<void>
  #settleAccepted: () => void = () => undefined
  #settleDrained: () => void = () => undefined
  #credit = 0
  #nextCallId = 1n
  #draining = false
  #over = false
  #failure: FnError | undefined

  constructor(stream: Stream, options: StreamCallsOptions) {
    this.#stream = stream
    this.#options = options
    this.#batch = new EnvelopeBatch((frames, done) => stream.write({ frames }, done))
    this.accepted = new Promise((resolve) => {
      this.#settleAccepted = resolve
    })
    this.#drained = new Promise((resolve) => {
      this.#settleDrained = resolve
    })
    stream.on("data", (envelope: plugin.PluginEnvelope) => {
      for (const frame of envelope.frames) this.#receive(frame)
    })
    stream.on("error", (thrown) => this.#ended(thrown))
    // Not "end": that comes before an error, too.
    stream.on("status", () => this.#ended(new Error("the plugin ended its stream")))
    this.#send(0n, {
      $case: "open",
      value: { streamId: options.streamId, outputCredit: OUTPUT_CREDIT, logLevel: plugin.LogLevel.LOG_LEVEL_TRACE },
    })
  }

  execute(execution: Execution): Promise<WireEvent[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      if (this.#draining) return reject(FnError.of("HOST_DRAINING", "this instance is shutting down"))
      const call: Call = { execution, outputs: [], resolve, reject }
      if (this.#open.size < this.#credit) return this.#start(call)
      this.#waiting.add(call)
      execution.cancel = (reason) => {
        if (this.#waiting.delete(call)) reject(reason)
      }
    })
  }

  drain(): Promise<void> {
    if (!this.#draining) {
      this.#draining = true
      this.#send(0n, { $case: "drain", value: {} })
    }
    return this.#drained
  }

  fail(error: FnError): void {
    this.#failure ??= error
    this.#batch.close()
    const calls = [...this.#open.values(), ...this.#waiting]
    this.#open.clear()
    this.#waiting.clear()
    for (const call of calls) call.reject(error)
    this.#settleDrained()
  }

  #start(call: Call): void {
    const { event, invocationId, attempt, deadline } = call.execution
    const sizeBytes = FRAME_BYTES + (event.data?.length ?? 0)
    if (sizeBytes > this.#options.maxReceiveBytes) return call.reject(tooLarge(sizeBytes, this.#options.maxReceiveBytes))
    const callId = this.#nextCallId++
    this.#open.set(callId, call)
    call.execution.cancel = (reason) => this.#cancel(callId, reason)
    if (call.execution.sink && this.#options.partialOutput) call.relay = this.#relay(callId, call.execution.sink)
    const value: plugin.CallStart = {
      event: eventToProto(event),
      context: { invocationId, attempt, metadata: {} },
      ...(deadline === Number.POSITIVE_INFINITY ? {} : { timeout: durationFromMs(Math.max(0, deadline - Date.now())) }),
      outputWindow: call.relay ? INSTANCE_STREAM_WINDOW : 0,
    }
    this.#send(callId, { $case: "start", value }, sizeBytes)
  }

  #cancel(callId: bigint, reason: FnError): void {
    if (!this.#open.has(callId)) return
    this.#send(callId, { $case: "cancel", value: { reason: cancelReason(reason) } })
  }

  #receive({ callId, frame }: plugin.PluginFrame): void {
    switch (frame?.$case) {
      case "result":
        return this.#result(callId, frame.value)
      case "output":
        return this.#output(callId, frame.value.events)
      case "log":
        return this.#log(callId, frame.value)
      case "accepted":
        this.#credit = frame.value.callCredit
        this.#batch.limit(frame.value.maxBatchFrames)
        this.#settleAccepted()
        return this.#startWaiting()
      case "credit":
        this.#credit += frame.value.calls
        return this.#startWaiting()
      case "drained":
        // Half-closing is how the host says that it has heard it.
        this.#stream.end()
        return this.#settleDrained()
      default:
        return // progress, or a frame of a newer protocol
    }
  }

  #result(callId: bigint, result: plugin.CallResult): void {
    const call = this.#open.get(callId)
    if (!call) return // a race with our own end of the call
    this.#open.delete(callId)
    this.#startWaiting()
    if (!call.relay) return this.#settle(call, result)
    // After what the function yielded before.
    call.relay.end((failure) => (failure ? call.reject(failure) : this.#settle(call, result)))
  }

  #settle(call: Call, result: plugin.CallResult): void {
    if (result.status && result.status.code !== 0) return call.reject(errorFromStatus(result.status))
    try {
      call.resolve(eventsOf([...call.outputs, ...result.events]))
    } catch (thrown) {
      call.reject(FnError.from(thrown))
    }
  }

  #output(callId: bigint, events: cloudevents.CloudEvent[]): void {
    const call = this.#open.get(callId)
    if (call?.relay) return this.#relayed(callId, call, call.relay, events)
    call?.outputs.push(...events)
    this.#send(0n, { $case: "credit", value: { calls: 0, outputEvents: events.length } })
  }

  #relay(callId: bigint, sink: EventSink): EventRelay {
    return new EventRelay(sink, {
      window: INSTANCE_STREAM_WINDOW,
      grant: (count) => this.#send(callId, { $case: "credit", value: { calls: 0, outputEvents: count } }),
      failed: (error) => this.#cancel(callId, error),
    })
  }

  /** A call whose output is no good is answered at once; it stays open until the plugin ends it, since it holds one of its slots. */
  #relayed(callId: bigint, call: Call, relay: EventRelay, protos: cloudevents.CloudEvent[]): void {
    try {
      relay.push(eventsOf(protos))
    } catch (thrown) {
      const error = FnError.from(thrown)
      call.reject(error.code === "internal" ? FnError.of("PLUGIN_PROTOCOL", error.message) : error)
      this.#cancel(callId, error)
    }
  }

  #log(callId: bigint, { level, message, attributes }: plugin.LogRecord): void {
    const call = this.#open.get(callId)
    const fields = call ? { ...attributes, invocationId: call.execution.invocationId } : (attributes ?? {})
    this.#options.logger.log(logLevelFromProto(level), message, fields)
  }

  #startWaiting(): void {
    for (const call of this.#waiting) {
      if (this.#open.size >= this.#credit) return
      this.#waiting.delete(call)
      this.#start(call)
    }
  }

  #ended(thrown: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#batch.close()
    if (!this.#draining) this.#options.onBroken(thrown)
    this.#settleDrained()
  }

  #send(callId: bigint, frame: NonNullable<plugin.HostFrame["frame"]>, sizeBytes?: number): void {
    this.#batch.add({ callId, frame }, sizeBytes)
  }
}

/** Events of a plugin. @throws {FnError} BAD_OUTPUT */
function eventsOf(protos: readonly cloudevents.CloudEvent[]): WireEvent[] {
  try {
    return protos.map(eventFromProto)
  } catch (thrown) {
    throw badOutput(thrown)
  }
}

/** An event that the plugin could not take. */
export function tooLarge(sizeBytes: number, maxBytes: number): FnError {
  return FnError.of("PAYLOAD_TOO_LARGE", `the event has about ${sizeBytes} bytes, the plugin takes messages of ${maxBytes}`, {
    details: { sizeBytes, maxBytes },
  })
}

/** What a plugin returned is no event. */
export function badOutput(thrown: unknown): FnError {
  return FnError.of("BAD_OUTPUT", `the plugin returned an ${FnError.from(thrown).message}`, { cause: thrown })
}

function cancelReason(reason: FnError): plugin.CallCancel_Reason {
  if (reason.code === "deadline_exceeded") return plugin.CallCancel_Reason.REASON_DEADLINE
  return reason.reason === "HOST_DRAINING" ? plugin.CallCancel_Reason.REASON_HOST_SHUTDOWN : plugin.CallCancel_Reason.REASON_REQUESTED
}
