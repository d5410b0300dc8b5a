/** Checks of a soak test: each passes or fails once, by a number that is printed. */
export class Tally {
  passed = 0
  failed = 0
  /** @type {Record<string, string | number>} */
  figures = {}
  /** @type {(line: string) => void} */
  #log

  /** @param {(line: string) => void} log */
  constructor(log) {
    this.#log = log
  }

  /** @param {string} name @param {string | number} value */
  figure(name, value) {
    this.figures[name] = value
  }

  /**
   * A figure that must be as `ok` says.
   * @param {string} name
   * @param {number} value
   * @param {(value: number) => boolean} [ok] default: it is zero
   */
  check(name, value, ok = (found) => found === 0) {
    this.figures[name] = value
    if (ok(value)) this.passed++
    else {
      this.failed++
      this.#log(`✗ ${name}: ${value}`)
    }
  }

  /** What `run` of a soak test gives. */
  outcome() {
    return { passed: this.passed, failed: this.failed, figures: this.figures }
  }
}

/** The value below which `share` of the values lie; 0 without any. @param {readonly number[]} values @param {number} share */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10
}

/** How often something is done at a scale: at least `least` times. @param {number} full @param {number} scale */
export function scaled(full, scale, least = 2) {
  return Math.max(least, Math.round(full * scale))
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return Math.round(bytes / 1024 / 1024)
}
