import type { HostStatus } from "./status.js"

/** How much of one function a host can take. */
export interface FunctionLoad {
  /** `namespace/name`. */
  readonly function: string
  /** Executions the host can run at once. */
  readonly slots: number
  readonly freeSlots: number
  /** Calls that wait on the host for a slot. */
  readonly waiting: number
  /** Invocations in the durable queue, as the host last heard. */
  readonly queued: number
}

/** Report on `function.status.{host}.load`, about functions that calls wait for, on this host or another. docs/protocol.md#load-reports */
export interface LoadReport {
  readonly host: string
  readonly phase: HostStatus["phase"]
  readonly functions: readonly FunctionLoad[]
}
