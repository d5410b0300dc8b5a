import { connectNats, natsOptionsFromFlags } from "@fn/nats"
import { type SetupOptions, type SetupReport, setupPlatform } from "@fn/registry"
import { Command } from "commander"
import { addConnectionFlags, type Flags, registryOptions } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { parseBytes, parseCount, parseDuration } from "../parse.js"
import { formatTable, type Style } from "../style.js"

/** `fn setup`: creates, checks and upgrades what the platform keeps in NATS. */
export function setupCommand(io: Io): Command {
  const command = new Command("setup")
    .description("create or upgrade the platform's buckets and streams in a NATS account")
    .option("--replicas <n>", "copies of everything (default: 1 for what is new, unchanged for the rest)", parseCount)
    .option("--max-bytes <size>", "largest size of each bucket and stream: 500000000, 512MiB, 2GB", parseBytes)
    .option("--max-pending <n>", "invocations that may wait for one function (default: 100000)", parseCount)
    .option("--result-age <time>", "how long results can be fetched: 30m, 24h, 7d (default: 1h)", parseDuration)
    .option("--execution-age <time>", "how long executions are listed (default: 24h)", parseDuration)
    .option("--dead-letter-age <time>", "how long dead letters are kept (default: 7d)", parseDuration)
    .option("--key-age <time>", "how long an idempotency key is remembered (default: 24h)", parseDuration)
    .option("--print", "only say what would be done")
    .option("--json", "print JSON")
  return addConnectionFlags(command).action(async (flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const options = { name: "fn", ...natsOptionsFromFlags(flags, io.env) }
    const nc = await connectNats(options)
    try {
      const print = flags.print === true
      const report = await setupPlatform(nc, { ...chosen(flags), print, ...registryOptions(options) })
      out.result({ ...report, printed: print }, (style) => describe(report, print, style))
    } finally {
      await nc.close()
    }
  })
}

function chosen(flags: Flags): SetupOptions {
  const { replicas, maxBytes, maxPending, resultAge, executionAge, deadLetterAge, keyAge } = flags as Record<string, number | undefined>
  return {
    replicas,
    maxBytes,
    maxPending,
    resultAgeMs: resultAge,
    executionAgeMs: executionAge,
    deadLetterAgeMs: deadLetterAge,
    claimAgeMs: keyAge,
  }
}

function describe({ serverVersion, clustered, stores }: SetupReport, print: boolean, style: Style): string {
  const words = print
    ? { created: "would be created", changed: "would change", unchanged: "unchanged" }
    : { created: "created", changed: "changed", unchanged: "unchanged" }
  const rows = stores.map(({ name, kind, action, changes }) => [name, kind, words[action], changes.join("; ")])
  return `${style.dim(`nats-server ${serverVersion}${clustered ? ", clustered" : ""}`)}\n${formatTable([["NAME", "KIND", "STATUS", "CHANGES"], ...rows])}`
}
