import { connectNats, natsOptionsFromFlags } from "@fn/nats"
import { type SetupReport, setupPlatform } from "@fn/registry"
import { Command } from "commander"
import { addConnectionFlags, type Flags, registryOptions } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { parseBytes, parseCount } from "../parse.js"
import { formatTable, type Style } from "../style.js"

/** `fn setup`: creates, checks and upgrades what the platform keeps in NATS. */
export function setupCommand(io: Io): Command {
  const command = new Command("setup")
    .description("create or upgrade the platform's buckets in a NATS account")
    .option("--replicas <n>", "copies of every bucket (default: 1 for a new one, unchanged for the others)", parseCount)
    .option("--max-bytes <size>", "largest size of each bucket: 500000000, 512MiB, 2GB", parseBytes)
    .option("--print", "only say what would be done")
    .option("--json", "print JSON")
  return addConnectionFlags(command).action(async (flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const options = { name: "fn", ...natsOptionsFromFlags(flags, io.env) }
    const nc = await connectNats(options)
    try {
      const { replicas, maxBytes, print = false } = flags as { replicas?: number; maxBytes?: number; print?: boolean }
      const report = await setupPlatform(nc, { replicas, maxBytes, print, ...registryOptions(options) })
      out.result({ ...report, printed: print }, (style) => describe(report, print, style))
    } finally {
      await nc.close()
    }
  })
}

function describe({ serverVersion, clustered, buckets }: SetupReport, print: boolean, style: Style): string {
  const words = print
    ? { created: "would be created", changed: "would change", unchanged: "unchanged" }
    : { created: "created", changed: "changed", unchanged: "unchanged" }
  const rows = buckets.map(({ name, kind, action, changes }) => [name, kind, words[action], changes.join("; ")])
  return `${style.dim(`nats-server ${serverVersion}${clustered ? ", clustered" : ""}`)}\n${formatTable([["BUCKET", "KIND", "STATUS", "CHANGES"], ...rows])}`
}
