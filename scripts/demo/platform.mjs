import { spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream, mkdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { root, workFolder } from "../lib/paths.mjs"
import { withProgress } from "../lib/progress.mjs"
import { tail } from "../lib/run.mjs"

/** Starts `fn dev` as a user would, on free ports, and resolves when everything answers. */
export async function startPlatform({ folders, logFile }) {
  mkdirSync(dirname(logFile), { recursive: true })
  const log = createWriteStream(logFile)
  const args = ["dev", ...folders, "--builtins", "examples/redact/functions.mjs", "--nats-port", "0", "--http-port", "0", "--json"]
  const dataDir = join(workFolder, "demo-data")
  const child = spawn(process.execPath, [join(root, "apps/cli/dist/main.js"), ...args, "--data-dir", dataDir], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  })
  const exited = once(child, "exit")
  child.stderr.pipe(log)
  // The one thing that may be fetched is said, not only logged.
  createInterface(child.stderr).on("line", (line) => {
    if (/nats-server/.test(line)) process.stderr.write(`  ${line.trim()}\n`)
  })
  const ready = await withProgress("Starting NATS, a host and the gateway, and deploying the functions", async () => {
    const first = await Promise.race([once(createInterface(child.stdout), "line"), exited.then(([code]) => ({ code }))])
    if (!Array.isArray(first)) throw new Error(`fn dev ended with exit code ${first.code}. The end of its log:\n${tail(logFile, 15)}`)
    return JSON.parse(first[0])
  })
  const { connectClient } = await import(join(root, "packages/client/dist/index.js"))
  const { connectNats } = await import(join(root, "packages/nats/dist/index.js"))
  const nc = await connectNats({ servers: ready.nats, name: "fn-demo" })
  const client = await connectClient({ nc })
  return {
    client,
    nc,
    http: ready.http,
    stop: async () => {
      await client.close()
      await nc.close()
      if (child.exitCode === null) child.kill("SIGINT")
      await exited
    },
  }
}
