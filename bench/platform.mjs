import { execFileSync, fork, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { connectClient } from "@fn/client"
import { connectNats, findNatsServer, startNatsServer } from "@fn/nats"
import { setupPlatform } from "@fn/registry"
import { connect } from "@nats-io/transport-node"

const here = dirname(fileURLToPath(import.meta.url))
const cli = join(here, "../apps/cli/dist/main.js")

/** Separate processes for server, reference responder and runtime-service, all with their defaults; the client is this process. */
export async function startPlatform() {
  const folder = mkdtempSync(join(tmpdir(), "fn-bench-"))
  const { path, version } = await findNatsServer({ onProgress: (line) => console.error(line) })
  const server = await startNatsServer({ binary: path, storeDir: join(folder, "nats") })
  const nc = await connectNats({ servers: server.url, name: "bench" })
  await setupPlatform(nc)
  const responder = fork(join(here, "responder.mjs"), [server.url])
  await once(responder, "message")
  const builtins = join(here, "functions/echo-builtin/functions.mjs")
  const runtime = spawn(
    process.execPath,
    [
      join(here, "../apps/runtime-service/dist/main.js"),
      "--nats-url",
      server.url,
      "--data-dir",
      join(folder, "data"),
      "--health-port",
      "0",
      "--builtins",
      builtins,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  )
  for await (const line of createInterface(runtime.stderr)) if (line.includes("runtime-service ready")) break
  runtime.stderr.resume()
  const client = await connectClient({ nc })
  const { connectRegistry } = await import("@fn/registry")
  const registry = await connectRegistry(nc)
  await registry.deploy({ name: "echo-builtin", language: "js", runtime: "builtin" })
  return {
    nc,
    client,
    // The reference is the client library as it comes, with its defaults.
    plain: await connect({ servers: server.url }),
    natsVersion: version,
    pids: { client: process.pid, nats: server.pid, responder: responder.pid, runtime: runtime.pid },
    deploy: (folder) =>
      execFileSync(process.execPath, [cli, "deploy", join(here, "functions", folder), "--nats-url", server.url], {
        stdio: ["ignore", "ignore", "inherit"],
      }),
    stop: async () => {
      responder.disconnect()
      const exited = once(runtime, "exit")
      runtime.kill("SIGTERM")
      await exited
      await client.close()
      await registry.close()
      await nc.close()
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whether this machine builds Go. */
export function hasGo() {
  return spawnSync("go", ["version"]).status === 0
}
