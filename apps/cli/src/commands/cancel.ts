import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, namespaceOf, openClient } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"

/** `fn cancel`: ends an invocation, running or waiting. */
export function cancelCommand(io: Io): Command {
  const command = new Command("cancel")
    .description("cancel an invocation, running or waiting, and say what became of it")
    .argument("<id>", "the id that fn invoke printed")
    .option("--json", 'print {"invocationId": …, "status": …}')
  addNamespaceFlag(command, "namespace of its function")
  return addConnectionFlags(command).action(async (id: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using client = await openClient(flags, io)
    const outcome = await client.cancel(id, { namespace: namespaceOf(flags, io) })
    if (outcome.status === "pending") out.note("the cancel is stored: the next host that meets the invocation, if there is one, drops it")
    else if (outcome.status !== "cancelled") out.note("it had ended before")
    out.result(outcome, () => outcome.status)
  })
}
