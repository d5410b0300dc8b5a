import { Command } from "commander"
import type { Io } from "../../io.js"
import { dlqListCommand } from "./list.js"
import { dlqPurgeCommand } from "./purge.js"
import { dlqRedriveCommand } from "./redrive.js"
import { dlqShowCommand } from "./show.js"

/** `fn dlq`: invocations that were given up. */
export function dlqCommand(io: Io): Command {
  const command = new Command("dlq").description("look at dead letters, send them back to the queue, throw them away")
  for (const verb of [dlqListCommand, dlqShowCommand, dlqRedriveCommand, dlqPurgeCommand]) command.addCommand(verb(io))
  return command
}
