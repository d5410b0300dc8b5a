/**
 * Takes the messages of one lane of the queue, no more at once than there are slots for, and keeps them until their outcome is stored.
 *
 * Phases: working (something is pulled, held, or due later) → idle (its owner forgets it: an idle function costs nothing) → stopped.
 * A pull is sent when there may be work and a slot is set aside for it; what it brings beyond what was set aside waits for a slot, it never
 * fails for want of one. Neighbours: the lanes run what comes, holdings.ts keeps it, pull.ts asks the server, queue.ts says when there is
 * work.
 */
import { FnError, type FunctionRef, type Logger, messageOf } from "@fn/core"
import { publishRaw, type RawMsg } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { Consumers, QueueLane } from "./consumer.js"
import { Delivery, deliveryInfo } from "./delivery.js"
import { DueTimes } from "./due-times.js"
import { Holdings } from "./holdings.js"
import type { PullEnd, PullInbox } from "./pull.js"
import type { ResolvedQueueSettings } from "./settings.js"

/** Where the messages of a lane run, and what slots there are. */
export interface LaneRunner {
  readonly ref: FunctionRef
  readonly lane: QueueLane
  /** What the lane's queue is set to; undefined when nothing can run here now. Rejects when that cannot be known. */
  prepare(): Promise<ResolvedQueueSettings | undefined>
  /** Sets aside up to `count` free slots and returns how many. */
  setAside(count: number): number
  /** Gives back slots that nothing came for. */
  giveBack(count: number): void
  /** Runs a delivery, on a slot that was set aside or when there is one. Ends with {@link Worker.done} or {@link Worker.putOff}. */
  run(delivery: Delivery, setAside: boolean): void
  /** Cancels a delivery that waits for a slot. */
  cancel(delivery: Delivery): void
  /** What the lane is for was deleted: what runs finishes, all else is given back. */
  gone(): void
}

/** What workers share. */
export interface WorkerOptions {
  readonly access: QueueAccess
  readonly pulls: PullInbox
  readonly consumers: Consumers
  readonly logger: Logger
  /** The worker has nothing to do any more. */
  readonly onIdle: (worker: Worker) => void
}

/** After a wake that found nothing: one server may tell of a message a moment before another can deliver it. */
const LOOK_AGAIN_MS = [20, 100] as const
/** Leases are extended no more often. */
const MIN_LEASE_MS = 50
/** Pause after a pull that failed, ms. */
const RETRY_MS = 250
/** Held beyond the slots: messages whose outcome is being stored. */
const MAX_SETTLING = 256
/** The same in bytes of their results, which are in memory until they are stored. */
const MAX_SETTLING_BYTES = 134_217_728

/** See the head of this file. */
export class Worker {
  readonly #options: WorkerOptions
  readonly #runner: LaneRunner
  readonly #held: Holdings
  readonly #due: DueTimes
  /** Messages that may be there to be pulled. */
  #expected = 0
  /** Messages the server told of since the last pull was sent. */
  #wakes = 0
  /** Not delivered yet when the last message was. */
  #pending = 0
  /** How often since the last wake a pull has found nothing. */
  #looked: number = LOOK_AGAIN_MS.length
  /** How often in a row a pull found no consumer. */
  #missed = 0
  #setAside = 0
  #pulling = false
  #preparing = false
  #stopped = false
  #settings: ResolvedQueueSettings | undefined
  /** Until then nothing is pulled: the last pull failed. */
  #pause: NodeJS.Timeout | undefined
  /** Then a pull is made that nobody asked for. */
  #again: NodeJS.Timeout | undefined

  constructor(options: WorkerOptions, runner: (worker: Worker) => LaneRunner) {
    this.#options = options
    this.#held = new Holdings(options.access, options.logger)
    this.#runner = runner(this)
    this.#due = new DueTimes((count) => this.wake(count))
  }

  get lane(): QueueLane {
    return this.#runner.lane
  }

  get runner(): LaneRunner {
    return this.#runner
  }

  get held(): Holdings {
    return this.#held
  }

  /** Sequences of what this host put off and has not come again. */
  get due(): number[] {
    return [...this.#due.seqs()]
  }

  /** What this host knows of the lane's messages: it holds them, or put them off. */
  get known(): number {
    return this.#held.size + this.#due.size
  }

  /** More slots than are set aside are wanted. */
  get wantsSlot(): boolean {
    return !this.#stopped && !this.#pause && this.#settings !== undefined && this.#setAside < this.#wanted()
  }

  /** The server has told of messages for this lane, or so many are due. */
  wake(count: number = 1): void {
    this.#wakes += count
    this.#expected += count
    this.#looked = 0
    this.#pump()
  }

  /** The queue has `depth` messages of this lane; those that are not known here may be anybody's. */
  swept(depth: number): void {
    const unknown = depth - this.known
    if (unknown <= 0 && !this.#options.consumers.isDue(this.lane)) return
    this.#expected = Math.max(this.#expected, unknown, 1)
    this.#pump()
  }

  /** A slot was set aside for this lane, though it had asked for none just then. */
  slotSetAside(): void {
    this.#setAside++
    this.#pump()
  }

  /** Lets go of the slots that are set aside and returns how many they were: they are of a version that is not active any more. */
  forgetSlots(): number {
    const count = this.#setAside
    this.#setAside = 0
    return count
  }

  /** A message that came for this lane. */
  receive(msg: RawMsg): void {
    const info = deliveryInfo(msg)
    if (!info) return
    const setAside = this.#setAside > 0
    if (setAside) this.#setAside--
    this.#due.delete(info.seq)
    this.#pending = info.pending
    if (this.#held.renew(info, msg.reply ?? "")) {
      if (setAside) this.#runner.giveBack(1)
      return
    }
    const delivery = new Delivery(this.#runner.ref, msg, info)
    if (this.#stopped) {
      if (setAside) this.#runner.giveBack(1)
      this.#held.giveBack(delivery, 0)
      return this.tellOthers()
    }
    this.#held.add(delivery)
    this.#runner.run(delivery, setAside)
  }

  /** The outcome of a delivery is known: it needs its slot no more, and a hand of ours until it is stored. `outBytes` of it are in memory. */
  settling(delivery: Delivery, outBytes: number = 0): void {
    this.#held.settle(delivery, outBytes)
  }

  /** The outcome of a delivery is stored and acknowledged, or it is somebody else's. */
  done(delivery: Delivery): void {
    this.#held.delete(delivery)
    this.#pump()
  }

  /** Gives a delivery back, to come again after `delayMs`. */
  putOff(delivery: Delivery, delayMs: number): void {
    this.#held.giveBack(delivery, delayMs)
    if (!this.#stopped) this.#due.add(delivery.seq, Date.now() + delayMs)
    this.#held.delete(delivery)
    this.#pump()
  }

  /** The connection came back: leases that ran meanwhile are extended, and everything is looked at. */
  reconnected(): void {
    this.#held.extendAll()
    this.#expected = Math.max(1, this.#expected)
    this.#pump()
  }

  /** Pulls nothing more; what is held goes on. */
  stop(): void {
    this.#stopped = true
    this.#expected = 0
    clearTimeout(this.#pause)
    clearTimeout(this.#again)
    this.#due.clear()
    if (!this.#pulling) this.#giveBackAll()
  }

  /** Gives everything back at once, for other hosts. */
  handBack(): void {
    this.stop()
    if (this.#held.handBack() > 0) this.tellOthers()
  }

  /** Tells the other hosts that there is work which this one gave back: the server tells only of what is stored. */
  tellOthers(): void {
    const { nc, names } = this.#options.access
    const { wakeAll, queueAll } = names.subjects
    const subject = wakeAll.slice(0, -1) + this.lane.subject.slice(queueAll.length - 1)
    try {
      publishRaw(nc, subject, undefined)
    } catch (thrown) {
      this.#options.logger.debug("queue: others not told", { error: messageOf(thrown) })
    }
  }

  #pump(): void {
    if (this.#stopped || this.#pulling || this.#preparing || this.#pause) return
    if (this.#expected <= 0) return this.#checkIdle()
    this.#preparing = true
    this.#prepare().then(
      (ready) => {
        this.#preparing = false
        if (ready && !this.#stopped) this.#pull()
        else this.#giveBackAll()
      },
      (thrown) => {
        this.#preparing = false
        this.#giveBackAll()
        this.#failed(FnError.from(thrown))
      },
    )
  }

  /** Whether a pull can be sent: the lane can run, and its consumer is there. */
  async #prepare(): Promise<boolean> {
    const settings = await this.#runner.prepare()
    this.#settings = settings
    if (!settings) {
      // Whoever knows when it can run again wakes us; the sweep comes anyway.
      this.#expected = 0
      return false
    }
    this.#held.setInterval(Math.max(MIN_LEASE_MS, Math.floor(settings.ackWaitMs / 3)))
    await this.#options.consumers.ensure(this.lane, settings)
    return true
  }

  #pull(): void {
    const wanted = this.#wanted()
    if (this.#setAside < wanted) this.#setAside += this.#runner.setAside(wanted - this.#setAside)
    const batch = Math.min(this.#setAside, wanted)
    // No slot: whoever frees one sets it aside for us; or our hands are full, and each outcome that is stored calls here again.
    if (batch <= 0) return
    this.#wakes = 0
    this.#pulling = true
    clearTimeout(this.#again)
    this.#again = undefined
    const { subject, consumer } = this.lane
    this.#options.consumers.asked(this.lane)
    this.#options.pulls.pull({ subject, consumer, batch, onEnd: (end, received) => this.#ended(end, received) })
  }

  #ended(end: PullEnd, received: number): void {
    this.#pulling = false
    if (end === "full") {
      // One more than is known of: what is delivered again counts nowhere.
      this.#expected = Math.max(1, this.#pending, this.#wakes)
      return this.#pump()
    }
    this.#expected = this.#wakes
    this.#giveBackAll()
    if (end === "no-consumer" || end === "silent") {
      this.#options.consumers.forget(this.lane)
      this.#expected = Math.max(1, this.#expected)
      // The first time it is made again at once.
      if (this.#missed++ > 0) return this.#failed(FnError.of("JETSTREAM_UNAVAILABLE", `a pull ended: ${end}`))
      return this.#pump()
    }
    this.#missed = 0
    if (end === "disconnected") return
    if (received === 0 && this.#wakes === 0) this.#lookAgain()
    this.#pump()
  }

  /** The server told of a message that is not there. Another host has it, most often; or it is there in a moment. */
  #lookAgain(): void {
    const afterMs = LOOK_AGAIN_MS[this.#looked++]
    if (afterMs === undefined || this.#stopped) return
    this.#again = setTimeout(() => {
      this.#again = undefined
      this.#expected = Math.max(1, this.#expected)
      this.#pump()
    }, afterMs)
  }

  #failed(error: FnError): void {
    this.#options.logger.debug("queue: not pulled", { ...this.#runner.ref, reason: error.reason, error: error.message })
    if (this.#stopped) return
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#expected = Math.max(1, this.#expected)
      this.#pump()
    }, RETRY_MS)
  }

  /** How many messages should come next. */
  #wanted(): number {
    const { settling, settlingBytes } = this.#held
    if (settlingBytes > MAX_SETTLING_BYTES) return 0
    return Math.min(this.#expected, this.#settings?.batchSize ?? 0, MAX_SETTLING - settling)
  }

  #giveBackAll(): void {
    const count = this.#setAside
    this.#setAside = 0
    if (count > 0) this.#runner.giveBack(count)
  }

  #checkIdle(): void {
    if (this.#held.size === 0 && this.#due.size === 0 && !this.#again) this.#options.onIdle(this)
  }
}
