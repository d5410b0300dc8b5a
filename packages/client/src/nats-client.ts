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
  formatRef,
  Header,
  headerLine,
  type Instruments,
  parseRef,
  Subjects,
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
import type { Registry } from "@fn/registry"
import { abortError, Call, type CallTarget, type OngoingCall } from "./call.js"
import type { Client, InvokeResult } from "./client.js"
import { inputToWire } from "./event-input.js"
import { FunctionDirectory, type KnownFunction } from "./function-directory.js"
import { Hosts } from "./hosts.js"
import { LostCallWatch } from "./lost-call-watch.js"
import { noHost, standing } from "./no-host.js"
import type { CallOptions, ClientSettings, InvokeOptions, RefInput } from "./options.js"
import { readReply } from "./reply.js"

/** Preamble and end of a header block. */
const HEADER_FRAME_BYTES = 12
const NOTHING = new Uint8Array(0)
const CONNECT_WAIT_MS = 2_000
const DRAIN_GRACE_MS = 30_000
/** A message that nobody took may be sent again: at first, after the record was read anew, and after a host said that it serves it. */
const MAX_SENDS = 3
/** Ref texts remembered as parsed. They come from code or URLs; the map must not grow with made-up names. */
const MAX_TARGETS = 4096

/** See {@link Client}. */
export class NatsClient implements Client {
  readonly closed: Promise<undefined>
  readonly #nc: NatsConnection
  readonly #connection: ConnectionWatch
  readonly #inbox: ReplyInbox
  readonly #subjects: Subjects
  readonly #directory: FunctionDirectory
  readonly #hosts: Hosts
  readonly #watch: LostCallWatch
  readonly #deadlines = new DeadlineSweep<Call>((call) => this.#expire(call))
  readonly #calls = new Set<Call>()
  readonly #targets = new Map<string, CallTarget>()
  readonly #source: string
  readonly #instruments: Instruments | undefined
  readonly #owned: readonly (() => Promise<void>)[]
  readonly #stopListening: readonly (() => void)[]
  readonly #hooks = {
    onEnd: (call: Call, error: FnError | undefined) => this.#ended(call, error),
    onCancel: (call: Call) => this.#tellCancel(call),
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
    settings: ClientSettings,
    owned: readonly (() => Promise<void>)[],
  ) {
    this.#nc = nc
    this.#connection = watchConnection(nc)
    this.#inbox = new ReplyInbox(nc)
    this.#subjects = new Subjects(prefix ? { functions: prefix } : {})
    this.#directory = new FunctionDirectory(registry, this.#subjects)
    this.#hosts = new Hosts(nc, this.#inbox, this.#subjects)
    this.#watch = new LostCallWatch(this.#hosts, this.#calls)
    this.#source = settings.source ?? "/fn/client"
    this.#instruments = settings.instruments
    this.#owned = owned
    this.#stopListening = [
      this.#connection.onDisconnect((_error, closed) => {
        if (closed) void this.close()
      }),
      // A user who may not ask hosts would take their silence for death.
      this.#connection.onPublishDenied((subject) => {
        if (this.#hosts.asksOn(subject)) this.#watch.blind()
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
    const call = new Call(wire, options, this.#hooks)
    this.#calls.add(call)
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
    if (this.#phase !== "ready") return FnError.of("DISCONNECTED", `the client is ${this.#phase}`, { retryable: false })
    if (call.signal?.aborted) return abortError(call.signal.reason)
    try {
      call.target = this.#target(ref, options.version)
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

  #target(ref: RefInput, version: string | undefined): CallTarget {
    let text = typeof ref === "string" ? ref : formatRef(ref)
    if (version !== undefined) text = `${text.includes("@") ? text.slice(0, text.indexOf("@")) : text}@${version}`
    const known = this.#targets.get(text)
    if (known) return known
    const parsed = parseRef(text)
    const target = {
      ref: parsed,
      key: `${parsed.namespace}/${parsed.name}`,
      versionLine: parsed.version === undefined ? "" : headerLine(Header.version, parsed.version),
    }
    if (this.#targets.size >= MAX_TARGETS) this.#targets.clear()
    this.#targets.set(text, target)
    return target
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
    const { wire } = call
    const timeLeftMs = call.timeLeftMs()
    const lines =
      fn.headerLines +
      (call.target as CallTarget).versionLine +
      headerLine(Header.invocationId, call.invocationId) +
      (timeLeftMs === undefined ? "" : headerLine(Header.timeoutMs, timeLeftMs)) +
      binaryHeaderLines(wire.attributes)
    const data = wire.data ?? NOTHING
    const limitBytes = this.#nc.info?.max_payload
    call.fn = fn
    const sizeBytes = HEADER_FRAME_BYTES + lines.length + data.length
    if (limitBytes !== undefined && sizeBytes > limitBytes) return call.fail(tooLarge(sizeBytes, limitBytes))
    try {
      const { subject, token } = this.#inbox.open((msg) => this.#onMessage(call, msg), {
        onFailed: (error) => this.#cut(call, error),
        questionSubject: fn.subject,
      })
      call.token = token
      call.sends++
      call.subject = fn.subject
      call.pulse.sent(now)
      publishLines(this.#nc, fn.subject, lines, data, subject)
    } catch (thrown) {
      return call.fail(FnError.from(thrown, "unavailable"))
    }
    this.#watch.wake()
  }

  #onMessage(call: Call, msg: RawMsg): void {
    if (isNoResponders(msg)) {
      this.#inbox.close(call.token)
      void this.#nobodyTookIt(call)
      return
    }
    const reply = readReply(rawHeaders(msg), msg.data)
    switch (reply.kind) {
      case "events":
        return call.finish(reply.events)
      case "started":
        return call.pulse.started(reply.host)
      case "error":
        return call.fail(reply.error)
    }
  }

  /** NATS had no responders for the call: nothing ran. The function may be gone, may have moved, or no host can run it. */
  async #nobodyTookIt(call: Call): Promise<void> {
    const { ref, key } = call.target as CallTarget
    try {
      call.pulse.pause()
      const fn = await this.#directory.reread(ref, key)
      if (call.ended) return
      if (fn.subject !== call.subject && call.sends < MAX_SENDS) return this.#send(call, fn, performance.now())
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
    } catch {
      // The connection closed under us: there is nobody to tell, and the caller gets its CANCELLED all the same.
    }
  }

  #ended(call: Call, error: FnError | undefined): void {
    this.#calls.delete(call)
    if (call.token > 0) this.#inbox.close(call.token)
    if (call.deadlineSlot >= 0) this.#deadlines.delete(call, call.deadlineSlot)
    this.#instruments?.invocation(call.fn?.key ?? "unknown", codeOf(error), performance.now() - call.startedAt)
    if (this.#calls.size === 0) this.#onIdle?.()
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
    if (this.#calls.size > 0) {
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

function tooLarge(sizeBytes: number, limitBytes: number): FnError {
  const message = `the event is ${sizeBytes} bytes with its headers; the NATS server takes at most ${limitBytes} (max_payload)`
  return FnError.of("PAYLOAD_TOO_LARGE", message, { details: { sizeBytes, limitBytes }, retryable: false })
}
