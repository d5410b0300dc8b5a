import { FnError } from "@fn/core"

/** A length of time in a policy: a number of ms, or text such as `"250ms"`, `"30s"`, `"1.5m"`, `"2h"`, `"1d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`

const FORM = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `duration` in whole ms; `what` names it in the error. @throws {FnError} invalid_argument INVALID_DEFINITION */
export function parseDuration(duration: Duration, what: string): number {
  const ms = typeof duration === "number" ? duration : parseText(duration)
  if (ms === undefined || !Number.isFinite(ms) || ms < 0) {
    throw FnError.of("INVALID_DEFINITION", `${what}: ${JSON.stringify(duration)} is no duration: use ms as a number, or text such as "30s"`)
  }
  return Math.round(ms)
}

function parseText(text: string): number | undefined {
  const [, amount, unit] = FORM.exec(text) ?? []
  return unit === undefined ? undefined : Number(amount) * (UNIT_MS[unit] as number)
}
