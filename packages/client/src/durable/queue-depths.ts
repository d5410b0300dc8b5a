/**
 * How many invocations of a function wait: for a `maxPending` below what the stream itself takes. A soft limit. The stream is asked at most
 * once a second for a function that has one, and many callers may pass it together in between.
 */
import { FnError, type FunctionRef } from "@fn/core"
import { requestApi } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import type { KnownFunction } from "../function-directory.js"

/** What was read is used so long, and read again meanwhile when it is older than a second. */
const USABLE_MS = 5_000
const REFRESH_MS = 1_000
const READ_TIMEOUT_MS = 1_000
/** Functions whose depth is remembered; the least recently read goes first. */
const MAX_REMEMBERED = 4_096

interface Depth {
  readonly waiting: number
  readonly at: number
}

/** The depths that one client looks at. */
export class QueueDepths {
  readonly #access: QueueAccess
  readonly #depths = new Map<string, Depth>()
  readonly #reading = new Map<string, Promise<Depth>>()

  constructor(access: QueueAccess) {
    this.#access = access
  }

  /** @throws {FnError} resource_exhausted QUEUE_FULL when as many invocations of `fn` wait as it takes */
  async check(fn: KnownFunction): Promise<void> {
    const { key, maxPending } = fn
    if (maxPending === undefined) return
    let depth = this.#depths.get(key)
    const ageMs = depth ? performance.now() - depth.at : Number.POSITIVE_INFINITY
    if (!depth || ageMs > USABLE_MS) depth = await this.#read(fn)
    else if (ageMs > REFRESH_MS) void this.#read(fn)
    if (depth.waiting < maxPending) return
    throw FnError.of("QUEUE_FULL", `${depth.waiting} invocations of ${key} wait already; it takes ${maxPending} (queue.maxPending)`)
  }

  #read(fn: KnownFunction): Promise<Depth> {
    const reading = this.#reading.get(fn.key)
    if (reading) return reading
    const started = this.#ask(fn).then((waiting) => this.#remember(fn.key, waiting))
    this.#reading.set(fn.key, started)
    return started
  }

  #remember(key: string, waiting: number): Depth {
    this.#reading.delete(key)
    const depth = { waiting, at: performance.now() }
    this.#depths.delete(key)
    this.#depths.set(key, depth)
    if (this.#depths.size > MAX_REMEMBERED) this.#depths.delete(this.#depths.keys().next().value as string)
    return depth
  }

  /** Never rejects: whoever may not ask, or gets no answer, is held to the stream's own limit alone. */
  async #ask(ref: FunctionRef): Promise<number> {
    const { inbox, names, jsDomain } = this.#access
    const subject = names.subjects.queue(ref)
    const request = { body: { subjects_filter: subject }, jsDomain, timeoutMs: READ_TIMEOUT_MS }
    const info = await requestApi<QueueInfo>(inbox, `STREAM.INFO.${names.queue}`, request).catch(() => undefined)
    return info?.state?.subjects?.[subject] ?? 0
  }
}

interface QueueInfo {
  readonly state?: { readonly subjects?: Readonly<Record<string, number>> }
}
