import { type FunctionRef, type FunctionStatus, formatRef } from "@fn/core"
import type { FunctionDefinition, FunctionEntry } from "@fn/registry"
import { Command } from "commander"
import { stringify } from "yaml"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, type Platform, refOf } from "../connection.js"
import { askHosts } from "../hosts.js"
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
    const hosts = await hostsOf(platform, ref)
    out.result({ ...entry.record, revision: entry.revision, definition, hosts }, (style) =>
      [describe(entry, definition, style), ...hostLines(hosts, style)].join("\n"),
    )
  })
}

/** A host as it stands to the function. */
type HostOfFunction = { readonly host: string } & Partial<FunctionStatus>

/** Every live host, and whether it serves the function or why not. */
async function hostsOf({ nc, options }: Platform, { namespace, name }: FunctionRef): Promise<HostOfFunction[]> {
  const key = formatRef({ namespace, name })
  const reports = await askHosts(nc, options, { function: key, usage: true })
  return reports.map(({ host, status }) => ({ host, ...status?.functions.find(({ function: candidate }) => candidate === key) }))
}

function hostLines(hosts: readonly HostOfFunction[], style: Style): string[] {
  if (hosts.length === 0) return [style.dim("no host is running")]
  return [
    "hosts:",
    ...hosts.map(({ host, served, error, circuit, instances = 0, running = 0, usage = [] }) => {
      if (served === undefined) return `  ${style.dim("–")} ${host}: it does not say`
      const refusal = served ? circuit?.error : (error ?? { reason: "NO_HOST", message: "it does not say why" })
      if (refusal !== undefined) return `  ${style.red("✗")} ${host}: ${style.red(refusal.reason)}: ${refusal.message}`
      const memory = usage.reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0)
      const count = instances === 1 ? "1 instance" : `${instances} instances`
      return `  ${style.green("✓")} ${host}: ${count}, ${running} running${memory > 0 ? `, ${formatBytes(memory)}` : ""}`
    }),
  ]
}

/** What it asks for, or who decides that. */
function isolationOf({ runtime, isolation }: FunctionDefinition): unknown {
  if (isolation !== undefined && !isEmptyObject(isolation)) return isolation
  return runtime === "builtin" ? undefined : "by the policy of its host (under strict a sandbox without network)"
}

/** The definition as YAML, in the words of fn.yaml; what says nothing is left out. */
function describe({ record, revision }: FunctionEntry, definition: FunctionDefinition, style: Style): string {
  const { artifact, schema: _, namespace, name, version, ...rest } = definition
  const active = version === record.activeVersion ? "active" : `active is ${record.activeVersion}`
  const shown = {
    ...rest,
    isolation: isolationOf(definition),
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
