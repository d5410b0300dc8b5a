/**
 * A platform of its own: a nats-server and runtime-services, each a process, with the settings they have by default. All that is set is where
 * things are: addresses, folders, the file of builtins.
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { connectClient } from "@fn/client"
import { connectNats, findNatsServer, startNatsServer } from "@fn/nats"
import { createScratchFolder, describeExit, spawnChild } from "@fn/process"
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
  const undo = []
  try {
    const folder = await createScratchFolder("fn-bench-")
    undo.push(() => folder.remove())
    const { path } = await findNatsServer({ onProgress: (line) => console.error(line) })
    const server = await startNatsServer({ binary: path, storeDir: join(folder.path, "nats") })
    undo.push(() => server.stop())
    const nc = await connectNats({ servers: server.url, name: "bench" })
    undo.push(() => nc.close())
    await setupPlatform(nc)
    const registry = await connectRegistry(nc)
    undo.push(() => registry.close())
    const client = await connectClient({ nc, registry })
    undo.push(() => client.close())
    const platform = createPlatform({ folder, server, nc, registry, client, isolation, builtins, settings, undo })
    await platform.addRuntime()
    return platform
  } catch (error) {
    await undoAll(undo)
    throw error
  }
}

/** Last first. */
async function undoAll(undo) {
  for (const step of undo.splice(0).reverse()) await step()
}

function createPlatform({ folder, server, nc, registry, client, isolation, builtins, settings, undo }) {
  const runtimes = []
  let started = 0
  return {
    url: server.url,
    nc,
    registry,
    client,
    natsPid: server.pid,
    runtimes,
    /** The processes by role; those of functions are found below the runtimes. */
    pids: () => ({ nats: [server.pid], runtime: runtimes.map(({ pid }) => pid) }),
    /** Starts one more runtime-service; resolves when it is ready. */
    async addRuntime() {
      const dataDir = join(folder.path, `data-${started++}`)
      const args = ["--nats-url", server.url, "--data-dir", dataDir, "--health-port", "0", "--builtins", builtins, "--isolation", isolation]
      const runtime = await startApp("runtime-service", [...args, ...settings], "runtime-service ready")
      undo.push(() => runtime.stop())
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
      undo.push(() => gateway.stop())
      return { ...gateway, port: Number(new URL(gateway.line.url).port) }
    },
    /** `fn deploy` of a folder below bench/functions; `manifest` and `options` are what `registry.deploy` takes to do the same under another name. */
    async deployFolder(name) {
      await run(process.execPath, [programOf("cli"), "deploy", join(benchFolder, "functions", name), "--nats-url", server.url])
      return copyOf(registry, name)
    },
    stop: () => undoAll(undo),
  }
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
