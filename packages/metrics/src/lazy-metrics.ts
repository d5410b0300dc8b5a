/** prom-client metrics that hold nothing themselves: their values are asked for when somebody scrapes. */
import {
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricType,
  type MetricValueWithName,
  type Registry,
} from "prom-client"
import { BUCKETS_SECONDS, type Distribution } from "./distribution.js"

/** One labelled value. */
export interface Sample<V> {
  readonly labels: Readonly<Record<string, string>>
  readonly value: V
}

/** What every metric here needs. */
export interface LazyOptions<V> {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly registry: Registry
  readonly read: () => Iterable<Sample<V>> | Promise<Iterable<Sample<V>>>
}

/** A counter over numbers that are kept elsewhere. */
export function lazyCounter({ name, help, labelNames, registry, read }: LazyOptions<number>): void {
  new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    async collect() {
      const samples = await read()
      this.reset()
      for (const { labels, value } of samples) this.inc(labels, value)
    },
  })
}

/** A gauge over numbers that are kept elsewhere. */
export function lazyGauge({ name, help, labelNames, registry, read }: LazyOptions<number>): void {
  new Gauge({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    async collect() {
      const samples = await read()
      this.reset()
      for (const { labels, value } of samples) this.set(labels, value)
    },
  })
}

/** A histogram over distributions that are kept elsewhere. */
export function lazyHistogram(options: LazyOptions<Distribution>): void {
  new DistributionHistogram(options)
}

class DistributionHistogram extends Histogram<string> {
  readonly #options: LazyOptions<Distribution>

  constructor(options: LazyOptions<Distribution>) {
    const { name, help, labelNames, registry } = options
    super({ name, help, labelNames: [...labelNames], buckets: [...BUCKETS_SECONDS], registers: [registry] })
    this.#options = options
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const values: MetricValueWithName<string>[] = []
    for (const { labels, value } of await this.#options.read()) values.push(...samplesOf(this.#options.name, labels, value))
    const { name, help } = this.#options
    // The typings number the types; the registry writes this text.
    return { name, help, type: "histogram" as unknown as MetricType, aggregator: "sum", collect: () => undefined, values }
  }

  /** What the registry asks for when it writes text; the parent's would give its own, empty values. */
  getForPromString(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    return this.get()
  }
}

/** `_bucket` (cumulative), `_sum` and `_count` of one distribution. */
function samplesOf(
  name: string,
  labels: Readonly<Record<string, string>>,
  { counts, sumSeconds }: Distribution,
): MetricValueWithName<string>[] {
  let count = 0
  const buckets = Array.from(counts, (inBucket, i) => {
    count += inBucket
    const le = BUCKETS_SECONDS[i] === undefined ? "+Inf" : String(BUCKETS_SECONDS[i])
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: { ...labels }, value: sumSeconds },
    { metricName: `${name}_count`, labels: { ...labels }, value: count },
  ]
}
