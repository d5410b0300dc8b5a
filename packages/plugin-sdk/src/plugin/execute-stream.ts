/**
 * One ExecuteStream: many calls on one HTTP/2 stream. docs/plugin-protocol.md#executestream
 *
 * Phases: waiting for `open` → accepted → draining (after `drain` or the host's half-close) → ended. The host gone means every open call is
 * cancelled. Exactly one `result` per call; frames about calls that are over are ignored, as are frames of a newer protocol.
 */
import { CreditWindow, createLogger, FnError, type Logger, type LogLevel } from "@fn/core"
import { EnvelopeBatch, logLevelToProto, msFromDuration, statusFromError, toStruct } from "@fn/core/plugin-wire"
import { type cloudevents, plugin } from "@fn/proto"
import { type ServerDuplexStream, status } from "@grpc/grpc-js"
import type { Executions, LoadedFunction, RunningExecution } from "./executions.js"

/** What a stream needs from its process. */
export interface ExecuteStreamOptions {
  readonly executions: Executions
  readonly loaded: LoadedFunction
  /** Calls the host may have open at once. */
  readonly callCredit: number
  /** Takes log lines of calls that are over. */
  readonly log: Logger
}

type Stream = ServerDuplexStream<plugin.HostEnvelope, plugin.PluginEnvelope>

/** Frames are small beside their data. */
const FRAME_BYTES = 128

/** Serves one stream until it ends. */
export function serveExecuteStream(stream: Stream, options: ExecuteStreamOptions): void {
  new ExecuteStream(stream, options).serve()
}

class ExecuteStream {
  readonly #stream: Stream
  readonly #options: ExecuteStreamOptions
  readonly #batch: EnvelopeBatch<plugin.PluginFrame>
  /** Calls without a result yet; undefined while the handler has not been entered. */
  readonly #open = new Map<bigint, RunningExecution | undefined>()
  #logFloor = plugin.LogLevel.LOG_LEVEL_UNSPECIFIED
  #accepted = false
  #draining = false
  #halfClosed = false
  #completed = 0n

  constructor(stream: Stream, options: ExecuteStreamOptions) {
    this.#stream = stream
    this.#options = options
    this.#batch = new EnvelopeBatch((frames, done) => stream.write({ frames }, done))
  }

  serve(): void {
    this.#stream.on("data", (envelope: plugin.HostEnvelope) => {
      for (const frame of envelope.frames) this.#receive(frame)
    })
    this.#stream.on("end", () => {
      this.#halfClosed = true
      this.#settle()
    })
    this.#stream.on("cancelled", () => this.#hostIsGone())
    this.#stream.on("error", () => this.#hostIsGone())
  }

  #receive({ callId, frame }: plugin.HostFrame): void {
    if (!frame) return // of a newer protocol
    if (!this.#accepted) {
      if (frame.$case === "open") return this.#accept(frame.value)
      this.#batch.close()
      this.#stream.emit("error", { code: status.FAILED_PRECONDITION, details: "the first frame of an ExecuteStream must be open" })
      return
    }
    switch (frame.$case) {
      case "start":
        return this.#start(callId, frame.value)
      case "cancel":
        return this.#open.get(callId)?.cancel(cancelReason(frame.value.reason))
      case "credit":
        // That of the whole stream is for plugins that send output unasked.
        return this.#open.get(callId)?.output?.credit.grant(frame.value.outputEvents)
      case "drain":
        this.#draining = true
        return this.#settle()
      default:
        return // open a second time
    }
  }

  #accept(open: plugin.StreamOpen): void {
    this.#accepted = true
    this.#logFloor = open.logLevel
    this.#send(0n, { $case: "accepted", value: { callCredit: this.#options.callCredit, maxBatchFrames: 0 } })
  }

  #start(callId: bigint, start: plugin.CallStart): void {
    if (callId === 0n || this.#open.has(callId)) return
    if (this.#draining) return this.#refuse(callId, FnError.of("HOST_DRAINING", "the stream is draining"))
    if (this.#open.size >= this.#options.callCredit)
      return this.#refuse(callId, FnError.of("QUEUE_FULL", `more than ${this.#options.callCredit} calls at once`))
    const credit = start.outputWindow > 0 ? new CreditWindow(start.outputWindow) : undefined
    this.#open.set(callId, undefined)
    const running = this.#options.executions.start(
      this.#options.loaded,
      {
        event: start.event,
        context: start.context,
        timeoutMs: start.timeout && msFromDuration(start.timeout),
        log: this.#logger(callId, start.context?.invocationId),
        output: credit && { credit, send: (event) => this.#output(callId, event) },
      },
      {
        succeeded: (events) => this.#end(callId, { events }),
        failed: (error) => this.#end(callId, { status: statusFromError(error), events: [] }),
      },
    )
    // A synchronous handler is over by now.
    if (this.#open.has(callId)) this.#open.set(callId, running)
  }

  #refuse(callId: bigint, error: FnError): void {
    this.#send(callId, { $case: "result", value: { status: statusFromError(error), events: [] } })
  }

  /** One event ahead of its call's result. */
  #output(callId: bigint, event: cloudevents.CloudEvent): void {
    if (this.#open.has(callId)) this.#send(callId, { $case: "output", value: { events: [event] } }, sizeOf(event))
  }

  #end(callId: bigint, result: plugin.CallResult): void {
    if (!this.#open.delete(callId)) return
    this.#completed++
    const dataBytes = result.events.reduce((sum, event) => sum + sizeOf(event), 0)
    this.#send(callId, { $case: "result", value: result }, dataBytes)
    this.#settle()
  }

  /** Ends what can end: the drain, and after the host's half-close our side. */
  #settle(): void {
    if (this.#open.size > 0) return
    if (this.#draining && !this.#halfClosed) this.#send(0n, { $case: "drained", value: { callsCompleted: this.#completed } })
    if (!this.#halfClosed) return
    this.#batch.finish(() => this.#stream.end())
  }

  #hostIsGone(): void {
    this.#batch.close()
    const gone = FnError.of("CANCELLED", "the host is gone")
    for (const running of this.#open.values()) running?.cancel(gone)
    this.#open.clear()
  }

  #send(callId: bigint, frame: NonNullable<plugin.PluginFrame["frame"]>, dataBytes: number = 0): void {
    this.#batch.add({ callId, frame }, FRAME_BYTES + dataBytes)
  }

  /** Log lines go with their call; those that come after its end, to the log of the process. */
  #logger(callId: bigint, invocationId: string | undefined): Logger {
    return createLogger((level, message, fields) => {
      if (!this.#open.has(callId)) return this.#options.log.log(level, message, { invocationId, ...fields })
      if (!this.#wants(level)) return
      const record: plugin.LogRecord = {
        level: logLevelToProto(level),
        time: timestampNow(),
        message,
        logger: "",
        attributes: toStruct(fields),
      }
      this.#send(callId, { $case: "log", value: record }, message.length)
    })
  }

  #wants(level: LogLevel): boolean {
    if (this.#logFloor === plugin.LogLevel.LOG_LEVEL_OFF) return false
    return logLevelToProto(level) >= this.#logFloor
  }
}

function sizeOf({ data }: cloudevents.CloudEvent): number {
  return FRAME_BYTES + (data?.$case === "binaryData" ? data.value.length : 0)
}

function cancelReason(reason: plugin.CallCancel_Reason): FnError {
  switch (reason) {
    case plugin.CallCancel_Reason.REASON_DEADLINE:
      return FnError.of("FUNCTION_TIMEOUT", "the time of this execution is over")
    case plugin.CallCancel_Reason.REASON_HOST_SHUTDOWN:
      return FnError.of("CANCELLED", "the host is shutting down")
    default:
      return FnError.of("CANCELLED", "the caller cancelled")
  }
}

function timestampNow(): { seconds: bigint; nanos: number } {
  const ms = Date.now()
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 }
}
