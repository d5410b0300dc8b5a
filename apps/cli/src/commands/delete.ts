import { formatRef } from "@fn/core"
import { Command } from "commander"
import { confirm } from "../confirm.js"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"

/** `fn delete`: a function with all its versions, or one version. Asks on a terminal, wants `--yes` elsewhere. */
export function deleteCommand(io: Io): Command {
  const command = new Command("delete")
    .alias("rm")
    .description("delete a function, or one version of it")
    .argument("<ref>", "name or namespace/name; with @version only that version")
    .option("-y, --yes", "do not ask")
    .option("--json", "print JSON")
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    await using platform = await openPlatform(flags, io)
    const { revision } = await platform.registry.getFunction(ref)
    if (flags.yes !== true)
      await confirm(io, "delete", ref.version === undefined ? `${formatRef(ref)} and all its versions` : formatRef(ref))
    if (ref.version === undefined) await platform.registry.deleteFunction(ref, { revision })
    else await platform.registry.deleteVersion(ref)
    out.result({ deleted: formatRef(ref), ...ref }, (style) => `${style.green("deleted")} ${style.bold(formatRef(ref))}`)
  })
}
