/** The command line: one verb per file under commands/, all errors end here. */
import { FnError } from "@fn/core"
import { Command, CommanderError } from "commander"
import { cancelCommand } from "./commands/cancel.js"
import { deleteCommand } from "./commands/delete.js"
import { deployCommand } from "./commands/deploy.js"
import { devCommand } from "./commands/dev.js"
import { dlqCommand } from "./commands/dlq/dlq.js"
import { doctorCommand } from "./commands/doctor.js"
import { executionsCommand } from "./commands/executions.js"
import { getCommand } from "./commands/get.js"
import { initCommand } from "./commands/init.js"
import { invokeCommand } from "./commands/invoke.js"
import { listCommand } from "./commands/list.js"
import { promoteCommand } from "./commands/promote.js"
import { queueCommand } from "./commands/queue.js"
import { resultCommand } from "./commands/result.js"
import { rollbackCommand } from "./commands/rollback.js"
import { setupCommand } from "./commands/setup.js"
import { statusCommand } from "./commands/status.js"
import { versionsCommand } from "./commands/versions.js"
import { shieldDashedId } from "./dashed-id.js"
import { Exit } from "./exit.js"
import { ExitCode, exitCodeOf } from "./exit-code.js"
import type { Io } from "./io.js"
import { Output } from "./output.js"
import { VERSION } from "./version.js"

const VERBS = [
  initCommand,
  devCommand,
  deployCommand,
  invokeCommand,
  resultCommand,
  statusCommand,
  cancelCommand,
  executionsCommand,
  queueCommand,
  dlqCommand,
  listCommand,
  getCommand,
  versionsCommand,
  promoteCommand,
  rollbackCommand,
  deleteCommand,
  setupCommand,
  doctorCommand,
]

const EXIT_CODES = `
Exit codes:
  0 ok · 1 the function failed · 2 wrong usage · 3 not found · 4 platform unavailable · 5 timed out`

/** Runs one command line (without node and script). Resolves with the exit code; never rejects. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const program = createProgram(io)
  try {
    await program.parseAsync([...shieldDashedId(argv)], { from: "user" })
    return ExitCode.ok
  } catch (thrown) {
    if (thrown instanceof CommanderError) return usage(thrown, argv, io)
    if (thrown instanceof Exit) return thrown.code
    const error = FnError.from(thrown)
    new Output(io, { json: wantsJson(argv) }).failed(error)
    return exitCodeOf(error)
  }
}

function createProgram(io: Io): Command {
  const program = new Command("fn")
    .description("Serverless functions on NATS: write one, run it here, deploy it anywhere.")
    .version(VERSION)
    .addHelpText("after", EXIT_CODES)
    .showHelpAfterError("(fn help <command> says more)")
    .configureHelp({ sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride()
  for (const verb of VERBS) addVerb(program, verb(io))
  return program
}

/** With the parent's way of ending and printing, also for verbs below it. */
function addVerb(parent: Command, verb: Command): void {
  verb.copyInheritedSettings(parent)
  for (const below of verb.commands) below.copyInheritedSettings(parent)
  parent.addCommand(verb)
}

/** commander has told a person already, on stderr. */
function usage(error: CommanderError, argv: readonly string[], io: Io): number {
  if (error.exitCode === 0) return ExitCode.ok
  if (wantsJson(argv) && argv[0] !== "dev")
    new Output(io, { json: true }).failed(FnError.of("INVALID_REQUEST", error.message.replace(/^error: /, "")))
  return ExitCode.usage
}

/** What was asked for, also where parsing the rest failed. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--")
  return (end < 0 ? argv : argv.slice(0, end)).includes("--json")
}
