/** Which dead letters a person means: numbers, or a function and filters, or all. */
import { FnError } from "@fn/core"
import type { DeadLetterSelection, DeadLetterWorkOptions } from "@fn/queue"
import type { Command } from "commander"
import { type Flags, functionFilter } from "../../connection.js"
import type { Io } from "../../io.js"
import { parseCount, parseDuration } from "../../parse.js"
import { createProgress } from "../../progress.js"
import { shortRef } from "../../style.js"

/** Declares the flags that narrow dead letters down. */
export function addFilterFlags(command: Command): void {
  command
    .option("--reason <reason>", "only those that were given up for this: FUNCTION_THREW, EXPIRED …")
    .option("--older-than <time>", "only those that were given up longer ago: 90s, 24h, 7d", parseDuration)
    .option("--namespace <name>", "only those of one namespace; of a bare name, its namespace; FN_NAMESPACE")
}

/** Declares how dead letters are selected. */
export function addSelection(command: Command): void {
  command
    .argument("[number-or-function...]", "numbers in fn dlq list, or one function: name or namespace/name")
    .option("--all", "every dead letter there is")
    .option("-y, --yes", "do not ask")
  addFilterFlags(command)
}

/** What `--reason` and `--older-than` say. */
export function reasonAndAge(flags: Flags): { reason?: string; before?: number } {
  const { reason, olderThan } = flags as { reason?: string; olderThan?: number }
  return { ...(reason === undefined ? {} : { reason }), ...(olderThan === undefined ? {} : { before: Date.now() - olderThan }) }
}

/** What a person selected: letters by number, or one filter. @throws {FnError} invalid_argument INVALID_REQUEST, INVALID_NAME */
export function selectionsOf(texts: readonly string[], flags: Flags, io: Pick<Io, "env">): DeadLetterSelection[] {
  const numbers = texts.filter((text) => /^[0-9]+$/.test(text))
  const narrowed = reasonAndAge(flags)
  const hasFlags = flags.all === true || flags.namespace !== undefined || Object.keys(narrowed).length > 0
  if (numbers.length > 0 ? numbers.length < texts.length || hasFlags : texts.length > 1)
    throw FnError.of("INVALID_REQUEST", "give numbers, or one function and filters, not both")
  if (numbers.length > 0) return numbers.map((text) => ({ seq: parseCount(text) }))
  const selection = { ...functionFilter(texts[0], flags, io), ...narrowed }
  const isEmpty = Object.keys(selection).length === 0
  if (isEmpty !== (flags.all === true))
    throw FnError.of("INVALID_REQUEST", "say which dead letters: numbers, a function, --namespace, --reason, --older-than, or only --all")
  return [isEmpty ? { all: true } : selection]
}

/** The selection in words, for the question whether it is meant. */
export function whatIs(selections: readonly DeadLetterSelection[], flags: Flags): string {
  const [first = {}] = selections
  if ("seq" in first) return selections.length === 1 ? `dead letter ${first.seq}` : `${selections.length} dead letters`
  const { namespace = "", name, reason, all } = first
  if (all) return "every dead letter there is"
  const of = name === undefined ? (namespace === "" ? "" : ` of namespace ${namespace}`) : ` of ${shortRef({ namespace, name })}`
  const why = reason === undefined ? "" : ` given up for ${reason}`
  const age = flags.olderThan === undefined ? "" : ` before ${new Date(first.before ?? 0).toISOString().slice(0, 19)}Z`
  return `the dead letters${of}${why}${age}`
}

/** Works on one selection after the other, and shows how far it has come. */
export async function inTurn(
  io: Pick<Io, "stderr" | "env" | "signal">,
  selections: readonly DeadLetterSelection[],
  work: (selection: DeadLetterSelection, options: DeadLetterWorkOptions) => Promise<void>,
): Promise<void> {
  const progress = createProgress(io, { quiet: true })
  const onProgress: DeadLetterWorkOptions["onProgress"] = ({ looked, total }) => {
    progress.step("dead letters")
    progress.fraction(looked / Math.max(1, total))
  }
  try {
    for (const selection of selections) await work(selection, { signal: io.signal, onProgress })
  } finally {
    progress.done()
  }
}
