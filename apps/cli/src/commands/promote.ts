import { FnError, formatRef } from "@fn/core"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"

/** `fn promote`: makes a deployed version the active one, or lets an alias name it. */
export function promoteCommand(io: Io): Command {
  const command = new Command("promote")
    .description("make a deployed version the active one")
    .argument("<ref>", "name@version or namespace/name@version")
    .option("--alias <name>", "move this alias instead of the active version")
    .option("--json", "print JSON")
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const { version, ...ref } = refOf(text, flags, io)
    if (version === undefined)
      throw FnError.of("INVALID_REQUEST", `say which version: fn promote ${text}@1.2.0 (fn versions ${text} shows them)`)
    await using platform = await openPlatform(flags, io)
    const alias = flags.alias as string | undefined
    const { record, revision } =
      alias === undefined ? await platform.registry.setActiveVersion(ref, version) : await platform.registry.setAlias(ref, alias, version)
    out.result({ ...record, revision }, (style) => {
      const named = alias === undefined ? record.activeVersion : `${record.aliases[alias]} as ${alias}`
      return `${style.green("promoted")} ${style.bold(`${formatRef(ref)}@${named}`)}`
    })
  })
}
