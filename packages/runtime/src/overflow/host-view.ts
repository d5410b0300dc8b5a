/**
 * What this host knows of the others' slots, from their load reports. A host is believed for two seconds; a host with a free slot is one
 * slot poorer with every call that is handed to it, until it reports again.
 */
import { type FunctionLoad, isId, type LoadReport } from "@fn/core"

/** A report is believed so long, ms: functions that calls wait for are reported every second. */
export const TRUSTED_MS = 2_000

interface Seen {
  load: FunctionLoad
  freeSlots: number
  /** When it came. */
  readonly at: number
}

/** What all other hosts together have for a function. */
export interface OtherHosts {
  hosts: number
  slots: number
  waiting: number
  /** Depth of the durable queue as the best informed of them knows it. */
  queued: number
}

/** See the head of this file. */
export class HostView {
  readonly #now: () => number
  /** By function, then by host. */
  readonly #seen = new Map<string, Map<string, Seen>>()

  /** `now` is a clock in ms that only goes forward. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Takes what a host says of one function. */
  take(host: string, load: FunctionLoad): void {
    const hosts = this.#seen.get(load.function) ?? new Map<string, Seen>()
    this.#seen.set(load.function, hosts)
    hosts.set(host, { load, freeSlots: load.freeSlots, at: this.#now() })
  }

  /** The host is gone, or going. */
  forget(host: string): void {
    for (const hosts of this.#seen.values()) hosts.delete(host)
  }

  /** Nobody wants to know about the function any more. */
  forgetFunction(key: string): void {
    this.#seen.delete(key)
  }

  /** The host did not take a call of the function although it had a free slot. */
  isFull(key: string, host: string): void {
    const seen = this.#seen.get(key)?.get(host)
    if (seen) seen.freeSlots = 0
  }

  /** Takes a free slot of another host, of the one that has most; undefined when there is none. */
  takeSlot(key: string): string | undefined {
    const best = this.#best(key)
    if (best) best[1].freeSlots--
    return best?.[0]
  }

  /** Whether another host has a free slot. */
  hasSlot(key: string): boolean {
    return this.#best(key) !== undefined
  }

  /** What the other hosts together have. */
  others(key: string): OtherHosts {
    const sum = { hosts: 0, slots: 0, waiting: 0, queued: 0 }
    for (const seen of this.#seen.get(key)?.values() ?? []) {
      if (!this.#isTrusted(seen)) continue
      sum.hosts++
      sum.slots += seen.load.slots
      sum.waiting += seen.load.waiting
      sum.queued = Math.max(sum.queued, seen.load.queued)
    }
    return sum
  }

  #best(key: string): [string, Seen] | undefined {
    const hosts = this.#seen.get(key)
    let best: [string, Seen] | undefined
    for (const [host, seen] of hosts ?? []) {
      if (!this.#isTrusted(seen)) hosts?.delete(host)
      else if (seen.freeSlots > (best?.[1].freeSlots ?? 0)) best = [host, seen]
    }
    if (hosts?.size === 0) this.#seen.delete(key)
    return best
  }

  #isTrusted({ at }: Seen): boolean {
    return this.#now() - at <= TRUSTED_MS
  }
}

/** Whether a function's slots are all taken and calls wait for one. */
export function isSaturated(load: FunctionLoad): boolean {
  return load.freeSlots <= 0 && load.waiting > 0
}

/** A report as it came; undefined for anything that is none. */
export function parseLoadReport(payload: Uint8Array): LoadReport | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"))
  } catch {
    return undefined
  }
  const { host, phase, functions } = (parsed ?? {}) as Record<string, unknown>
  if (!isId(host) || typeof phase !== "string" || !Array.isArray(functions) || !functions.every(isLoad)) return undefined
  return { host, phase: phase as LoadReport["phase"], functions }
}

function isLoad(value: unknown): value is FunctionLoad {
  if (typeof value !== "object" || value === null) return false
  const { function: key, slots, freeSlots, waiting, queued } = value as Record<string, unknown>
  return (
    typeof key === "string" && [slots, freeSlots, waiting, queued].every((count) => Number.isSafeInteger(count) && (count as number) >= 0)
  )
}
