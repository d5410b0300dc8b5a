import { existsSync, readdirSync, readFileSync } from "node:fs"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { canTether, spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { serverBinary, tempDir, until } from "../../test/support.js"
import { connectNats } from "../connection/connect.js"
import { type FindServerOptions, type FoundServer, findNatsServer } from "./find.js"
import { type NatsServer, type StartServerOptions, startNatsServer } from "./start.js"
import { readServerVersion } from "./version.js"

const SLOW_MS = 120_000

async function start(dir: string, options: Partial<StartServerOptions> = {}): Promise<NatsServer> {
  return startNatsServer({ binary: await serverBinary(), storeDir: join(dir, "store"), ...options })
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** Publishes into a stream that is made if need be; returns how many messages it holds. */
async function publishOnce(url: string): Promise<number> {
  await using nc = await connectNats({ servers: url })
  const jsm = await jetstreamManager(nc)
  await jsm.streams.add({ name: "KEPT", subjects: ["kept"] })
  await jsm.jetstream().publish("kept", "x")
  return (await jsm.streams.info("KEPT")).state.messages
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe("startNatsServer", () => {
  test("takes connections on a free port once it resolves, and is gone with its scope", async () => {
    await using dir = await tempDir()
    let pid: number
    {
      await using server = await start(dir.path)
      pid = server.pid
      expect(server).toMatchObject({ host: "127.0.0.1", url: `nats://127.0.0.1:${server.port}` })
      expect(await publishOnce(server.url)).toBe(1)
      expect(server.logTail()).toContain("Server is ready")
    }
    expect(isAlive(pid)).toBe(false)
    expect(readdirSync(join(dir.path, "store", "run"))).toEqual([])
  })

  test("streams survive stop() and kill(), on the same port", async () => {
    await using dir = await tempDir()
    const first = await start(dir.path)
    await publishOnce(first.url)
    await Promise.all([first.stop(), first.stop()])
    const second = await start(dir.path, { port: first.port })
    expect(second.url).toBe(first.url)
    expect(await publishOnce(second.url)).toBe(2)
    expect(await second.kill()).toMatchObject({ signal: "SIGKILL" })
    await using third = await start(dir.path, { port: first.port })
    expect(await publishOnce(third.url)).toBe(3)
  })

  test("exited tells an end nobody asked for", async () => {
    await using dir = await tempDir()
    await using server = await start(dir.path)
    process.kill(server.pid, "SIGKILL")
    expect(await server.exited).toEqual({ code: null, signal: "SIGKILL" })
  })

  test("a port in use fails with PORT_IN_USE naming it", async () => {
    await using dir = await tempDir()
    await using server = await start(dir.path)
    const failed = start(dir.path, { storeDir: join(dir.path, "other"), port: server.port })
    await expect(failed).rejects.toMatchObject({ reason: "PORT_IN_USE" })
    await expect(failed).rejects.toThrow(`127.0.0.1:${server.port}`)
  })

  test("a store in use fails with DATA_DIR_IN_USE, what a killed server left does not", async () => {
    await using dir = await tempDir()
    await using server = await start(dir.path)
    await expect(start(dir.path)).rejects.toMatchObject({ reason: "DATA_DIR_IN_USE" })
    expect(isAlive(server.pid)).toBe(true)
    await server.stop()
    // A ports file whose process id belongs to somebody else by now: us.
    const stale = join(dir.path, "store", "run", `nats-server_${process.pid}.ports`)
    await writeFile(stale, "{}")
    await using _again = await start(dir.path)
    expect(existsSync(stale)).toBe(false)
  })

  test.each([
    ["kept in memory", undefined],
    ["in a log file", "server.log"],
  ])("an early exit fails with NATS_SERVER_EXITED and the end of the log, %s", async (_where, logFile) => {
    await using dir = await tempDir()
    const log = logFile ? { logFile: join(dir.path, logFile) } : {}
    const failed = start(dir.path, { config: "authorization { users: nonsense }", ...log })
    await expect(failed).rejects.toMatchObject({ code: "unavailable", reason: "NATS_SERVER_EXITED" })
    await expect(failed).rejects.toThrow(/users/)
  })

  test("a program that is not there or no server fails with NATS_SERVER_EXITED", async () => {
    await using dir = await tempDir()
    for (const binary of [join(dir.path, "absent"), "/bin/true"])
      await expect(start(dir.path, { binary })).rejects.toMatchObject({ reason: "NATS_SERVER_EXITED" })
  })

  test("a server that does not get ready in time is killed", async () => {
    await using dir = await tempDir()
    const pidFile = join(dir.path, "pid")
    const binary = join(dir.path, "never-ready")
    await writeFile(binary, `#!/bin/sh\necho $$ > ${pidFile}\nexec sleep 600\n`, { mode: 0o755 })
    await expect(start(dir.path, { binary, startTimeoutMs: 300 })).rejects.toThrow("not ready after 300 ms")
    expect(isAlive(Number(await readFile(pidFile, "utf8")))).toBe(false)
  })

  test("an abort ends the start and the process", async () => {
    await using dir = await tempDir()
    const pidFile = join(dir.path, "pid")
    const binary = join(dir.path, "never-ready")
    await writeFile(binary, `#!/bin/sh\necho $$ > ${pidFile}\nexec sleep 600\n`, { mode: 0o755 })
    const controller = new AbortController()
    const failed = expect(start(dir.path, { binary, signal: controller.signal })).rejects.toMatchObject({ code: "cancelled" })
    await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8").endsWith("\n"), "the process to start")
    controller.abort()
    await failed
    expect(isAlive(Number(await readFile(pidFile, "utf8")))).toBe(false)
    await expect(start(dir.path, { signal: controller.signal })).rejects.toMatchObject({ code: "cancelled" })
  })

  test("its output goes to the log file, appended", async () => {
    await using dir = await tempDir()
    const logFile = join(dir.path, "server.log")
    await writeFile(logFile, "before\n")
    await using server = await start(dir.path, { logFile })
    expect(await readFile(logFile, "utf8")).toMatch(/^before\n[\s\S]*Server is ready/)
    expect(server.logTail()).not.toContain("before")
  })

  test("maxPayload, jetstream off and further settings reach the server", async () => {
    await using dir = await tempDir()
    const config = `http: "127.0.0.1:-1"\naccounts { A { users: [ { user: a, password: p } ] } }`
    await using server = await start(dir.path, { maxPayload: 12_345, jetstream: false, config })
    await using nc = await connectNats({ servers: server.url, user: "a", password: "p" })
    expect(nc.info).toMatchObject({ max_payload: 12_345 })
    expect(nc.info?.jetstream).toBeFalsy()
    await expect(connectNats({ servers: server.url })).rejects.toMatchObject({ reason: "NATS_AUTH" })
    const health = await fetch(`${server.urls.monitoring?.[0]}/healthz`)
    expect(health.status).toBe(200)
  })

  test("it dies with a parent that is killed by SIGKILL", async () => {
    if (!canTether()) return void console.warn("SKIPPED: needs setpriv: a child whose parent is killed")
    await using dir = await tempDir()
    const module = new URL("../../dist/server/start.js", import.meta.url).href
    const options = { binary: await serverBinary(), storeDir: join(dir.path, "store") }
    const script = `import { startNatsServer } from ${JSON.stringify(module)}
      const server = await startNatsServer(${JSON.stringify(options)})
      console.log(server.pid); setInterval(() => {}, 1000)`
    const parent = spawnChild({
      command: process.execPath,
      args: ["--input-type=module", "-e", script],
      env: { PATH: process.env.PATH ?? "" },
    })
    let pid = 0
    parent.stdout?.on("data", (chunk: Buffer) => {
      pid = Number(chunk.toString())
    })
    await until(() => pid > 0, "the server to be started")
    expect(isAlive(pid)).toBe(true)
    process.kill(parent.pid as number, "SIGKILL")
    await until(() => !isAlive(pid), "the server to be gone", 2_000)
    await parent.exited
    await using _again = await start(dir.path)
  })

  test(
    "three of them form a cluster that replicates a stream",
    async () => {
      await using dir = await tempDir()
      const ports = await Promise.all([freePort(), freePort(), freePort()])
      const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(", ")
      await using stack = new AsyncDisposableStackOf<NatsServer>()
      const servers = await Promise.all(
        ports.map(async (port, i) => {
          const config = `server_name: n${i}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`
          return stack.add(await start(dir.path, { storeDir: join(dir.path, `n${i}`), config }))
        }),
      )
      await using nc = await connectNats({ servers: servers.map(({ url }) => url) })
      const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: 2_000 })
      const add = (): Promise<boolean> =>
        jsm.streams.add({ name: "R3", subjects: ["r3"], num_replicas: 3 }).then(
          () => true,
          () => false, // no meta leader yet
        )
      await until(add, "the cluster to take a stream", 20_000)
      await jsm.jetstream().publish("r3", "x", { retries: 20 })
      expect((await jsm.streams.info("R3")).state.messages).toBe(1)
    },
    SLOW_MS,
  )
})

describe("nats-server of Debian (2.9.10 in bookworm)", () => {
  test(
    "is unpacked from its package, runs, keeps streams and stops",
    async () => {
      await using dir = await tempDir()
      const lines: string[] = []
      const found = await findDebian(dir.path, { onProgress: (line) => lines.push(line) })
      if (!found) return
      expect(found).toMatchObject({ source: "debian", path: join(dir.path, "cache", found.version, "nats-server") })
      expect(lines).toEqual(["fetching nats-server from the distribution: apt-get download nats-server"])
      expect(await readServerVersion(found.path)).toBe(found.version)
      const server = await start(dir.path, { binary: found.path })
      expect(await publishOnce(server.url)).toBe(1)
      await server.stop()
      await using again = await start(dir.path, { binary: found.path, port: server.port })
      expect(await publishOnce(again.url)).toBe(2)
      await expect(start(dir.path, { binary: found.path, storeDir: join(dir.path, "o"), port: server.port })).rejects.toMatchObject({
        reason: "PORT_IN_USE",
      })
    },
    SLOW_MS,
  )

  test(
    "is found on a machine without package lists, as images come",
    async () => {
      if (!process.env.FN_SLOW_TESTS)
        return void console.warn("SKIPPED: needs internet: it downloads all package lists; set FN_SLOW_TESTS=1 to run it")
      await using dir = await tempDir()
      const aptConfig = join(dir.path, "apt.conf")
      await writeFile(aptConfig, `Dir::State::lists "${dir.path}/lists";\nDir::Cache "${dir.path}/cache-of-apt";\n`)
      for (const folder of ["lists", "cache-of-apt/archives"]) await mkdir(join(dir.path, folder, "partial"), { recursive: true })
      const found = await findDebian(dir.path, { env: { APT_CONFIG: aptConfig } })
      if (found) expect(found).toMatchObject({ source: "debian" })
    },
    SLOW_MS,
  )
})

/** The distribution's server; where there is none to be had, undefined and the reason printed. */
async function findDebian(dir: string, options: FindServerOptions): Promise<FoundServer | undefined> {
  try {
    const env = { PATH: "/usr/bin:/bin", HOME: dir, ...options.env }
    return await findNatsServer({ cacheDir: join(dir, "cache"), systemFolders: [], fetch: ["debian"], ...options, env })
  } catch (thrown) {
    const unavailable = /no Debian|needs root|resolve|Failed to fetch|Could not connect|Unable to locate package/
    if (!unavailable.test(String(thrown))) throw thrown
    console.warn(`SKIPPED: needs internet: no Debian package from here: ${thrown}`)
    return undefined
  }
}

/** Disposes what was added, all of it, when the scope ends. */
class AsyncDisposableStackOf<T extends AsyncDisposable> implements AsyncDisposable {
  readonly #items: T[] = []
  add(item: T): T {
    this.#items.push(item)
    return item
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#items.map((item) => item[Symbol.asyncDispose]()))
  }
}
