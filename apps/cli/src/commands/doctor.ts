import { release, userInfo } from "node:os"
import { natsOptionsFromFlags } from "@fn/nats"
import type { Guarantee } from "@fn/runtime"
import { Command } from "commander"
import { addConnectionFlags, type Flags } from "../connection.js"
import type { DoctorReport } from "../doctor/report.js"
import { Exit } from "../exit.js"
import { ExitCode } from "../exit-code.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { VERSION } from "../version.js"

/** `fn doctor`: what this machine can do for functions, what it cannot and what to do about it. Fails for nothing but what `--require` names. */
export function doctorCommand(io: Io): Command {
  const command = new Command("doctor")
    .description("show what this machine can enforce and build, and what to install")
    .option("--require <names>", "fail unless these are here: sandbox, process, nats, or languages, separated by commas", listOf)
    .option("--isolation-accept-soft <guarantees>", "as the host's option: FN_ISOLATION_ACCEPT_SOFT", listOf)
    .option("--isolation-bubblewrap <path>", "as the host's option: FN_ISOLATION_BUBBLEWRAP")
    .option("--json", "print JSON")
  return addConnectionFlags(command).action(async (flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const report = await examine(flags, io)
    const { printDoctor } = await import("../doctor/print.js")
    out.result(report, (style) => printDoctor(report, style))
    if (!report.ok) throw new Exit(ExitCode.functionFailed)
  })
}

async function examine(flags: Flags, io: Io): Promise<DoctorReport> {
  // Loaded here: the host's own code would cost every other verb a tenth of a second.
  const [{ examineIsolation }, { examineLanguages }, { examineNats, examineServer }, { requirementsOf }] = await Promise.all([
    import("../doctor/isolation.js"),
    import("../doctor/languages.js"),
    import("../doctor/platform.js"),
    import("../doctor/requirements.js"),
  ])
  const nats = natsOptionsFromFlags(flags, io.env)
  const isNamed = nats.servers !== undefined || nats.context !== undefined
  const wanted = (flags.require as readonly string[] | undefined) ?? []
  const soft = (flags.isolationAcceptSoft as readonly string[] | undefined) ?? listOf(io.env.FN_ISOLATION_ACCEPT_SOFT ?? "")
  const settings = {
    acceptSoft: soft as readonly Guarantee[], // the launcher checks the names
    ...chosen("bubblewrap", (flags.isolationBubblewrap as string | undefined) ?? (io.env.FN_ISOLATION_BUBBLEWRAP || undefined)),
  }
  // One after the other: compilers that are asked for their version would make trials with a time limit fail.
  const isolation = await examineIsolation(settings)
  const [languages, natsServer, platform] = await Promise.all([
    examineLanguages(io),
    examineServer(io),
    isNamed || wanted.includes("nats") ? examineNats(nats) : undefined,
  ])
  const found = { isolation, languages, ...chosen("natsServer", natsServer), ...chosen("nats", platform) }
  const required = requirementsOf(wanted, found)
  const fn = {
    version: VERSION,
    node: process.versions.node,
    system: `${process.platform} ${process.arch}, kernel ${release()}`,
    user: userInfo().username,
  }
  return { ok: required.every(({ met }) => met), fn, ...found, required }
}

function chosen<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: T }
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
}
