import type { FunctionRef } from "@fn/core"
import type { FunctionRecord } from "@fn/registry"
import type { InstancePool } from "../instances/pool.js"
import { FunctionStats } from "../status/function-stats.js"
import type { Call } from "./call.js"
import type { CircuitBreaker } from "./circuit-breaker.js"

/** A version that is open on this host: its instances, and the calls that wait for one of its slots. */
export interface OpenVersion {
  readonly pool: InstancePool
  /** In order of arrival. */
  readonly waiting: Set<Call>
  readonly breaker: CircuitBreaker
  /** Its part of the durable queue, once this host has worked on that. */
  backlog?: Backlog
}

/** What waits in the durable queue for one version on this host, as far as slots are concerned. Kept by the queue worker. */
export interface Backlog {
  /** Slots set aside for invocations that were asked of the queue, or have come and not begun. */
  reserved: number
  /** Whether the next slot that gets free is the backlog's, if a call waits for it too. */
  isNext: boolean
  /** A slot is free. True: it is wanted, and counted in `reserved` by then. */
  takeSlot(): boolean
}

/** Slots of a version that neither run a call nor are set aside for one. */
export function freeSlots({ pool, backlog }: OpenVersion): number {
  return pool.capacity - pool.running - (backlog?.reserved ?? 0)
}

/** Slots that a call would find free now: as {@link freeSlots}, and none while the circuit is open. */
export function offeredSlots(open: OpenVersion): number {
  return open.breaker.isOpen ? 0 : Math.max(0, freeSlots(open))
}

/** A function as this host knows it. */
export class HostedFunction {
  /** `namespace/name`. */
  readonly key: string
  readonly ref: FunctionRef
  record: FunctionRecord
  /** KV revision of `record`. */
  revision: number
  readonly stats: FunctionStats = new FunctionStats()
  /** Open versions by version. */
  readonly versions: Map<string, OpenVersion> = new Map()
  #queued = 0
  /** Calls that this host has stored in the queue since it last heard how deep that is. */
  storedSince = 0
  /** Versions that are being opened. */
  readonly opening: Map<string, Promise<OpenVersion>> = new Map()

  constructor(record: FunctionRecord, revision: number) {
    this.ref = { namespace: record.namespace, name: record.name }
    this.key = `${record.namespace}/${record.name}`
    this.record = record
    this.revision = revision
  }

  /** Invocations of it in the durable queue, as this host last heard. Kept by the queue worker. */
  get queued(): number {
    return this.#queued
  }

  set queued(depth: number) {
    this.#queued = depth
    this.storedSince = 0
  }

  /** Circuit breaker of the active version; undefined while that is not open on this host. Open: no call may come, nothing be pulled. */
  get circuit(): CircuitBreaker | undefined {
    return this.versions.get(this.record.activeVersion)?.breaker
  }
}
