import type { DeadLetter } from "@fn/queue"
import { Command } from "commander"
import { addConnectionFlags, type Flags, functionFilter, openClient } from "../../connection.js"
import type { Io } from "../../io.js"
import { Output } from "../../output.js"
import { DEFAULT_LIMIT, fillPage, noteMore } from "../../paging.js"
import { parseCount } from "../../parse.js"
import { fit, formatMoment, formatTable, shortRef } from "../../style.js"
import { addFilterFlags, reasonAndAge } from "./selection.js"

/** `fn dlq list`: dead letters, newest first. */
export function dlqListCommand(io: Io): Command {
  const command = new Command("list")
    .alias("ls")
    .description("show dead letters, the newest first")
    .argument("[function]", "only those of one function: name or namespace/name")
    .option("--limit <n>", `how many, at most 1000 (default: ${DEFAULT_LIMIT})`, parseCount)
    .option("--start-after <position>", "go on where an earlier page ended")
    .option("--json", 'print {"deadLetters": […], "hasMore": …, "startAfter": …}')
  addFilterFlags(command)
  return addConnectionFlags(command).action(async (text: string | undefined, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const filter = { ...functionFilter(text, flags, io), ...reasonAndAge(flags) }
    await using client = await openClient(flags, io)
    const { items, ...rest } = await fillPage(
      flags,
      (page) => client.deadLetters.list({ ...filter, ...page, signal: io.signal }),
      ({ deadLetters }) => deadLetters,
    )
    out.result({ deadLetters: items, ...rest }, (style) => (items.length === 0 ? style.dim("no dead letters here") : table(items)))
    noteMore(out, rest.startAfter)
  })
}

function table(letters: readonly DeadLetter[]): string {
  const rows = letters.map(({ seq, namespace, name, kind, reason, attempts, error, diedAt }) => [
    String(seq),
    formatMoment(diedAt),
    fit(`${kind === "callback" ? "callback of " : ""}${shortRef({ namespace, name })}`, 24),
    fit(reason, 20),
    String(attempts),
    error,
  ])
  return formatTable([["NUMBER", "GIVEN UP (UTC)", "FUNCTION", "REASON", "TRY", "ERROR"], ...rows], { maxWidth: 100 })
}
