import type { InvocationStatus } from "@fn/client"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, namespaceOf, openClient } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import type { Style } from "../style.js"

/** `fn status`: where an invocation is. */
export function statusCommand(io: Io): Command {
  const command = new Command("status")
    .description("show whether an invocation waits, runs, or how it ended")
    .argument("<id>", "the id that fn invoke printed")
    .option("--function <name>", "name of its function: finds one that waits among very many")
    .option("--json", "print JSON")
  addNamespaceFlag(command, "namespace of its function")
  return addConnectionFlags(command).action(async (id: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using client = await openClient(flags, io)
    const status = await client.status(id, {
      namespace: namespaceOf(flags, io),
      function: flags.function as string | undefined,
      signal: io.signal,
    })
    const { error, ...rest } = status
    out.result(error === undefined ? rest : { ...rest, error: error.toData() }, (style) => pretty(status, style))
  })
}

function pretty(status: InvocationStatus, style: Style): string {
  const { invocationId, version, attempt, host, queuedAt, error } = status
  const lines = [`${style.bold(status.status)} ${style.dim(invocationId)}`]
  const more = { version, attempt: attempt === undefined ? undefined : String(attempt), host, "queued at": queuedAt }
  for (const [name, value] of Object.entries(more)) if (value !== undefined) lines.push(`${style.dim(`${name}:`)} ${value}`)
  if (error) lines.push(`${style.dim("error:")} ${error.message} ${style.dim(`(${error.reason})`)}`)
  return lines.join("\n")
}
