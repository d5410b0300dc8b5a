/** The value in the middle; of an even number the upper one. */
export function median(values) {
  return quantile(values, 0.5)
}

/** The value below which the share `q` of `values` lies. */
export function quantile(values, q) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** Least and greatest. */
export function rangeOf(values) {
  return [Math.min(...values), Math.max(...values)]
}
