import type { FunctionDefinition, FunctionRecord } from "@fn/registry"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { formatBytes, formatTable } from "../style.js"

/** `fn versions`: every deployed version of a function, newest first. */
export function versionsCommand(io: Io): Command {
  const command = new Command("versions")
    .description("show the deployed versions of a function")
    .argument("<ref>", "name or namespace/name")
    .option("--json", "print a JSON array")
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    await using platform = await openPlatform(flags, io)
    const { record } = await platform.registry.getFunction(ref)
    const versions: FunctionDefinition[] = []
    for await (const definition of platform.registry.listVersions(ref)) versions.push(definition)
    out.result(
      versions.map((definition) => ({
        ...definition,
        active: definition.version === record.activeVersion,
        aliases: aliasesOf(record, definition.version),
      })),
      () => table(record, versions),
    )
  })
}

function table(record: FunctionRecord, versions: readonly FunctionDefinition[]): string {
  const rows = versions.map(({ version, runtime, artifact, deployedAt, deployedBy }) => [
    version === record.activeVersion ? "●" : "",
    version,
    aliasesOf(record, version).join(","),
    runtime,
    artifact ? formatBytes(artifact.sizeBytes) : "",
    deployedAt.slice(0, 19).replace("T", " "),
    deployedBy,
  ])
  return formatTable([["", "VERSION", "ALIASES", "RUNTIME", "SIZE", "DEPLOYED (UTC)", "BY"], ...rows])
}

function aliasesOf(record: FunctionRecord, version: string): string[] {
  return Object.keys(record.aliases).filter((alias) => record.aliases[alias] === version)
}
