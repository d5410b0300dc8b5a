import { CODES, type Code, type FunctionLabels, type OverflowTarget } from "@fn/core"
import { Distribution } from "./distribution.js"

/** How a call ended. */
export type Outcome = Code | "ok"

/** Calls by outcome. */
export type Outcomes = Record<Outcome, number>

const NONE: Outcomes = { ok: 0, ...(Object.fromEntries(Object.keys(CODES).map((code) => [code, 0])) as Record<Code, number>) }

/** Everything counted about one version of one function. */
export class FunctionSeries {
  readonly labels: Readonly<Record<string, string>>
  readonly outcomes: Outcomes = { ...NONE }
  readonly durations: Distribution = new Distribution()
  readonly starts: Distribution = new Distribution()
  coldStarts = 0
  crashes = 0
  circuitsOpened = 0
  instances = 0
  memoryBytes: number | undefined
  cpuMs: number | undefined
  readonly overflowed: Record<OverflowTarget, number> = { host: 0, queue: 0, refused: 0 }

  constructor(fn: FunctionLabels) {
    this.labels = { namespace: fn.namespace, function: fn.name, version: fn.version, runtime: fn.runtime }
  }
}

/** Everything the client counted about one function. */
export class ClientSeries {
  readonly labels: Readonly<Record<string, string>>
  readonly outcomes: Outcomes = { ...NONE }
  readonly durations: Distribution = new Distribution()

  constructor(name: string) {
    this.labels = { function: name }
  }
}

/**
 * Series by key, at most `max` of them: past that everything new shares one, so that versions deployed for years, or names that callers
 * make up, cannot fill the memory of the process and of Prometheus.
 */
export class SeriesMap<S> {
  readonly #series = new Map<string, S>()
  readonly #max: number
  readonly #createOther: () => S
  #other: S | undefined

  constructor(max: number, createOther: () => S) {
    this.#max = max
    this.#createOther = createOther
  }

  get(key: string, create: () => S): S {
    const known = this.#series.get(key)
    if (known) return known
    if (this.#series.size >= this.#max) {
      this.#other ??= this.#createOther()
      return this.#other
    }
    const made = create()
    this.#series.set(key, made)
    return made
  }

  *[Symbol.iterator](): IterableIterator<S> {
    yield* this.#series.values()
    if (this.#other) yield this.#other
  }
}
