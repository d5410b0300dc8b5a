import { formatRef } from "@fn/core"
import type { FunctionDefinition, FunctionEntry } from "@fn/registry"
import { Command } from "commander"
import { stringify } from "yaml"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { formatBytes, type Style } from "../style.js"

/** `fn get`: one function, with the definition of its active version or of the one named. */
export function getCommand(io: Io): Command {
  const command = new Command("get")
    .description("show a function and what is deployed of it")
    .argument("<ref>", "name, namespace/name, each with @version or @alias")
    .option("--json", "print JSON")
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    await using platform = await openPlatform(flags, io)
    const entry = await platform.registry.getFunction(ref)
    const definition = await platform.registry.getDefinition(ref)
    out.result({ ...entry.record, revision: entry.revision, definition }, (style) => describe(entry, definition, style))
  })
}

/** The definition as YAML, in the words of fn.yaml; what says nothing is left out. */
function describe({ record, revision }: FunctionEntry, definition: FunctionDefinition, style: Style): string {
  const { artifact, schema: _, namespace, name, version, ...rest } = definition
  const active = version === record.activeVersion ? "active" : `active is ${record.activeVersion}`
  const shown = {
    ...rest,
    ...(artifact ? { artifact: `${artifact.fileName}, ${formatBytes(artifact.sizeBytes)}, ${artifact.digest}` } : {}),
    ...(Object.keys(record.aliases).length > 0 ? { aliases: record.aliases } : {}),
    revision,
  }
  const said = Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined && !isEmptyObject(value)))
  return `${style.bold(formatRef({ namespace, name, version }))} ${style.dim(`(${active})`)}\n${stringify(said).trimEnd()}`
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0
}
