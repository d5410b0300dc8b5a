import { FnError, formatRef } from "@fn/core"
import type { FunctionRevision } from "@fn/registry"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"

/** `fn rollback`: back to the version that was active before. */
export function rollbackCommand(io: Io): Command {
  const command = new Command("rollback")
    .description("make the version active that was so before this one")
    .argument("<ref>", "name or namespace/name")
    .option("--json", "print JSON")
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    await using platform = await openPlatform(flags, io)
    const { record: now, revision } = await platform.registry.getFunction(ref)
    const before = previousVersion(await platform.registry.history(ref), now.activeVersion)
    if (before === undefined) {
      throw FnError.of("VERSION_NOT_FOUND", `${formatRef(ref)} has had no other version than ${now.activeVersion} in its last revisions`)
    }
    // Nobody else's deploy may get lost between the look and the change.
    const { record } = await platform.registry.setActiveVersion(ref, before, { revision })
    out.result(
      { ...record, from: now.activeVersion },
      (style) =>
        `${style.green("rolled back")} ${style.bold(`${formatRef(ref)}@${record.activeVersion}`)} ${style.dim(`(was ${now.activeVersion})`)}`,
    )
  })
}

/** The version active before the present one; `history` is newest first and ends at a deletion. */
function previousVersion(history: readonly FunctionRevision[], active: string): string | undefined {
  for (const { record, problem } of history) {
    if (record === undefined && problem === undefined) return undefined
    if (record !== undefined && record.activeVersion !== active) return record.activeVersion
  }
  return undefined
}
