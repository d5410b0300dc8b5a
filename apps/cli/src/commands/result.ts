import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, namespaceOf, openClient } from "../connection.js"
import { showEvents } from "../events-output.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { parseCount } from "../parse.js"

/** `fn result`: what a stored invocation gave. */
export function resultCommand(io: Io): Command {
  const command = new Command("result")
    .description("wait for the result of an invocation made with fn invoke --async")
    .argument("<id>", "the id that fn invoke printed")
    .option("--timeout-ms <ms>", "how long to wait (default: 30000)", parseCount)
    .option("--json", 'print {"events": […]}')
  addNamespaceFlag(command, "namespace of its function")
  return addConnectionFlags(command).action(async (id: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using client = await openClient(flags, io)
    const wires = await client.resultWire(id, {
      namespace: namespaceOf(flags, io),
      timeoutMs: flags.timeoutMs as number | undefined,
      signal: io.signal,
    })
    showEvents(out, io, wires, id)
  })
}
