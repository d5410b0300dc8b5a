/** One delivery of a queued message: what its headers and its acknowledgement subject say. */

import type { WireEvent } from "@fn/core"
import { type FunctionRef, headerLine, readHeaderBlock } from "@fn/core"
import { type DeliveryInfo, type RawMsg, rawHeaders, readDelivery } from "@fn/nats"
import { type InvocationSettings, sequenceId, takeInvocationHeader } from "@fn/queue"
import { type EventMode, Request } from "../ingress/request.js"
import type { PayloadClaim } from "../payloads/payload-intake.js"

/** Past this, a clock that differs from the one that deferred a message is held out instead of deferring again, ms. */
export const HOLD_MS = 5_000

/** A queued message while this host holds it. */
export class Delivery {
  readonly ref: FunctionRef
  readonly settings: Readonly<InvocationSettings>
  /** From 1. */
  readonly attempt: number
  readonly msg: RawMsg
  /** Changes when the server delivers it again while it is still held: only the newest acknowledgement counts. */
  info: DeliveryInfo
  /** Where it is acknowledged. */
  ackSubject: string
  readonly receivedAt: number = Date.now()
  /** When its attempt began, epoch ms. */
  startedAt: number | undefined
  /** Its outcome is known and being stored. */
  settling = false
  readonly #request: Request

  constructor(ref: FunctionRef, msg: RawMsg, info: DeliveryInfo) {
    this.ref = ref
    this.msg = msg
    this.info = info
    this.ackSubject = msg.reply ?? ""
    const settings: { -readonly [Key in keyof InvocationSettings]?: InvocationSettings[Key] } = {}
    this.#request = new Request(rawHeaders(msg), (name, value) => takeInvocationHeader(settings, name, value))
    const { invocationId, version, timeoutMs, hops } = this.#request
    this.settings = { ...settings, invocationId: invocationId ?? sequenceId(info.seq), version, timeoutMs, hops }
    this.attempt = this.wasDeferred ? Math.max(1, info.deliveries - 1) : info.deliveries
  }

  get invocationId(): string {
    return this.settings.invocationId
  }

  get seq(): number {
    return this.info.seq
  }

  /** Whether it was stored to run later: then its first delivery does nothing but put it off. */
  get wasDeferred(): boolean {
    return (this.settings.notBefore ?? 0) > this.info.storedAt
  }

  /** When it could have run first, epoch ms. */
  get dueAt(): number {
    return Math.max(this.settings.notBefore ?? 0, this.info.storedAt)
  }

  /** Mode of its answer. */
  get mode(): EventMode {
    return this.#request.replyMode
  }

  /** Data that was stored apart, if the message names some. */
  get claim(): PayloadClaim | undefined {
    return this.#request.payload
  }

  /** The event in it, its data `data` where that was stored apart. @throws {FnError} invalid_argument INVALID_EVENT; TOO_MANY_HOPS */
  event(data: Uint8Array = this.msg.data): WireEvent {
    return this.#request.event(data, this.msg.subject)
  }

  /** Its header lines as they were queued, the server's own excepted. */
  lines(): string {
    let lines = ""
    const block = rawHeaders(this.msg)
    if (block) {
      readHeaderBlock(block, (name, value) => {
        if (!name.startsWith("Nats-")) lines += headerLine(name, value)
      })
    }
    return lines
  }
}

/** The function or handler that a subject of the queue names; undefined for a subject of another form. */
export function targetOfSubject(subject: string, head: string): FunctionRef | undefined {
  if (!subject.startsWith(head)) return undefined
  const dot = subject.indexOf(".", head.length)
  if (dot < 0 || subject.indexOf(".", dot + 1) >= 0) return undefined
  return { namespace: subject.slice(head.length, dot), name: subject.slice(dot + 1) }
}

/** What the acknowledgement subject of a message says; undefined for what is no delivery. */
export function deliveryInfo(msg: RawMsg): DeliveryInfo | undefined {
  return msg.reply ? readDelivery(msg.reply) : undefined
}
