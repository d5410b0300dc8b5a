import type { Code } from "./errors.js"
import type { RuntimeKind } from "./names.js"

/** Labels of everything measured about one function version. Never ids. */
export interface FunctionLabels {
  readonly namespace: string
  readonly name: string
  readonly version: string
  readonly runtime: RuntimeKind
}

/** Where a call went that found no free slot: to another host, into the durable queue, or back to its caller. */
export type OverflowTarget = "host" | "queue" | "refused"

/** What the instances of a function version use together. What cannot be counted is undefined. */
export interface FunctionUsage {
  readonly fn: FunctionLabels
  readonly instances: number
  readonly memoryBytes: number | undefined
  /** Processor time of its instances, those that ended included, ms. */
  readonly cpuMs: number | undefined
}

/** What the packages measure, whoever collects it. @fn/metrics exports it to Prometheus; the default does nothing. */
export interface Instruments {
  /** One execution ended. `code` is `ok` or what it failed with. */
  execution(fn: FunctionLabels, code: Code | "ok", durationMs: number): void
  /** An instance became ready `durationMs` after it was asked for. */
  coldStart(fn: FunctionLabels, durationMs: number): void
  /** An instance ended without being asked to. */
  crash(fn: FunctionLabels): void
  /** Whom to ask what instances use, when somebody wants to know. The last one who says so is asked. */
  usage(read: () => Promise<readonly FunctionUsage[]>): void
  /** A version that failed again and again is given a rest on this host. */
  circuitOpened(fn: FunctionLabels): void
  /** A call found no free slot, nor a place to wait for one here: where it went. */
  overflowed(fn: FunctionLabels, to: OverflowTarget): void
  /** NATS messages the process handled. */
  messages(direction: "in" | "out", count: number): void
  /** A call ended in the client. */
  invocation(name: string, code: Code | "ok", durationMs: number): void
}

/** Measures nothing. */
export const noopInstruments: Instruments = {
  execution: () => undefined,
  coldStart: () => undefined,
  crash: () => undefined,
  usage: () => undefined,
  circuitOpened: () => undefined,
  overflowed: () => undefined,
  messages: () => undefined,
  invocation: () => undefined,
}
