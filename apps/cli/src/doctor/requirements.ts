/** What `--require` names, held against what was found. */
import { FnError } from "@fn/core"
import type { DoctorReport, Lack, Requirement } from "./report.js"

type Found = Pick<DoctorReport, "isolation" | "languages" | "nats">

/** @throws {FnError} invalid_argument INVALID_REQUEST for a name there is not */
export function requirementsOf(names: readonly string[], found: Found): Requirement[] {
  const checks = checksOf(found)
  const unknown = names.filter((name) => !checks.has(name))
  if (unknown.length > 0)
    throw FnError.of("INVALID_REQUEST", `--require ${unknown.join(",")}: it knows ${[...checks.keys()].join(", ")}`, {
      details: { unknown },
    })
  return [...new Set(names)].map((name) => {
    const why = checks.get(name)?.()
    return why === undefined ? { name, met: true } : { name, met: false, why }
  })
}

/** By name, why it is not met. */
function checksOf({ isolation, languages, nats }: Found): Map<string, () => string | undefined> {
  return new Map<string, () => string | undefined>([
    ["sandbox", () => textOf(isolation.lacks.sandbox)],
    ["process", () => textOf(isolation.lacks.process)],
    ["nats", () => (nats?.problem ? `${nats.problem.message} (${nats.problem.reason})` : undefined)],
    ...languages.map(({ language, found, lacks, forHosts }) => {
      const why =
        textOf(lacks) ?? (forHosts !== undefined && Object.keys(found).length === 0 ? `it is not on PATH (${forHosts})` : undefined)
      return [language, () => why] as const
    }),
  ])
}

function textOf(lacks: readonly Lack[]): string | undefined {
  return lacks.length === 0 ? undefined : lacks.map(({ what, remedy }) => `${what} (${remedy})`).join("; ")
}
