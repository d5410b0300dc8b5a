/**
 * A caller's side of the platform.
 *
 * A call costs one publish and one message back: the function's record is known (function-directory.ts), the reply comes to a shared
 * inbox, deadlines lie on one timer, and Errors are made only when something fails. Everything else (looking a function up, waiting for
 * a connection, asking why nobody answers, finding out that a host died) happens on the slow paths below.
 */
import {
  binaryHeaderLines,
  type CloudEvent,
  type Code,
  DeadlineSweep,
  eventFromWire,
  FnError,
  Header,
  headerLine,
  type Instruments,
  Slab,
  type Subjects,
  type WireEvent,
} from "@fn/core"
import {
  type ConnectionWatch,
  isNoResponders,
  type NatsConnection,
  publishLines,
  publishRaw,
  type RawMsg,
  ReplyInbox,
  rawHeaders,
  watchConnection,
} from "@fn/nats"
import { payloadName, queueNames } from "@fn/queue"
import type { Registry } from "@fn/registry"
import { type BroadcastAnswer, broadcastWire } from "./broadcast.js"
import { abortError, Call, type OngoingCall } from "./call.js"
import { type CallTarget, CallTargets } from "./call-target.js"
import { ClaimCheck } from "./claim-check.js"
import type { Client, InvokeResult } from "./client.js"
import { DurableCalls } from "./durable/durable-calls.js"
import type {
  AsyncCallOptions,
  AsyncOptions,
  CancelOutcome,
  InvocationScope,
  InvocationStatus,
  ResultOptions,
  StatusOptions,
} from "./durable/durable-client.js"
import { inputToWire } from "./event-input.js"
import { CallStream, type EventStream, StreamCall } from "./event-stream.js"
import { FunctionDirectory, type KnownFunction } from "./function-directory.js"
import { Hosts } from "./hosts.js"
import { LostCallWatch } from "./lost-call-watch.js"
import { noHost, standing } from "./no-host.js"
import { createOperations } from "./operations/operations.js"
import type { DeadLetters, Executions, Queue } from "./operations/operations-client.js"
import type {
  BroadcastCallOptions,
  BroadcastOptions,
  CallOptions,
  InvokeOptions,
  PlatformSettings,
  RefInput,
  StreamCallOptions,
  StreamOptions,
} from "./options.js"
import { readReply } from "./reply.js"

const NOTHING = new Uint8Array(0)
const CONNECT_WAIT_MS = 2_000
const DRAIN_GRACE_MS = 30_000
/** A message that nobody took may be sent again: at first, after the record was read anew, and after a host said that it serves it. */
const MAX_SENDS = 3

/** See {@link Client}. */
export class NatsClient implements Client {
  readonly closed: Promise<undefined>
  readonly executions: Executions
  readonly deadLetters: DeadLetters
  readonly queue: Queue
  readonly #nc: NatsConnection
  readonly #connection: ConnectionWatch
  readonly #inbox: ReplyInbox
  readonly #subjects: Subjects
  readonly #directory: FunctionDirectory
  readonly #hosts: Hosts
  readonly #claimCheck: ClaimCheck
  readonly #durable: DurableCalls
  readonly #watch: LostCallWatch
  readonly #deadlines = new DeadlineSweep<Call>((call) => this.#expire(call))
  readonly #calls = new Slab<Call>()
  readonly #targets = new CallTargets()
  /** Broadcasts under way. */
  #broadcasts = 0
  readonly #source: string
  readonly #instruments: Instruments | undefined
  readonly #owned: readonly (() => Promise<void>)[]
  readonly #stopListening: readonly (() => void)[]
  readonly #hooks = {
    onEnd: (call: Call, error: FnError | undefined) => this.#ended(call, error),
    onCancel: (call: Call) => this.#tellCancel(call),
    onMessage: (call: Call, msg: RawMsg) => this.#onMessage(call, msg),
    onCut: (call: Call, error: FnError) => this.#cut(call, error),
    grant: (creditSubject: string, count: number) => this.#grant(creditSubject, count),
  }
  #phase: "ready" | "draining" | "closed" = "ready"
  #markClosed!: () => void
  #onIdle: (() => void) | undefined
  #draining: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(
    nc: NatsConnection,
    registry: Registry,
    prefix: string | undefined,
    settings: PlatformSettings,
    owned: readonly (() => Promise<void>)[],
  ) {
    this.#nc = nc
    this.#connection = watchConnection(nc)
    this.#inbox = new ReplyInbox(nc)
    const names = queueNames(prefix || undefined)
    const access = { nc, inbox: this.#inbox, names, jsDomain: settings.jsDomain }
    const { executions, deadLetters, queue } = createOperations(access, () => this.#checkReady())
    this.executions = executions
    this.deadLetters = deadLetters
    this.queue = queue
    this.#subjects = names.subjects
    this.#directory = new FunctionDirectory(registry, this.#subjects)
    this.#hosts = new Hosts(nc, this.#inbox, this.#subjects)
    this.#claimCheck = new ClaimCheck(access)
    this.#durable = new DurableCalls({
      access,
      connection: this.#connection,
      targets: this.#targets,
      directory: this.#directory,
      hosts: this.#hosts,
      claimCheck: this.#claimCheck,
      instruments: settings.instruments,
      onIdle: () => this.#checkIdle(),
    })
    this.#watch = new LostCallWatch(this.#hosts, this.#calls)
    this.#source = settings.source ?? "/fn/client"
    this.#instruments = settings.instruments
    this.#owned = owned
    this.#stopListening = [
      this.#connection.onDisconnect((_error, closed) => {
        if (closed) void this.close()
      }),
      // A user who may not ask hosts would take their silence for death.
      this.#connection.onPublishDenied((subject, error) => {
        if (this.#hosts.asksOn(subject)) this.#watch.blind()
        for (const call of this.#calls) call.denied(subject, error)
      }),
    ]
    this.closed = new Promise((resolve) => {
      this.#markClosed = () => resolve(undefined)
    })
  }

  async invoke(ref: RefInput, input: unknown, options: InvokeOptions = {}): Promise<never[]> {
    const wires = await this.invokeWire(ref, inputToWire(input, options, this.#source), options)
    // The types of a client that knows its functions are claims about the functions, which only a receiver's schema checks.
    return wires.map((wire) => this.#decode(wire) as never)
  }

  async tryInvoke(ref: RefInput, input: unknown, options: InvokeOptions = {}): Promise<InvokeResult<never>> {
    try {
      return { ok: true, events: await this.invoke(ref, input, options) }
    } catch (thrown) {
      return { ok: false, error: FnError.from(thrown) }
    }
  }

  invokeWire(ref: RefInput, wire: WireEvent, options: CallOptions = {}): Promise<WireEvent[]> {
    return this.startCall(ref, wire, options).events
  }

  startCall(ref: RefInput, wire: WireEvent, options: CallOptions = {}): OngoingCall {
    if (options.idempotencyKey !== undefined) return this.#durable.startKeyed(ref, wire, options, this.#closingError())
    return this.#start(new Call(wire, options, this.#hooks), ref, options)
  }

  stream(ref: RefInput, input: unknown, options: StreamOptions = {}): EventStream<never> {
    const wire = inputToWire(input, options, this.#source)
    return new CallStream(this.#startStream(ref, wire, options), (event) => this.#decode(event) as never)
  }

  streamWire(ref: RefInput, wire: WireEvent, options: StreamCallOptions = {}): EventStream<WireEvent> {
    return new CallStream(this.#startStream(ref, wire, options), (event) => event)
  }

  #startStream(ref: RefInput, wire: WireEvent, options: StreamCallOptions): StreamCall {
    return this.#start(new StreamCall(wire, options, this.#hooks), ref, options)
  }

  #start<Started extends Call>(call: Started, ref: RefInput, options: CallOptions): Started {
    call.slot = this.#calls.add(call)
    const refused = this.#admit(call, ref, options)
    if (refused) {
      call.fail(refused)
      return call
    }
    const fn = this.#directory.peek((call.target as CallTarget).key)
    if (fn && this.#connection.connected) this.#send(call, fn, call.startedAt)
    else void this.#prepare(call)
    return call
  }

  async invokeAsync(ref: RefInput, input: unknown, options: AsyncOptions = {}): Promise<string> {
    return this.invokeAsyncWire(ref, inputToWire(input, options, this.#source), options)
  }

  async invokeAsyncWire(ref: RefInput, wire: WireEvent, options: AsyncCallOptions = {}): Promise<string> {
    this.#checkReady()
    return this.#durable.store(ref, wire, options)
  }

  async result(id: string, options: ResultOptions = {}): Promise<never[]> {
    const wires = await this.resultWire(id, options)
    return wires.map((wire) => this.#decode(wire) as never)
  }

  async tryResult(id: string, options: ResultOptions = {}): Promise<InvokeResult<never>> {
    try {
      return { ok: true, events: await this.result(id, options) }
    } catch (thrown) {
      return { ok: false, error: FnError.from(thrown) }
    }
  }

  async resultWire(id: string, options: ResultOptions = {}): Promise<WireEvent[]> {
    this.#checkReady()
    return this.#durable.result(id, options)
  }

  async cancel(id: string, options: InvocationScope = {}): Promise<CancelOutcome> {
    this.#checkReady()
    return this.#durable.cancel(id, options)
  }

  async status(id: string, options: StatusOptions = {}): Promise<InvocationStatus> {
    this.#checkReady()
    return this.#durable.status(id, options)
  }

  async broadcast(ref: RefInput, input: unknown, options: BroadcastOptions = {}): Promise<BroadcastAnswer<never>[]> {
    const answers = await this.broadcastWire(ref, inputToWire(input, options, this.#source), options)
    return answers.map((answer) => this.#decodeAnswer(answer))
  }

  async broadcastWire(ref: RefInput, wire: WireEvent, options: BroadcastCallOptions = {}): Promise<BroadcastAnswer<WireEvent>[]> {
    this.#checkReady()
    const target = this.#targets.of(ref, options.version)
    this.#broadcasts++
    try {
      await this.#connection.untilConnected({
        timeoutMs: Math.min(options.timeoutMs ?? CONNECT_WAIT_MS, CONNECT_WAIT_MS),
        signal: options.signal,
      })
      await this.#directory.find(target.ref, target.key)
      const parts = { nc: this.#nc, inbox: this.#inbox, subjects: this.#subjects, hosts: this.#hosts }
      return await broadcastWire(parts, target, wire, options)
    } finally {
      this.#broadcasts--
      this.#checkIdle()
    }
  }

  #decodeAnswer(answer: BroadcastAnswer<WireEvent>): BroadcastAnswer<never> {
    if (!answer.ok) return answer
    const { host } = answer
    try {
      return { host, ok: true, events: answer.events.map((wire) => this.#decode(wire) as never) }
    } catch (thrown) {
      return { host, ok: false, error: FnError.from(thrown) }
    }
  }

  drain(options: { graceMs?: number } = {}): Promise<void> {
    this.#draining ??= this.#drain(options.graceMs ?? DRAIN_GRACE_MS)
    return this.#draining
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  /** Why the call cannot even begin; otherwise its target, deadline and signal are set. */
  #admit(call: Call, ref: RefInput, options: CallOptions): FnError | undefined {
    const closing = this.#closingError()
    if (closing) return closing
    if (call.signal?.aborted) return abortError(call.signal.reason)
    try {
      call.target = this.#targets.of(ref, options.version)
    } catch (thrown) {
      return FnError.from(thrown)
    }
    const { timeoutMs } = options
    if (timeoutMs === undefined) return undefined
    if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS))
      return FnError.of("INVALID_REQUEST", `timeoutMs must be more than 0 and at most ${MAX_TIMEOUT_MS}, not ${timeoutMs}`)
    call.deadlineSlot = this.#deadlines.add(call, call.startedAt + timeoutMs)
    return undefined
  }

  #closingError(): FnError | undefined {
    return this.#phase === "ready" ? undefined : FnError.of("DISCONNECTED", `the client is ${this.#phase}`, { retryable: false })
  }

  #checkReady(): void {
    const closing = this.#closingError()
    if (closing) throw closing
  }

  /** The slow start of a call: the function is not known yet, or NATS is not connected. */
  async #prepare(call: Call): Promise<void> {
    const { ref, key } = call.target as CallTarget
    try {
      await this.#untilConnected(call)
      const fn = await this.#directory.find(ref, key)
      if (call.ended) return
      await this.#untilConnected(call)
      if (!call.ended) this.#send(call, fn, performance.now())
    } catch (thrown) {
      call.fail(FnError.from(thrown, "unavailable"))
    }
  }

  /** Publishes made while disconnected vanish, so a call waits; but not long, since its caller may know a better way. */
  async #untilConnected(call: Call): Promise<void> {
    if (this.#connection.connected) return
    await this.#connection.untilConnected({
      timeoutMs: Math.min(call.timeLeftMs() ?? CONNECT_WAIT_MS, CONNECT_WAIT_MS),
      signal: call.signal,
    })
  }

  #send(call: Call, fn: KnownFunction, now: number): void {
    const timeLeftMs = call.timeLeftMs()
    const lines =
      fn.headerLines +
      call.acceptLines +
      (call.target as CallTarget).versionLine +
      headerLine(Header.invocationId, call.invocationId) +
      (timeLeftMs === undefined ? "" : headerLine(Header.timeoutMs, timeLeftMs)) +
      call.bodyLines +
      binaryHeaderLines(call.wire.attributes)
    call.fn = fn
    if (call.payload === undefined && this.#claimCheck.isLarge(lines, call.body)) return void this.#sendApart(call, fn, lines)
    try {
      call.questionSubject = fn.subject
      call.token = this.#inbox.open(call)
      call.sends++
      call.pulse.sent(now)
      publishLines(this.#nc, fn.subject, lines, call.body, this.#inbox.subjectOf(call.token))
    } catch (thrown) {
      return call.fail(FnError.from(thrown, "unavailable"))
    }
    this.#watch.wake()
  }

  /** Stores the data of a call that is too large for a message, then sends it. */
  async #sendApart(call: Call, fn: KnownFunction, lines: string): Promise<void> {
    try {
      const carried = await this.#claimCheck.store(payloadName(call.invocationId, "in"), call.wire, lines)
      call.carry(carried)
      if (!call.ended) this.#send(call, fn, performance.now())
      else if (carried.payload !== undefined) this.#claimCheck.discard(carried.payload)
    } catch (thrown) {
      call.fail(FnError.from(thrown, "unavailable"))
    }
  }

  #onMessage(call: Call, msg: RawMsg): void {
    if (isNoResponders(msg)) {
      this.#inbox.close(call.token)
      void this.#nobodyTookIt(call)
      return
    }
    if (call.take(msg)) return
    const reply = readReply(rawHeaders(msg), msg.data, call.invocationId)
    switch (reply.kind) {
      case "another":
        return
      case "events":
        call.settle()
        return call.finish(reply.events)
      case "started":
        return call.started(reply.host)
      case "queued":
        return call.queued()
      case "error":
        call.settle()
        return call.fail(reply.error)
      case "apart":
        return void this.#readApart(call, msg)
    }
  }

  /** The reply is there, but for its data. */
  async #readApart(call: Call, msg: RawMsg): Promise<void> {
    call.pulse.pause()
    const reply = await this.#claimCheck.read(rawHeaders(msg), msg.data, { once: true })
    if (reply.kind === "events") call.finish(reply.events)
    else if (reply.kind === "error") call.fail(reply.error)
  }

  /** NATS had no responders for the call: nothing ran. The function may be gone, may have moved, or no host can run it. */
  async #nobodyTookIt(call: Call): Promise<void> {
    const { ref, key } = call.target as CallTarget
    try {
      call.pulse.pause()
      const fn = await this.#directory.reread(ref, key)
      if (call.ended) return
      if (fn.subject !== call.questionSubject && call.sends < MAX_SENDS) return this.#send(call, fn, performance.now())
      const answers = await this.#hosts.askAll({ function: key })
      if (call.ended) return
      const served = [...answers.values()].some((answer) => standing(answer, key).served)
      if (served && call.sends < MAX_SENDS && this.#connection.connected) return this.#send(call, fn, performance.now())
      call.fail(noHost(key, answers))
    } catch (thrown) {
      call.fail(FnError.from(thrown, "unavailable"))
    }
  }

  #expire(call: Call): void {
    const name = call.target?.key ?? "the function"
    if (call.sends === 0 && !this.#connection.connected)
      return call.fail(FnError.of("DISCONNECTED", `not connected to NATS within ${call.timeoutMs} ms`))
    call.fail(FnError.of("DEADLINE_EXCEEDED", `no reply of ${name} within ${call.timeoutMs} ms; it may have run`))
  }

  #tellCancel(call: Call): void {
    if (call.sends === 0 || !this.#connection.connected) return
    const { ref } = call.target as CallTarget
    try {
      publishRaw(this.#nc, this.#subjects.cancel(ref.namespace, call.invocationId), NOTHING)
      // Kept by the server for the host that takes it from the queue.
      if (call.isQueued) publishRaw(this.#nc, this.#subjects.cancelQueued(ref.namespace, call.invocationId), NOTHING)
    } catch {
      // The connection closed under us: there is nobody to tell, and the caller gets its CANCELLED all the same.
    }
  }

  #grant(creditSubject: string, count: number): void {
    try {
      publishLines(this.#nc, creditSubject, headerLine(Header.credit, count), NOTHING)
    } catch {
      // The connection is closed, and the call has ended with it.
    }
  }

  #ended(call: Call, error: FnError | undefined): void {
    this.#calls.delete(call.slot)
    if (call.token > 0) this.#inbox.close(call.token, call)
    if (call.deadlineSlot >= 0) this.#deadlines.delete(call, call.deadlineSlot)
    this.#instruments?.invocation(call.fn?.key ?? "unknown", codeOf(error), performance.now() - call.startedAt)
    if (call.payload) this.#claimCheck.discard(call.payload)
    this.#checkIdle()
  }

  get #isIdle(): boolean {
    return this.#calls.size === 0 && this.#broadcasts === 0 && this.#durable.idle
  }

  #checkIdle(): void {
    if (this.#isIdle) this.#onIdle?.()
  }

  /** No reply can come any more: the connection was lost, or the server refused the message. */
  #cut(call: Call, cause: FnError): void {
    if (cause.reason !== "DISCONNECTED") return call.fail(cause)
    call.fail(FnError.of("DISCONNECTED", `${cause.message} during the call; it may have run`, { cause }))
  }

  #decode(wire: WireEvent): CloudEvent {
    try {
      return eventFromWire(wire)
    } catch (thrown) {
      throw FnError.of("BAD_OUTPUT", `the reply cannot be read: ${FnError.from(thrown).message}`, { cause: thrown })
    }
  }

  async #drain(graceMs: number): Promise<void> {
    if (this.#phase === "ready") this.#phase = "draining"
    if (!this.#isIdle) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs)
        this.#onIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    await this.close()
  }

  async #close(): Promise<void> {
    this.#phase = "closed"
    for (const call of [...this.#calls]) call.cancel("the client was closed")
    this.#durable.close()
    for (const stop of this.#stopListening) stop()
    this.#watch.close()
    this.#deadlines.close()
    this.#directory.close()
    // A flush brings the cancels of those calls onto the wire; one that fails has no connection left, and so nobody to tell.
    if (this.#connection.connected) await this.#nc.flush().catch(() => undefined)
    this.#inbox.dispose()
    for (const end of this.#owned) await end()
    this.#markClosed()
  }
}

const MAX_TIMEOUT_MS = 7 * 24 * 3600 * 1000

function codeOf(error: FnError | undefined): Code | "ok" {
  return error ? error.code : "ok"
}
