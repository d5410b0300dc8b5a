import { type ExecutionRecord, FINAL_STATUSES, type FinalStatus } from "@fn/queue"
import { Command, Option } from "commander"
import { addConnectionFlags, type Flags, functionFilter, openClient } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { DEFAULT_LIMIT, fillPage, noteMore } from "../paging.js"
import { parseCount } from "../parse.js"
import { fit, formatMoment, formatMs, formatTable, shortRef } from "../style.js"

/** `fn executions`: what ran, newest first. */
export function executionsCommand(io: Io): Command {
  const command = new Command("executions")
    .description("show executions that ended, the newest first")
    .argument("[function]", "only those of one function: name or namespace/name")
    .addOption(new Option("--status <status>", "only those that ended so").choices(FINAL_STATUSES))
    .option("--limit <n>", `how many, at most 1000 (default: ${DEFAULT_LIMIT})`, parseCount)
    .option("--start-after <position>", "go on where an earlier page ended")
    .option("--json", 'print {"executions": […], "hasMore": …, "startAfter": …}')
    .option("--namespace <name>", "only those of one namespace; of a bare name, its namespace; FN_NAMESPACE")
  return addConnectionFlags(command).action(async (text: string | undefined, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const filter = functionFilter(text, flags, io)
    const { status } = flags as { status?: FinalStatus }
    await using client = await openClient(flags, io)
    const { items, ...rest } = await fillPage(
      flags,
      (page) => client.executions.list({ ...filter, ...page, status, signal: io.signal }),
      ({ executions }) => executions,
    )
    out.result({ executions: items, ...rest }, (style) => (items.length === 0 ? style.dim("no such executions are kept") : table(items)))
    noteMore(out, rest.startAfter)
  })
}

function table(executions: readonly ExecutionRecord[]): string {
  const rows = executions.map(({ id, namespace, name, version, status, attempt, durationMs, error, endedAt }) => [
    formatMoment(endedAt),
    fit(status === "failed" ? (error?.reason ?? status) : status, 20),
    String(attempt),
    formatMs(durationMs),
    fit(shortRef({ namespace, name, ...(version === undefined ? {} : { version }) }), 26),
    id,
  ])
  return formatTable([["ENDED (UTC)", "STATUS", "TRY", "TOOK", "FUNCTION", "ID"], ...rows])
}
