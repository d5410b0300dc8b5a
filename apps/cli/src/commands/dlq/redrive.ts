import type { Redriven } from "@fn/queue"
import { Command } from "commander"
import { confirm } from "../../confirm.js"
import { addConnectionFlags, type Flags, openClient } from "../../connection.js"
import type { Io } from "../../io.js"
import { Output } from "../../output.js"
import { fit, formatTable, shortRef } from "../../style.js"
import { addSelection, inTurn, selectionsOf, whatIs } from "./selection.js"

/** `fn dlq redrive`: back to the queue. Letters named by their numbers are meant; of a filter it asks. */
export function dlqRedriveCommand(io: Io): Command {
  const command = new Command("redrive")
    .description("send dead letters back to the queue, as new invocations of the version that is active")
    .option("--keep-version", "run the version that was asked for then")
    .option("--json", 'print {"redriven": [{"seq": …, "invocationId": …}, …]}')
  addSelection(command)
  return addConnectionFlags(command).action(async (texts: string[], flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const selections = selectionsOf(texts, flags, io)
    if (flags.yes !== true && !selections.some((selection) => "seq" in selection)) await confirm(io, "redrive", whatIs(selections, flags))
    await using client = await openClient(flags, io)
    const redriven: Redriven[] = []
    const keepVersion = flags.keepVersion === true
    await inTurn(io, selections, async (selection, options) => {
      redriven.push(...(await client.deadLetters.redrive(selection, { ...options, keepVersion })))
    })
    out.result({ redriven }, (style) => (redriven.length === 0 ? style.dim("no dead letters to redrive") : table(redriven)))
  })
}

function table(redriven: readonly Redriven[]): string {
  const rows = redriven.map(({ seq, namespace, name, invocationId }) => [String(seq), fit(shortRef({ namespace, name }), 60), invocationId])
  return formatTable([["NUMBER", "FUNCTION", "NEW ID"], ...rows])
}
