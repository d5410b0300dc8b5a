import { createHistogram } from "node:perf_hooks"

/** Longest latency that is told apart, ns: ten minutes. */
const HIGHEST_NS = 600_000_000_000

/** Latencies of calls in an HDR histogram (Node's own, three significant figures), so that a million of them cost no memory and no sort. */
export function createLatencies() {
  const histogram = createHistogram({ lowest: 1, highest: HIGHEST_NS, figures: 3 })
  const at = (percentile) => histogram.percentile(percentile) / 1000
  return {
    recordMs: (ms) => histogram.record(Math.min(HIGHEST_NS, Math.max(1, Math.round(ms * 1e6)))),
    /** Percentiles in µs. */
    summary: () => ({ p50us: at(50), p95us: at(95), p99us: at(99), maxUs: histogram.max / 1000 }),
  }
}
