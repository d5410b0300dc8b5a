/**
 * The platform's instruments for Prometheus, under OpenTelemetry's names.
 *
 * Every execution of every function comes through here, so the hot path only adds to plain numbers; prom-client gets to see them when
 * somebody scrapes.
 */
import type { FunctionLabels, FunctionUsage, Instruments, OverflowTarget } from "@fn/core"
import { collectDefaultMetrics, Registry } from "prom-client"
import { lazyCounter, lazyGauge, lazyHistogram, type Sample } from "./lazy-metrics.js"
import { ClientSeries, FunctionSeries, type Outcome, type Outcomes, SeriesMap } from "./series.js"

/** Options of {@link createPrometheusInstruments}. */
export interface PrometheusOptions {
  /** Where the metrics are registered. Default: a registry of their own. */
  readonly registry?: Registry | undefined
  /** Whether to add metrics of the process: CPU, memory, event loop, garbage collection. Default true. */
  readonly defaultMetrics?: boolean | undefined
  /** Function versions, and names in the client, that are told apart; the rest is counted under `_other`. Default 2000. */
  readonly maxSeries?: number | undefined
}

/** Instruments, and their state as text. */
export interface PrometheusInstruments extends Instruments {
  /** Everything measured so far, in Prometheus' text format. */
  metrics(): Promise<string>
  /** Value of the `content-type` header that goes with {@link metrics}. */
  readonly contentType: string
}

const DEFAULT_MAX_SERIES = 2_000
const OTHER = "_other"
const FUNCTION_LABELS = ["namespace", "function", "version", "runtime"]

/** Instruments that Prometheus can scrape. */
export function createPrometheusInstruments(options: PrometheusOptions = {}): PrometheusInstruments {
  const registry = options.registry ?? new Registry()
  if (options.defaultMetrics ?? true) collectDefaultMetrics({ register: registry })
  return new PromInstruments(registry, options.maxSeries ?? DEFAULT_MAX_SERIES)
}

class PromInstruments implements PrometheusInstruments {
  readonly contentType: string
  readonly #registry: Registry
  readonly #functions: SeriesMap<FunctionSeries>
  readonly #clients: SeriesMap<ClientSeries>
  /** Series of label objects seen before: callers keep one per version, which spares building the key. */
  readonly #known = new WeakMap<FunctionLabels, FunctionSeries>()
  #last: FunctionLabels | undefined
  #lastSeries: FunctionSeries | undefined
  #readUsage: (() => Promise<readonly FunctionUsage[]>) | undefined
  #usage: Promise<void> | undefined
  #messagesIn = 0
  #messagesOut = 0

  constructor(registry: Registry, maxSeries: number) {
    this.#registry = registry
    this.contentType = registry.contentType
    this.#functions = new SeriesMap(
      maxSeries,
      () => new FunctionSeries({ namespace: OTHER, name: OTHER, version: OTHER, runtime: OTHER as FunctionLabels["runtime"] }),
    )
    this.#clients = new SeriesMap(maxSeries, () => new ClientSeries(OTHER))
    this.#register()
  }

  execution(fn: FunctionLabels, code: Outcome, durationMs: number): void {
    const series = this.#seriesOf(fn)
    series.outcomes[code]++
    series.durations.observe(durationMs)
  }

  coldStart(fn: FunctionLabels, durationMs: number): void {
    const series = this.#seriesOf(fn)
    series.coldStarts++
    series.starts.observe(durationMs)
  }

  crash(fn: FunctionLabels): void {
    this.#seriesOf(fn).crashes++
  }

  usage(read: () => Promise<readonly FunctionUsage[]>): void {
    this.#readUsage = read
  }

  circuitOpened(fn: FunctionLabels): void {
    this.#seriesOf(fn).circuitsOpened++
  }

  overflowed(fn: FunctionLabels, to: OverflowTarget): void {
    this.#seriesOf(fn).overflowed[to]++
  }

  messages(direction: "in" | "out", count: number): void {
    if (direction === "in") this.#messagesIn += count
    else this.#messagesOut += count
  }

  invocation(name: string, code: Outcome, durationMs: number): void {
    const series = this.#clients.get(name, () => new ClientSeries(name))
    series.outcomes[code]++
    series.durations.observe(durationMs)
  }

  metrics(): Promise<string> {
    return this.#registry.metrics()
  }

  /** Asked by several metrics in one scrape, reads once. */
  async #used<V>(value: (series: FunctionSeries) => V | undefined): Promise<Sample<V>[]> {
    this.#usage ??= this.#takeUsage().finally(() => {
      this.#usage = undefined
    })
    await this.#usage
    return Array.from(this.#functions).flatMap((series) => {
      const used = series.instances > 0 || series.cpuMs !== undefined ? value(series) : undefined
      return used === undefined ? [] : [{ labels: series.labels, value: used }]
    })
  }

  async #takeUsage(): Promise<void> {
    const all = (await this.#readUsage?.()) ?? []
    for (const series of this.#functions) Object.assign(series, { instances: 0, memoryBytes: undefined, cpuMs: undefined })
    for (const { fn, instances, memoryBytes, cpuMs } of all) {
      const series = this.#seriesOf(fn)
      series.instances += instances
      if (memoryBytes !== undefined) series.memoryBytes = (series.memoryBytes ?? 0) + memoryBytes
      if (cpuMs !== undefined) series.cpuMs = (series.cpuMs ?? 0) + cpuMs
    }
  }

  #seriesOf(fn: FunctionLabels): FunctionSeries {
    if (fn === this.#last && this.#lastSeries) return this.#lastSeries
    let series = this.#known.get(fn)
    if (!series) {
      const key = `${fn.namespace}/${fn.name}@${fn.version} ${fn.runtime}`
      series = this.#functions.get(key, () => new FunctionSeries(fn))
      this.#known.set(fn, series)
    }
    this.#last = fn
    this.#lastSeries = series
    return series
  }

  #register(): void {
    const registry = this.#registry
    const functions = <V>(value: (series: FunctionSeries) => V) => mapSamples(this.#functions, value)
    const labelNames = FUNCTION_LABELS
    lazyCounter({
      name: "faas_invocations_total",
      help: "Executions that ended, by outcome (ok or an error code).",
      labelNames: [...labelNames, "code"],
      registry,
      read: () => byOutcome(this.#functions, () => true),
    })
    lazyCounter({
      name: "faas_errors_total",
      help: "Executions that failed, by error code; time-outs too.",
      labelNames: [...labelNames, "code"],
      registry,
      read: () => byOutcome(this.#functions, (code) => code !== "ok"),
    })
    lazyCounter({
      name: "faas_timeouts_total",
      help: "Executions that ran out of time.",
      labelNames,
      registry,
      read: () => functions((series) => series.outcomes.deadline_exceeded),
    })
    lazyCounter({
      name: "faas_coldstarts_total",
      help: "Instances that were started.",
      labelNames,
      registry,
      read: () => functions((series) => series.coldStarts),
    })
    lazyCounter({
      name: "fn_instance_crashes_total",
      help: "Instances that ended without being asked to.",
      labelNames,
      registry,
      read: () => functions((series) => series.crashes),
    })
    lazyCounter({
      name: "fn_circuits_opened_total",
      help: "Times a version was given a rest on this host because it failed again and again.",
      labelNames,
      registry,
      read: () => functions((series) => series.circuitsOpened),
    })
    lazyCounter({
      name: "fn_calls_overflowed_total",
      help: "Calls that found no free slot and no place to wait: handed to another host, stored in the queue, or refused.",
      labelNames: [...labelNames, "to"],
      registry,
      read: () => byTarget(this.#functions),
    })
    lazyGauge({
      name: "fn_instances",
      help: "Instances there are.",
      labelNames,
      registry,
      read: () => this.#used(({ instances }) => instances),
    })
    lazyGauge({
      name: "fn_instance_memory_bytes",
      help: "Memory that the instances use together.",
      labelNames,
      registry,
      read: () => this.#used(({ memoryBytes }) => memoryBytes),
    })
    lazyCounter({
      name: "fn_instance_cpu_seconds_total",
      help: "Processor time that the instances used, as far as it was counted.",
      labelNames,
      registry,
      read: () => this.#used(({ cpuMs }) => (cpuMs === undefined ? undefined : cpuMs / 1000)),
    })
    lazyHistogram({
      name: "faas_invoke_duration_seconds",
      help: "How long executions took.",
      labelNames,
      registry,
      read: () => functions((series) => series.durations),
    })
    lazyHistogram({
      name: "faas_init_duration_seconds",
      help: "How long instances took to be ready.",
      labelNames,
      registry,
      read: () => functions((series) => series.starts),
    })
    lazyCounter({
      name: "fn_nats_messages_total",
      help: "NATS messages this process handled.",
      labelNames: ["direction"],
      registry,
      read: () => [
        { labels: { direction: "in" }, value: this.#messagesIn },
        { labels: { direction: "out" }, value: this.#messagesOut },
      ],
    })
    lazyCounter({
      name: "fn_client_invocations_total",
      help: "Invocations that ended in the client, by outcome.",
      labelNames: ["function", "code"],
      registry,
      read: () => byOutcome(this.#clients, () => true),
    })
    lazyHistogram({
      name: "fn_client_invoke_duration_seconds",
      help: "How long invocations took, seen from the client.",
      labelNames: ["function"],
      registry,
      read: () => mapSamples(this.#clients, (series) => series.durations),
    })
  }
}

interface Labelled {
  readonly labels: Readonly<Record<string, string>>
}

function* mapSamples<S extends Labelled, V>(all: Iterable<S>, value: (series: S) => V): Iterable<Sample<V>> {
  for (const series of all) yield { labels: series.labels, value: value(series) }
}

/** A sample for each way that calls took which found no free slot. */
function* byTarget(all: Iterable<FunctionSeries>): Iterable<Sample<number>> {
  for (const { labels, overflowed } of all)
    for (const to of Object.keys(overflowed) as OverflowTarget[])
      if (overflowed[to] > 0) yield { labels: { ...labels, to }, value: overflowed[to] }
}

/** A sample per outcome that occurred, and `ok` always, so that a rate has a start. */
function* byOutcome(all: Iterable<Labelled & { outcomes: Outcomes }>, wanted: (code: Outcome) => boolean): Iterable<Sample<number>> {
  for (const { labels, outcomes } of all) {
    for (const code of Object.keys(outcomes) as Outcome[]) {
      if (wanted(code) && (outcomes[code] > 0 || code === "ok")) yield { labels: { ...labels, code }, value: outcomes[code] }
    }
  }
}
