import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { FnError } from "@fn/core"
import type { NatsConnection } from "@nats-io/transport-node"
import { connectNats } from "../src/connection/connect.js"
import type { NatsOptions } from "../src/connection/options.js"
import { findNatsServer } from "../src/server/find.js"
import { type NatsServer, type StartServerOptions, startNatsServer } from "../src/server/start.js"

// @fn/testing has all this for the other packages; it depends on this one.

let binary: Promise<string> | undefined

/** The server that the tests run against. */
export function serverBinary(): Promise<string> {
  binary ??= findNatsServer({ onProgress: (line) => process.stderr.write(`${line}\n`) }).then(({ path }) => path)
  return binary
}

let oldBinary: Promise<string | undefined> | undefined

/** The usual server and 2.9.10 as Debian 12 packages it; only the first, said aloud, where the other is not to be had. */
export async function serverBinaries(what: string): Promise<{ server: string; binary: string }[]> {
  const usual = { server: "the usual nats-server", binary: await serverBinary() }
  oldBinary ??= findOldBinary()
  const binary = await oldBinary
  if (binary !== undefined) return [usual, { server: "nats-server 2.9.10", binary }]
  console.warn(`SKIPPED: needs debian-12: ${what} on nats-server 2.9`)
  return [usual]
}

async function findOldBinary(): Promise<string | undefined> {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "fn", "nats-server-debian")
  const env = { ...process.env, PATH: "/usr/bin:/bin", FN_NATS_SERVER: undefined }
  try {
    const { path, version } = await findNatsServer({ cacheDir, env, fetch: ["debian"], systemFolders: [] })
    return version === "2.9.10" ? path : undefined
  } catch (thrown) {
    if (FnError.is(thrown) && thrown.reason === "NATS_SERVER_MISSING") return undefined
    throw thrown
  }
}

/** A server with its connections and its store, for one test. */
export interface Fixture extends AsyncDisposable {
  server: NatsServer
  dir: string
  connect(options?: NatsOptions): Promise<NatsConnection>
  restart(): Promise<void>
}

/** Starts a server of its own for one test. */
export async function startFixture(options: Partial<StartServerOptions> = {}): Promise<Fixture> {
  const dir = await mkdtemp(join(tmpdir(), "fn-nats-"))
  const settings = { binary: await serverBinary(), storeDir: join(dir, "store"), ...options }
  const connections: NatsConnection[] = []
  const fixture: Fixture = {
    server: await startNatsServer(settings),
    dir,
    connect: async (natsOptions = {}) => {
      const nc = await connectNats({ servers: fixture.server.url, ...natsOptions })
      connections.push(nc)
      return nc
    },
    restart: async () => {
      await fixture.server.kill()
      fixture.server = await startNatsServer({ ...settings, port: fixture.server.port })
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(connections.map((nc) => nc.close()))
      await fixture.server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
  return fixture
}

/** SIGSTOP; resolves once none of its threads runs any more. SIGCONT ends it. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP")
  if (process.platform !== "linux") return
  await until(async () => {
    const threads = await readdir(`/proc/${pid}/task`)
    const states = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8")))
    return states.every((state) => / T /.test(state))
  }, `process ${pid} to stand still`)
}

/** Resolves once `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>, name: string, timeoutMs: number = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${name}`)
    await delay(5)
  }
}

/** A folder for one test. */
export async function tempDir(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "fn-nats-"))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
