/**
 * A platform of its own: a nats-server and runtime-services, each a process, with the settings they have by default. All that is set is where
 * things are: addresses, folders, the file of builtins.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { connectClient } from "@fn/client"
import { connectNats, findNatsServer, startNatsServer } from "@fn/nats"
import { describeExit, spawnChild } from "@fn/process"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { benchFolder } from "../measure/program.mjs"

const BUILTINS = join(benchFolder, "functions/builtins/functions.mjs")
const STOP_GRACE_MS = 30_000
const run = promisify(execFile)

/**
 * Starts one, with one runtime-service. `isolation` is the policy of its hosts: `dev` is what `fn dev` has, `strict` what fn-runtime-service has
 * unless told otherwise. `builtins` is a file of builtin functions, `settings` are further arguments of the runtime-services.
 */
export async function startPlatform({ isolation, builtins = BUILTINS, settings = [] }) {
  const folder = mkdtempSync(join(tmpdir(), "fn-bench-"))
  const { path, version } = await findNatsServer({ onProgress: (line) => console.error(line) })
  const server = await startNatsServer({ binary: path, storeDir: join(folder, "nats") })
  const nc = await connectNats({ servers: server.url, name: "bench" })
  await setupPlatform(nc)
  const registry = await connectRegistry(nc)
  const client = await connectClient({ nc, registry })
  const apps = []
  const runtimes = []
  const platform = {
    url: server.url,
    folder,
    nc,
    registry,
    client,
    natsVersion: version,
    natsPid: server.pid,
    runtimes,
    /** The processes by role; those of functions are found below the runtimes. */
    pids: () => ({ nats: [server.pid], runtime: runtimes.map(({ pid }) => pid) }),
    /** Starts one more runtime-service; resolves when it is ready. */
    async addRuntime() {
      const dataDir = join(folder, `data-${apps.length}`)
      const args = ["--nats-url", server.url, "--data-dir", dataDir, "--health-port", "0", "--builtins", builtins, "--isolation", isolation]
      const runtime = await startApp("runtime-service", [...args, ...settings], "runtime-service ready")
      apps.push(runtime)
      runtimes.push(runtime)
      return runtime
    },
    /** Ends the runtime-service that was started last. */
    async removeRuntime() {
      await runtimes.pop()?.stop()
    },
    /** Registers functions that the file of builtins has. */
    async deployBuiltins(...names) {
      for (const name of names) await registry.deploy({ name, language: "js", runtime: "builtin" })
    },
    /** Starts a gateway; resolves when it is ready, with its port. */
    async addGateway() {
      const gateway = await startApp("gateway", ["--nats-url", server.url, "--http-port", "0"], "gateway ready")
      apps.push(gateway)
      return { ...gateway, port: Number(new URL(gateway.line.url).port) }
    },
    /** `fn deploy` of a folder below bench/functions; `manifest` and `options` are what `registry.deploy` takes to do the same under another name. */
    async deployFolder(name) {
      await run(process.execPath, [programOf("cli"), "deploy", join(benchFolder, "functions", name), "--nats-url", server.url])
      return copyOf(registry, name)
    },
    async stop() {
      await Promise.all(apps.map((app) => app.stop()))
      await client.close()
      await registry.close()
      await nc.close()
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await platform.addRuntime()
  return platform
}

/** A process of ours, once it has logged `message`. */
async function startApp(app, args, message) {
  const child = spawnChild({ command: process.execPath, args: [programOf(app), ...args], env: { PATH: process.env.PATH ?? "" } })
  child.stdout.resume()
  const noise = []
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on("line", (text) => {
      noise.push(text)
      if (text.includes(`"${message}"`)) resolve(JSON.parse(text))
    })
    void child.exited.then((exit) => reject(new Error(`${app} ended: ${describeExit(exit)}\n${noise.join("\n")}`)))
  })
  return { pid: child.pid, line, stop: () => child.terminate({ graceMs: STOP_GRACE_MS }) }
}

function programOf(app) {
  return join(benchFolder, "../apps", app, "dist/main.js")
}

/** What deploys a deployed function again, under other names. */
async function copyOf(registry, name) {
  const { language, runtime, artifact, command, stdin, emits } = await registry.getDefinition({ namespace: "default", name })
  const bytes = artifact && (await registry.artifacts.get("default", artifact.digest))
  return {
    manifest: defined({ language, runtime, command, stdin, emits }),
    options: defined({ artifact: bytes, fileName: artifact?.fileName, archive: artifact?.archive }),
  }
}

function defined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
