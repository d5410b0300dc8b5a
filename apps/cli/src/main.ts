#!/usr/bin/env node
/** The process around the command: the only file of this app that touches environment, signals, standard streams and exit. */
import process from "node:process"
import { runCli } from "./cli.js"
import { ExitCode } from "./exit-code.js"

/** npm passes on a Ctrl-C that the terminal has sent to its script already: under npm, signals this close together are one. */
const ECHO_MS = process.env.npm_lifecycle_event === undefined ? 0 : 100

/** Time an interrupted verb has to tell the platform that nobody waits any more. */
const FINISH_MS = 2_000

const stopping = new AbortController()
let stoppedAt = 0

/** The first signal asks to finish, the second ends the process at once; the kernel then ends its children. */
function onSignal(): void {
  if (!stopping.signal.aborted) {
    stoppedAt = performance.now()
    stopping.abort(new DOMException("interrupted", "AbortError"))
    // `fn dev` has a host to drain; the other verbs only wait for somebody who may never answer.
    if (process.argv[2] !== "dev") setTimeout(() => process.exit(ExitCode.interrupted), FINISH_MS).unref()
  } else if (performance.now() - stoppedAt >= ECHO_MS) process.exit(ExitCode.interrupted)
}
process.on("SIGINT", onSignal)
process.on("SIGTERM", onSignal)
// The reader of a pipe went away (fn list | head): there is nobody to write to, and nothing wrong with that.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? ExitCode.ok : ExitCode.functionFailed))

const code = await runCli(process.argv.slice(2), {
  cwd: process.cwd(),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stopping.signal,
})
// Pipes are written synchronously on Linux but not everywhere: exit once everything is out.
process.stdout.write("", () => process.exit(code))
