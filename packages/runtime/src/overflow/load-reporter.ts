/**
 * Tells the other hosts about functions that calls wait for, here or there; a platform where nobody waits sends nothing.
 *
 * A function is contended here while its slots are all taken and calls wait, and for ten seconds after another host has said so of itself.
 * Contended functions are looked at every 250 ms and reported when something changed, or a second has passed; what is no longer
 * contended is reported once more and forgotten. Nothing of this touches a call that finds a free slot. docs/adr/0008-load-reports.md
 */
import { type FunctionLoad, type HostStatus, type LoadReport, type Logger, messageOf, type Subjects } from "@fn/core"
import { publishRaw } from "@fn/nats"
import type { NatsConnection } from "@nats-io/transport-node"
import { type HostedFunction, offeredSlots } from "../dispatch/hosted-function.js"
import { isSaturated } from "./host-view.js"

/** Least time between two reports of a host, ms. */
export const REPORT_EVERY_MS = 250
/** A contended function is reported at least so often, ms. */
const REPEAT_MS = 1_000
/** A function that another host said calls wait for is reported so long after, ms. */
const REMEMBER_MS = 10_000

interface Contended {
  readonly fn: HostedFunction
  /** What was last reported. */
  told: FunctionLoad | undefined
  toldAt: number
  /** Another host wants to know until then. */
  wantedUntil: number
}

/** What reports are made from. */
export interface LoadReporterOptions {
  readonly nc: NatsConnection
  readonly subjects: Subjects
  readonly host: string
  /** Nobody waits for the function any more: what is known of the others' slots is of no use. */
  readonly onOver: (key: string) => void
  /** Whether the host still serves the function. */
  readonly isServed: (fn: HostedFunction) => boolean
  readonly logger: Logger
}

/** See the head of this file. */
export class LoadReporter {
  readonly #options: LoadReporterOptions
  readonly #contended = new Map<string, Contended>()
  #timer: NodeJS.Timeout | undefined
  #reportedAt = Number.NEGATIVE_INFINITY
  #over = false

  constructor(options: LoadReporterOptions) {
    this.#options = options
  }

  /** A call has to wait for a slot of `fn`. */
  saturated(fn: HostedFunction): void {
    this.#watch(fn)
  }

  /** Calls wait for `fn` on another host. */
  wanted(fn: HostedFunction): void {
    this.#watch(fn).wantedUntil = performance.now() + REMEMBER_MS
  }

  /** Tells those who may count on this host that they no longer can, and ends. */
  close(phase: HostStatus["phase"]): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    if (this.#reportedAt !== Number.NEGATIVE_INFINITY) this.#publish(phase, [])
  }

  #watch(fn: HostedFunction): Contended {
    const known = this.#contended.get(fn.key)
    if (known?.fn === fn) return known
    const contended = { fn, told: undefined, toldAt: Number.NEGATIVE_INFINITY, wantedUntil: Number.NEGATIVE_INFINITY }
    this.#contended.set(fn.key, contended)
    this.#schedule()
    return contended
  }

  #schedule(): void {
    if (this.#over || this.#timer) return
    const inMs = Math.max(0, this.#reportedAt + REPORT_EVERY_MS - performance.now())
    this.#timer = setTimeout(() => this.#look(), inMs)
  }

  #look(): void {
    this.#timer = undefined
    const now = performance.now()
    const news: FunctionLoad[] = []
    for (const [key, contended] of this.#contended) {
      if (!this.#options.isServed(contended.fn)) {
        this.#forget(key)
        continue
      }
      const load = loadOf(contended.fn)
      const isOver = !isSaturated(load) && now > contended.wantedUntil
      if (isOver) this.#forget(key)
      if (!isOver && now - contended.toldAt < REPEAT_MS && isSame(load, contended.told)) continue
      contended.told = load
      contended.toldAt = now
      news.push(load)
    }
    this.#reportedAt = now
    if (news.length > 0) this.#publish("ready", news)
    if (this.#contended.size > 0) this.#schedule()
  }

  #forget(key: string): void {
    this.#contended.delete(key)
    this.#options.onOver(key)
  }

  #publish(phase: HostStatus["phase"], functions: readonly FunctionLoad[]): void {
    const { nc, subjects, host, logger } = this.#options
    const report: LoadReport = { host, phase, functions }
    try {
      publishRaw(nc, subjects.load(host), JSON.stringify(report))
    } catch (thrown) {
      // The connection is closed: the others will not believe what they last heard for long.
      logger.debug("load not reported", { error: messageOf(thrown) })
    }
  }
}

/** What this host has for a function now. Of a version that is not open yet nothing is known but that a call could run. */
export function loadOf(fn: HostedFunction): FunctionLoad {
  const open = fn.versions.get(fn.record.activeVersion)
  if (!open) return { function: fn.key, slots: 1, freeSlots: 1, waiting: 0, queued: fn.queued }
  return {
    function: fn.key,
    slots: open.breaker.isOpen ? 0 : open.pool.slots,
    freeSlots: offeredSlots(open),
    waiting: open.waiting.size,
    queued: fn.queued,
  }
}

function isSame(a: FunctionLoad, b: FunctionLoad | undefined): boolean {
  return b !== undefined && a.slots === b.slots && a.freeSlots === b.freeSlots && a.waiting === b.waiting && a.queued === b.queued
}
