/**
 * A function's slots as its lane sees them: set aside on the active version for what is pulled, and waited for, on any version, by what came
 * without one. A slot that is set aside is counted in the version's backlog until the dispatcher runs a call on it or it is released.
 */
import type { Dispatcher } from "../dispatch/dispatcher.js"
import { type Backlog, type OpenVersion, offeredSlots } from "../dispatch/hosted-function.js"
import type { Delivery } from "./delivery.js"

/** What a lane does with slots. */
export interface SlotUser {
  /** Whether one more would be set aside for what is pulled. */
  wantsSlot(): boolean
  /** One was. */
  slotSetAside(): void
  /** How many are; none from now on: they are of a version that is not active any more. */
  forgetSlots(): number
  /** A delivery that waited has its slot. */
  start(delivery: Delivery, open: OpenVersion): void
  /** The version that a delivery waits for does not work here. */
  refuse(delivery: Delivery, open: OpenVersion): void
}

/** See the head of this file. */
export class LaneSlots {
  readonly #dispatcher: Dispatcher
  readonly #user: SlotUser
  readonly #waiting = new Map<OpenVersion, Set<Delivery>>()
  /** Versions whose backlog is this lane's. */
  readonly #own = new WeakSet<OpenVersion>()
  #active: OpenVersion | undefined

  constructor(dispatcher: Dispatcher, user: SlotUser) {
    this.#dispatcher = dispatcher
    this.#user = user
  }

  /** The version whose slots are set aside for pulls. */
  get active(): OpenVersion | undefined {
    return this.#active
  }

  /** `open` is the active version: what was set aside on the one before is free again. */
  activate(open: OpenVersion): void {
    const before = this.#active
    if (before === open) return
    this.#active = open
    this.#backlog(open)
    if (!before?.backlog) return
    before.backlog.reserved -= this.#user.forgetSlots()
    this.#dispatcher.freed(before)
  }

  /** Sets aside up to `count` free slots of the active version and returns how many. */
  setAside(count: number): number {
    const open = this.#active
    if (!open) return 0
    const taken = Math.min(count, offeredSlots(open))
    this.#backlog(open).reserved += taken
    return taken
  }

  /** Frees slots that are set aside. */
  release(open: OpenVersion | undefined, count: number = 1): void {
    if (!open?.backlog) return
    open.backlog.reserved -= count
    this.#dispatcher.freed(open)
  }

  /** Lets a delivery wait for a slot of `open`. */
  wait(delivery: Delivery, open: OpenVersion): void {
    this.#backlog(open)
    const waiting = this.#waiting.get(open) ?? new Set()
    this.#waiting.set(open, waiting.add(delivery))
    this.#dispatcher.freed(open)
  }

  /** Lets a delivery wait no longer; false when it did not wait. */
  unwait(delivery: Delivery): boolean {
    for (const [open, waiting] of this.#waiting) {
      if (!waiting.delete(delivery)) continue
      if (waiting.size === 0) this.#waiting.delete(open)
      return true
    }
    return false
  }

  /** Everything that waits. */
  waiting(): Delivery[] {
    return [...this.#waiting.values()].flatMap((waiting) => [...waiting])
  }

  /** The version's backlog, which from now on is this lane's: the one before had nothing left to do. */
  #backlog(open: OpenVersion): Backlog {
    open.backlog ??= { reserved: 0, isNext: false, takeSlot: () => false }
    if (!this.#own.has(open)) {
      this.#own.add(open)
      open.backlog.takeSlot = () => this.#take(open)
    }
    return open.backlog
  }

  /** A slot of `open` is free. */
  #take(open: OpenVersion): boolean {
    const backlog = this.#backlog(open)
    const waiting = [...(this.#waiting.get(open) ?? [])]
    if (open.breaker.isOpen) {
      for (const delivery of waiting) if (this.unwait(delivery)) this.#user.refuse(delivery, open)
      return false
    }
    const [next] = waiting
    if (next) {
      this.unwait(next)
      backlog.reserved++
      this.#user.start(next, open)
      return true
    }
    if (open !== this.#active || !this.#user.wantsSlot()) return false
    backlog.reserved++
    this.#user.slotSetAside()
    return true
  }
}
