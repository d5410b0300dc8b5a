import type { RuntimeKind } from "@fn/core"
import type { FunctionEntry } from "@fn/registry"
import { Command } from "commander"
import { addConnectionFlags, type Flags, openPlatform } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { formatTable } from "../style.js"

/** `fn list`: the deployed functions. */
export function listCommand(io: Io): Command {
  const command = new Command("list")
    .alias("ls")
    .description("show the deployed functions")
    .option("--namespace <name>", "only those of one namespace")
    .option("--language <name>", "only those written in one language")
    .option("--runtime <kind>", "only those of one runtime kind")
    .option("--json", "print a JSON array")
  return addConnectionFlags(command).action(async (flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using platform = await openPlatform(flags, io)
    const { namespace, language, runtime } = flags as { namespace?: string; language?: string; runtime?: RuntimeKind }
    const entries: FunctionEntry[] = []
    for await (const entry of platform.registry.listFunctions({ namespace, language, runtime })) entries.push(entry)
    out.result(
      entries.map(({ record, revision }) => ({ ...record, revision })),
      (style) =>
        entries.length === 0 ? style.dim("no functions are deployed here: fn init makes one, fn deploy sends it") : table(entries),
    )
  })
}

function table(entries: readonly FunctionEntry[]): string {
  const rows = entries.map(({ record }) => [
    record.namespace,
    record.name,
    record.activeVersion,
    record.runtime,
    record.language,
    record.deployedAt.slice(0, 19).replace("T", " "),
    record.deployedBy,
  ])
  return formatTable([["NAMESPACE", "NAME", "VERSION", "RUNTIME", "LANGUAGE", "DEPLOYED (UTC)", "BY"], ...rows])
}
