import { relative, resolve } from "node:path"
import { FnError, formatRef } from "@fn/core"
import type { DeployResult } from "@fn/registry"
import { Command } from "commander"
import type { BuiltFunction } from "../builder/build-function.js"
import { addConnectionFlags, addNamespaceFlag, type Flags, namespaceOf, openPlatform, type Platform } from "../connection.js"
import { buildFolder, deployBuilt } from "../deploy-folder.js"
import { Exit } from "../exit.js"
import { type ExitCode, exitCodeOf } from "../exit-code.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { createProgress } from "../progress.js"
import { errorReport, formatError } from "../report.js"

/** `fn deploy`: ends in accepted or rejected, never in between. With `--json` one line per folder. */
export function deployCommand(io: Io): Command {
  const command = new Command("deploy")
    .description("build functions and make them live")
    .argument("<dir...>", "folders with a fn.yaml")
    .option("--json", "print one JSON line per folder")
  addNamespaceFlag(command, "where functions go whose fn.yaml does not say")
  return addConnectionFlags(command).action(async (dirs: string[], flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using platform = await openPlatform(flags, io)
    let failure: ExitCode | undefined
    for (const dir of dirs) {
      io.signal.throwIfAborted()
      const error = await deployOne(resolve(io.cwd, dir), platform, { io, out, namespace: namespaceOf(flags, io) })
      if (error) failure ??= exitCodeOf(error)
    }
    if (failure !== undefined) throw new Exit(failure)
  })
}

interface DeployContext {
  readonly io: Io
  readonly out: Output
  readonly namespace: string
}

async function deployOne(dir: string, { registry }: Platform, { io, out, namespace }: DeployContext): Promise<FnError | undefined> {
  const shown = relative(io.cwd, dir) || "."
  const progress = createProgress(io, { quiet: out.json })
  try {
    const built = await buildFolder(dir, io, progress)
    const manifest = { ...built.manifest, namespace: built.manifest.namespace ?? namespace }
    const result = await deployBuilt(registry, built, { manifest, io, progress })
    progress.done()
    accepted(out, shown, built, result)
    return undefined
  } catch (thrown) {
    progress.done()
    const error = FnError.from(thrown)
    if (out.json) out.line(JSON.stringify({ status: "rejected", dir: shown, error: errorReport(error) }))
    else out.note(`${out.noteStyle.red("rejected")} ${shown}\n${formatError(error, out.noteStyle)}`)
    return error
  }
}

function accepted(out: Output, dir: string, built: BuiltFunction, result: DeployResult): void {
  const { ref, digest, unchanged, hosts, revision } = result
  const warnings = [...built.warnings, ...result.warnings, ...refusals(hosts)]
  out.result({ status: "accepted", dir, ...ref, ref: formatRef(ref), revision, digest, unchanged, warnings, hosts }, (style) => {
    const served = hosts.filter((host) => host.served).length
    const where =
      hosts.length === 0 ? "no host is running" : `served by ${served} of ${hosts.length} ${hosts.length === 1 ? "host" : "hosts"}`
    return `${style.green("accepted")} ${style.bold(formatRef(ref))} ${style.dim(`(${unchanged ? "unchanged, " : ""}${where})`)}`
  })
  if (!out.json) for (const warning of warnings) out.warn(warning)
}

/** Hosts that refuse it while others serve it: a call may still reach every one of the others. */
function refusals(hosts: DeployResult["hosts"]): string[] {
  if (!hosts.some(({ served }) => served)) return [] // the registry has said so
  return hosts.flatMap(({ host, served, error }) =>
    served || error === undefined ? [] : [`host ${host} does not serve it: ${error.reason}: ${error.message}`],
  )
}
