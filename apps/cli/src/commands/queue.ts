import type { FunctionQueueStats, QueueStats } from "@fn/queue"
import { Command } from "commander"
import { addConnectionFlags, type Flags, functionFilter, openClient } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { fit, formatAge, formatBytes, formatTable, type Style, shortRef } from "../style.js"

/** `fn queue`: what waits, by function. */
export function queueCommand(io: Io): Command {
  const command = new Command("queue")
    .description("show what waits in the queue, by function")
    .argument("[function]", "only one function: name or namespace/name")
    .option("--json", "print JSON")
    .option("--namespace <name>", "only one namespace; of a bare name, its namespace; FN_NAMESPACE")
  return addConnectionFlags(command).action(async (text: string | undefined, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const filter = functionFilter(text, flags, io)
    await using client = await openClient(flags, io)
    const stats = await client.queue.stats({ ...filter, signal: io.signal })
    out.result(stats, (style) => describe(stats, style))
  })
}

function describe({ functions, messages, bytes, maxBytes }: QueueStats, style: Style): string {
  const total = style.dim(`${messages} in the queue, ${formatBytes(bytes)} of ${formatBytes(maxBytes)}`)
  if (functions.length === 0) return `${style.dim("nothing waits here")}\n${total}`
  const rows = functions.map((stats) => [
    fit(nameOf(stats), 44),
    String(stats.depth),
    String(stats.pending),
    String(stats.delivered),
    String(stats.redelivered),
    stats.oldestAgeMs === undefined ? "" : formatAge(stats.oldestAgeMs),
  ])
  return `${formatTable([["FUNCTION", "DEPTH", "PENDING", "DELIVERED", "REDELIVERED", "OLDEST"], ...rows])}\n${total}`
}

function nameOf({ namespace, name }: FunctionQueueStats): string {
  return name === "=callback" ? `callbacks of ${namespace}` : shortRef({ namespace, name })
}
