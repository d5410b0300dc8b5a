import { resolve } from "node:path"
import { checkNamespace, FnError } from "@fn/core"
import { natsOptionsFromFlags } from "@fn/nats"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, namespaceOf } from "../connection.js"
import { DevConsole } from "../dev/console.js"
import type { DevOptions } from "../dev/dev-session.js"
import { Exit } from "../exit.js"
import { exitCodeOf } from "../exit-code.js"
import type { Io } from "../io.js"
import { parsePort } from "../parse.js"
import { errorReport, formatError } from "../report.js"
import { VERSION } from "../version.js"

const NATS_PORT = 4222
const HTTP_PORT = 8080

/** `fn dev`: everything in one process, until Ctrl-C. With `--json`, stdout gets one line when all of it answers; the rest goes to stderr. */
export function devCommand(io: Io): Command {
  const command = new Command("dev")
    .description("run functions here: NATS, a host and HTTP in one process, live on every save")
    .argument("[dir...]", "folders with a fn.yaml")
    .option("--nats-port <port>", `port of the NATS server it starts, 0 for a free one (default ${NATS_PORT})`, parsePort)
    .option("--http-port <port>", `port of the HTTP gateway, 0 for a free one (default ${HTTP_PORT})`, parsePort)
    .option("--data-dir <dir>", "where deployed functions are kept (default .fn)")
    .option("--builtins <file>", "ES module whose exports run in this process")
    .option("--json", "print one JSON line on stdout when everything answers")
  addNamespaceFlag(command, "where functions go whose fn.yaml does not say")
  return addConnectionFlags(command).action(async (dirs: string[], flags: Flags) => {
    const json = flags.json === true
    const console = new DevConsole(io, { json })
    try {
      await runDev(devOptions(dirs, flags, io), io, console, json)
    } catch (thrown) {
      if (io.signal.aborted) return console.line(console.style.dim("stopped"))
      const error = FnError.from(thrown)
      // stdout is for the ready line alone.
      io.stderr.write(`${json ? JSON.stringify({ error: errorReport(error) }) : formatError(error, console.style)}\n`)
      throw new Exit(exitCodeOf(error))
    }
  })
}

async function runDev(options: DevOptions, io: Io, console: DevConsole, json: boolean): Promise<void> {
  // Loaded here: the host and its gRPC would cost every other verb a tenth of a second.
  const { startDevSession } = await import("../dev/dev-session.js")
  const session = await startDevSession(options, io, console)
  try {
    const { natsUrl, httpUrl } = session
    if (json) io.stdout.write(`${JSON.stringify({ event: "ready", nats: natsUrl, http: httpUrl, version: VERSION })}\n`)
    console.ready({ natsUrl, httpUrl, watching: options.dirs.length })
    const error = await Promise.race([session.broken, aborted(io.signal)])
    if (error) throw error
    console.line(console.style.dim("\nfinishing what runs (Ctrl-C again ends at once)"))
  } finally {
    await session.stop()
  }
  console.line(console.style.dim("stopped"))
}

function devOptions(dirs: readonly string[], flags: Flags, io: Io): DevOptions {
  const nats = natsOptionsFromFlags(flags, io.env)
  const isElsewhere = nats.servers !== undefined || nats.context !== undefined
  if (isElsewhere && flags.natsPort !== undefined)
    throw FnError.of("INVALID_REQUEST", "--nats-port is the port of a server of its own: give it or --nats-url, not both")
  return {
    dirs,
    dataDir: resolve(io.cwd, (flags.dataDir as string | undefined) ?? (io.env.FN_DATA_DIR || ".fn")),
    namespace: checkNamespace(namespaceOf(flags, io)),
    isolation: { policy: "dev", ...(io.env.FN_ISOLATION_BUBBLEWRAP ? { bubblewrap: io.env.FN_ISOLATION_BUBBLEWRAP } : {}) },
    builtins: flags.builtins === undefined ? undefined : resolve(io.cwd, flags.builtins as string),
    nats,
    natsElsewhere: isElsewhere,
    natsPort: (flags.natsPort as number | undefined) ?? NATS_PORT,
    httpPort: (flags.httpPort as number | undefined) ?? HTTP_PORT,
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(undefined)
    signal.addEventListener("abort", () => resolve(undefined), { once: true })
  })
}
