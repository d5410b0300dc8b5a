/** Rows that compare two loads of the same rounds. */
import { keyOf, ratioOf, summaryOf } from "./rounds.mjs"
import { figureOf } from "./row.mjs"
import { median } from "./statistics.mjs"

/** What of a load is compared, and the unit in which people read it. */
const METRICS = {
  throughput: { of: ({ perSecond }) => perSecond, unit: "calls/s" },
  p50: { of: ({ p50us }) => p50us, unit: "µs" },
  /** Of whoever answers: the runtime-services, or the reference's responder. */
  answererCpu: { of: ({ cpuUsPerCall }) => cpuUsPerCall.runtime ?? cpuUsPerCall.responder, unit: "µs CPU" },
}

/** The loads a row needs: its own, and that of its reference. */
export function loadsOf({ load }) {
  const { target, against, inFlight = 64, sizeBytes = 256, runtimes = 1 } = load
  return [
    { target, inFlight, sizeBytes, runtimes },
    { target: against, inFlight, sizeBytes, runtimes: 1 },
  ]
}

/** What a row has come to. */
export function loadOutcome(promise, measured) {
  const [own, reference] = loadsOf(promise).map((load) => measured.get(keyOf(load)))
  const error = own.error ?? reference.error
  if (error) return { failed: error.message }
  const { of, unit } = METRICS[promise.load.metric]
  const ratios = own.samples.map((sample, round) => of(sample) / of(reference.samples[round]))
  const { inFlight, sizeBytes } = own.load
  return {
    ...ratioOf(ratios),
    ...summaryOf(own.samples),
    figure: figureOf(median(own.samples.map(of)), unit),
    referenceFigure: figureOf(median(reference.samples.map(of)), unit),
    inFlight,
    sizeBytes,
    rounds: own.samples.length,
  }
}

/** What a load that is there to be compared with has come to, as a row of its own. */
export function referenceOutcome({ load, samples, error }) {
  if (error) return { failed: error.message }
  const { of, unit } = METRICS.throughput
  const figure = figureOf(median(samples.map(of)), unit)
  return { ...summaryOf(samples), figure, inFlight: load.inFlight, sizeBytes: load.sizeBytes, rounds: samples.length }
}
