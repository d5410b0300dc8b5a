import { Command } from "commander"
import { confirm } from "../../confirm.js"
import { addConnectionFlags, type Flags, openClient } from "../../connection.js"
import type { Io } from "../../io.js"
import { Output } from "../../output.js"
import { addSelection, inTurn, selectionsOf, whatIs } from "./selection.js"

/** `fn dlq purge`: thrown away. Asks on a terminal, wants `--yes` elsewhere. */
export function dlqPurgeCommand(io: Io): Command {
  const command = new Command("purge").description("throw dead letters away").option("--json", 'print {"purged": <how many>}')
  addSelection(command)
  return addConnectionFlags(command).action(async (texts: string[], flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const selections = selectionsOf(texts, flags, io)
    if (flags.yes !== true) await confirm(io, "purge", whatIs(selections, flags))
    await using client = await openClient(flags, io)
    let purged = 0
    await inTurn(io, selections, async (selection, options) => {
      purged += await client.deadLetters.purge(selection, options)
    })
    out.result({ purged }, (style) => `${style.green("purged")} ${purged === 1 ? "1 dead letter" : `${purged} dead letters`}`)
  })
}
