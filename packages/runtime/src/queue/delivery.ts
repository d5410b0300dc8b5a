/** Queued messages as hosts see them: delivered, or read where they lie. */
import { checkName, checkNamespace, DEFAULT_NAMESPACE, type FunctionRef, headerLine, readHeaderBlock, type WireEvent } from "@fn/core"
import { type DeliveryInfo, type RawMsg, rawHeaders, readDelivery, type StoredMessage } from "@fn/nats"
import { type InvocationSettings, sequenceId, takeInvocationHeader } from "@fn/queue"
import { type EventMode, Request } from "../ingress/request.js"
import type { HeldPayload, PayloadClaim } from "../payloads/payload-intake.js"

/** What settling an invocation needs to know of its message. */
export interface QueuedInvocation {
  readonly ref: FunctionRef
  readonly invocationId: string
  readonly settings: Readonly<InvocationSettings>
  readonly seq: number
  /** The last one, from 1. */
  readonly attempt: number
  /** Epoch ms. */
  readonly queuedAt: number
  /** Subject it was queued on. */
  readonly subject: string
  /** Mode of its answer. */
  readonly mode: EventMode
  /** Data that was stored apart, if the message names some. */
  readonly claim: PayloadClaim | undefined
  readonly data: Uint8Array
  /** Its header lines as they were queued, the server's own excepted. */
  lines(): string
}

/** A queued message while this host holds it. */
export class Delivery implements QueuedInvocation {
  readonly ref: FunctionRef
  readonly settings: Readonly<InvocationSettings>
  readonly attempt: number
  readonly msg: RawMsg
  /** Changes when the server delivers it again while it is still held: only the newest acknowledgement counts. */
  info: DeliveryInfo
  /** Where it is acknowledged. */
  ackSubject: string
  /** Its outcome is known and being stored. */
  settling = false
  /** Bytes of its result, while that is being stored. */
  outBytes = 0
  /** Its data, if that was stored apart and has been read. */
  payload: HeldPayload | undefined
  readonly #request: Request

  constructor(ref: FunctionRef, msg: RawMsg, info: DeliveryInfo) {
    this.ref = ref
    this.msg = msg
    this.info = info
    this.ackSubject = msg.reply ?? ""
    const { settings, request } = readHeaders(rawHeaders(msg), info.seq)
    this.#request = request
    this.settings = settings
    this.attempt = this.wasDeferred ? Math.max(1, info.deliveries - 1) : info.deliveries
  }

  get invocationId(): string {
    return this.settings.invocationId
  }

  get seq(): number {
    return this.info.seq
  }

  get queuedAt(): number {
    return this.info.storedAt
  }

  get subject(): string {
    return this.msg.subject
  }

  get data(): Uint8Array {
    return this.msg.data
  }

  /** Whether it was stored to run later: then its first delivery does nothing but put it off. */
  get wasDeferred(): boolean {
    return (this.settings.notBefore ?? 0) > this.info.storedAt
  }

  get mode(): EventMode {
    return this.#request.replyMode
  }

  /** Whether its caller wants to hear who runs it. */
  get wantsStarted(): boolean {
    return this.#request.wantsStarted
  }

  get claim(): PayloadClaim | undefined {
    return claimOf(this.#request)
  }

  /** Whether who waits for its answer can read one that is stored apart. */
  get acceptsPayloadRef(): boolean {
    return this.#request.acceptsPayloadRef
  }

  /** The event in it. @throws {FnError} invalid_argument INVALID_EVENT; TOO_MANY_HOPS */
  event(): WireEvent {
    return this.#request.event(this.payload?.data ?? this.msg.data, this.msg.subject)
  }

  lines(): string {
    return ownLines(rawHeaders(this.msg))
  }
}

/** A queued message that was read without being delivered, to be given up. */
export class StoredInvocation implements QueuedInvocation {
  readonly ref: FunctionRef
  readonly settings: Readonly<InvocationSettings>
  readonly attempt: number
  readonly mode: EventMode
  readonly claim: PayloadClaim | undefined
  readonly #message: StoredMessage

  constructor(ref: FunctionRef, message: StoredMessage, attempt: number) {
    this.ref = ref
    this.attempt = attempt
    this.#message = message
    const { settings, request } = readHeaders(Buffer.from(`NATS/1.0\r\n${message.lines}\r\n`), message.seq)
    this.settings = settings
    this.mode = request.replyMode
    this.claim = claimOf(request)
  }

  get invocationId(): string {
    return this.settings.invocationId
  }

  get seq(): number {
    return this.#message.seq
  }

  get queuedAt(): number {
    return this.#message.storedAt
  }

  get subject(): string {
    return this.#message.subject
  }

  get data(): Uint8Array {
    return this.#message.data
  }

  lines(): string {
    return this.#message.lines
  }
}

/** How long an invocation has waited since it could have run first, ms. */
export function waitedMs({ settings, queuedAt }: QueuedInvocation, now: number = Date.now()): number {
  return now - Math.max(settings.notBefore ?? 0, queuedAt)
}

function readHeaders(block: Uint8Array | undefined, seq: number): { settings: InvocationSettings; request: Request } {
  const settings: { -readonly [Key in keyof InvocationSettings]?: InvocationSettings[Key] } = {}
  const request = new Request(block, (name, value) => takeInvocationHeader(settings, name, value))
  const { invocationId, version, timeoutMs, hops } = request
  return { settings: { ...settings, invocationId: invocationId ?? sequenceId(seq), version, timeoutMs, hops }, request }
}

/** Whoever redrives a dead letter gives it another id; its data keeps its name. */
function claimOf({ payload, isRedriven }: Request): PayloadClaim | undefined {
  return payload && isRedriven ? { ...payload, isRedriven } : payload
}

function ownLines(block: Uint8Array | undefined): string {
  let lines = ""
  if (block) {
    readHeaderBlock(block, (name, value) => {
      if (!name.startsWith("Nats-")) lines += headerLine(name, value)
    })
  }
  return lines
}

/** What a subject of the queue names. */
export type QueueTarget =
  | { readonly kind: "function"; readonly ref: FunctionRef }
  /** Work of the platform's own: its name is none a function can have. */
  | { readonly kind: "handler"; readonly namespace: string; readonly name: string }
  /** Nothing that could ever take it. */
  | { readonly kind: "nobody"; readonly ref: FunctionRef }

/** The target of what was queued under `{namespace}.{name}`. */
export function queueTarget(tail: string): QueueTarget {
  const [namespace = "", name = "", more] = tail.split(".")
  const scope = passes(checkNamespace, namespace) ? namespace : undefined
  if (scope !== undefined && more === undefined) {
    if (passes(checkName, name)) return { kind: "function", ref: { namespace, name } }
    if (name.startsWith("=")) return { kind: "handler", namespace, name }
  }
  return { kind: "nobody", ref: { namespace: scope ?? DEFAULT_NAMESPACE, name: "unknown" } }
}

function passes(check: (value: string) => string, value: string): boolean {
  try {
    check(value)
    return true
  } catch {
    return false
  }
}

/** What the acknowledgement subject of a message says; undefined for what is no delivery. */
export function deliveryInfo(msg: RawMsg): DeliveryInfo | undefined {
  return msg.reply ? readDelivery(msg.reply) : undefined
}
