/**
 * The messages of one lane that a host holds, from their delivery until their outcome is stored, and the leases on them.
 *
 * One timer extends all leases, whatever the messages are at: waiting, running, or having their outcome stored.
 */
import { type Logger, messageOf, SlabMap } from "@fn/core"
import type { DeliveryInfo } from "@fn/nats"
import { nak, working } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { Delivery } from "./delivery.js"

/** See the head of this file. */
export class Holdings {
  readonly #access: QueueAccess
  readonly #logger: Logger
  readonly #held = new SlabMap<number, Delivery>()
  readonly #whenEmpty: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #everyMs = 0
  /** How many have their outcome stored at this moment, and what their results hold in memory. */
  #settling = 0
  #settlingBytes = 0

  constructor(access: QueueAccess, logger: Logger) {
    this.#access = access
    this.#logger = logger
  }

  get size(): number {
    return this.#held.size
  }

  get settling(): number {
    return this.#settling
  }

  get settlingBytes(): number {
    return this.#settlingBytes
  }

  /** Extend leases this often from now on, ms. */
  setInterval(everyMs: number): void {
    if (everyMs === this.#everyMs) return
    this.#everyMs = everyMs
    if (!this.#timer) return
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.extendAll(), everyMs)
  }

  has(delivery: Delivery): boolean {
    return this.#held.get(delivery.seq) === delivery
  }

  find(invocationId: string): Delivery | undefined {
    for (const delivery of this.#held.values()) if (delivery.invocationId === invocationId) return delivery
    return undefined
  }

  add(delivery: Delivery): void {
    this.#held.set(delivery.seq, delivery)
    this.#timer ??= setInterval(() => this.extendAll(), this.#everyMs)
  }

  /**
   * A message came. True when it is held already: its lease had run out before it was extended. It goes on here, under the new delivery.
   */
  renew(info: DeliveryInfo, ackSubject: string): boolean {
    const held = this.#held.get(info.seq)
    if (!held) return false
    held.info = info
    held.ackSubject = ackSubject
    this.#tell(() => working(this.#access.nc, ackSubject))
    return true
  }

  /** The outcome of a delivery is known; `outBytes` of it are in memory until it is stored. */
  settle(delivery: Delivery, outBytes: number): void {
    if (delivery.settling) return
    delivery.settling = true
    delivery.outBytes = outBytes
    this.#settling++
    this.#settlingBytes += outBytes
  }

  /** Lets go of a delivery: it is acknowledged, or given back. */
  delete(delivery: Delivery): void {
    if (this.has(delivery)) this.#held.delete(delivery.seq)
    if (delivery.settling) {
      delivery.settling = false
      this.#settling--
      this.#settlingBytes -= delivery.outBytes
    }
    if (this.#held.size === 0) this.#end()
  }

  /** Gives everything back at once; how many that were. */
  handBack(): number {
    const count = this.#held.size
    for (const delivery of this.#held.values()) this.giveBack(delivery, 0)
    this.#held.clear()
    this.#end()
    return count
  }

  /** Has the server deliver a message again after `delayMs`. */
  giveBack({ ackSubject }: Delivery, delayMs: number): void {
    this.#tell(() => nak(this.#access.nc, ackSubject, delayMs))
  }

  extendAll(): void {
    for (const { ackSubject } of this.#held.values()) this.#tell(() => working(this.#access.nc, ackSubject))
  }

  /** Resolves when nothing is held. */
  empty(): Promise<void> {
    if (this.#held.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenEmpty.push(resolve))
  }

  #end(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  /** Only a connection that is closed for good throws; the server finds out by itself then. */
  #tell(publish: () => void): void {
    try {
      publish()
    } catch (thrown) {
      this.#logger.debug("queue: acknowledgement not sent", { error: messageOf(thrown) })
    }
  }
}
