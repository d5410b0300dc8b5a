/** Rows: what a scenario promises of one beforehand, and what it has come to. */

/** A goal that is met by this much or more. */
export function atLeast(value) {
  return { text: `≥ ${value}`, isMet: (ratio) => ratio >= value, value, atMost: false }
}

/** A goal that is met by this much or less. */
export function atMost(value) {
  return { text: `≤ ${value}`, isMet: (ratio) => ratio <= value, value, atMost: true }
}

/**
 * A row as `--json` has it. `promise` is `{ name, goal?, reference, policy, durability, unit? }`; `outcome` has of the rest what was measured.
 * What was not is null, so that each row has every field.
 */
export function rowOf(promise, outcome) {
  const { name, goal, reference, policy, durability } = promise
  const { ratio = null, skipped = null, failed = null } = outcome
  return {
    name,
    ratio,
    range: outcome.range ?? null,
    goal: goal?.text ?? null,
    met: goal && ratio !== null ? goal.isMet(ratio) : null,
    reference,
    figure: outcome.figure ?? null,
    referenceFigure: outcome.referenceFigure ?? null,
    throughput: outcome.throughput ?? null,
    p50us: outcome.p50us ?? null,
    p99us: outcome.p99us ?? null,
    cpuUsPerCall: outcome.cpuUsPerCall ?? {},
    rssMb: outcome.rssMb ?? {},
    inFlight: outcome.inFlight ?? null,
    sizeBytes: outcome.sizeBytes ?? null,
    rounds: outcome.rounds ?? null,
    policy,
    durability,
    ...(outcome.curve ? { curve: outcome.curve } : {}),
    ...(outcome.note ? { note: outcome.note } : {}),
    skipped,
    failed,
  }
}

/** A figure with its unit, for people. */
export function figureOf(value, unit) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return { value: Number(value.toFixed(digits)), unit }
}
