/** Makes `call` run `inFlight` times at once for `durationMs`. Resolves with calls per second and every latency in µs. */
export async function closedLoop(call, { inFlight, durationMs }) {
  const latencies = []
  const startedAt = performance.now()
  const end = startedAt + durationMs
  const worker = async () => {
    for (let at = performance.now(); at < end; ) {
      await call()
      const now = performance.now()
      latencies.push((now - at) * 1000)
      at = now
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return { perSecond: (latencies.length / (performance.now() - startedAt)) * 1000, calls: latencies.length, latencies }
}

/** The value below which the share `q` of `values` lies. */
export function quantile(values, q) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

export function median(values) {
  return quantile(values, 0.5)
}
