/** What `fn dev` leaves behind, however it ends: nothing but what was deployed. */
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { type Child, spawnChild } from "@fn/process"
import { processesWith, startTestServer, type TempDir, tempDir, testServerBinary, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { programOf } from "../support/app.mjs"
import { holdings, isClosed, remains } from "../support/leftovers.mjs"

const FOLDERS = ["slow", "versioned"].map((name) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url)))

/** A `fn dev` that is ready. */
interface Dev {
  readonly child: Child
  readonly pid: number
  readonly nats: string
  readonly http: string
  readonly stderr: () => string
}

/** Where one `fn dev` works: it can put things nowhere else. */
function placesIn(folder: TempDir): { data: string; tmp: string; cwd: string } {
  const places = { data: folder.file("data"), tmp: folder.file("tmp"), cwd: folder.file("cwd") }
  for (const path of [places.tmp, places.cwd]) mkdirSync(path, { recursive: true })
  return places
}

async function startDev(folder: TempDir, args: readonly string[]): Promise<Dev> {
  const { data, tmp, cwd } = placesIn(folder)
  const child = spawnChild({
    command: process.execPath,
    args: [programOf("cli"), "dev", "--json", "--http-port", "0", "--data-dir", data, ...args],
    cwd,
    env: {
      PATH: process.env.PATH ?? "",
      TMPDIR: tmp,
      HOME: folder.file("home"),
      FN_CACHE_DIR: folder.file("cache"),
      FN_NATS_SERVER: await testServerBinary(),
    },
  })
  let stderr = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const first = await Promise.race([once(lines, "line").then(([line]) => String(line)), child.exited])
  if (typeof first !== "string") throw new Error(`fn dev ended with ${JSON.stringify(first)}:\n${stderr}`)
  const { nats, http } = JSON.parse(first) as { nats: string; http: string }
  return { child, pid: child.pid as number, nats, http, stderr: () => stderr }
}

async function call(dev: Dev, name: string, body: unknown = {}): Promise<number> {
  const response = await fetch(`${dev.http}/function/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  await response.arrayBuffer()
  return response.status
}

/** Calls both functions, so that there are a module's and a plugin's process, then sees what all of it holds. */
async function busy(dev: Dev): Promise<ReturnType<typeof holdings>> {
  expect(await Promise.all([call(dev, "slow"), call(dev, "versioned")])).toEqual([200, 200])
  const held = holdings(dev.pid)
  // fn dev, nats-server, a module's process, a plugin: otherwise there is nothing to see.
  expect(held.pids.length).toBeGreaterThanOrEqual(4)
  expect(held.sockets.length).toBeGreaterThanOrEqual(1)
  return held
}

/** Nothing is left of it within 2 s. */
async function expectNothingLeft(dev: Dev, held: ReturnType<typeof holdings>, folder: TempDir): Promise<void> {
  const { data, tmp, cwd } = placesIn(folder)
  const left = (): string[] => [
    ...remains(held),
    ...processesWith(data).map(({ pid, command }) => `process ${pid} ${command}`),
    ...runFiles(folder).map((entry) => `file ${data}/${entry}`),
    ...[tmp, cwd].flatMap((path) => readdirSync(path, { recursive: true }).map((entry) => `file ${path}/${String(entry)}`)),
  ]
  await until(() => left().length === 0, { name: "everything to be gone", timeoutMs: 2_000 }).catch(() => undefined)
  expect(left()).toEqual([])
  expect(await isClosed(dev.http)).toBe(true)
}

/** What a `fn dev` and its NATS keep in the data folder only while they run. */
function runFiles(folder: TempDir): string[] {
  const entries = readdirSync(placesIn(folder).data, { recursive: true }).map(String)
  return entries.filter((entry) => /dev\.lock|\.(ports|partial|draft|sock)$/.test(entry))
}

/** What was deployed is there for the next one, without the folders. */
async function expectFunctionsKept(folder: TempDir): Promise<void> {
  const again = await startDev(folder, ["--nats-port", "0"])
  try {
    expect(await Promise.all([call(again, "slow"), call(again, "versioned")])).toEqual([200, 200])
  } finally {
    again.child.process.kill("SIGINT")
    expect((await again.child.exited).code).toBe(0)
  }
}

describe("nothing but the deployed functions is left after fn dev", () => {
  test("stops by SIGINT", async () => {
    await using folder = await tempDir()
    const dev = await startDev(folder, [...FOLDERS, "--nats-port", "0"])
    const held = await busy(dev)
    dev.child.process.kill("SIGINT")
    expect((await dev.child.exited).code).toBe(0)
    await expectNothingLeft(dev, held, folder)
    expect(await isClosed(dev.nats)).toBe(true)
    await expectFunctionsKept(folder)
  }, 60_000)

  test("gets SIGINT twice, in the middle of a call", async () => {
    await using folder = await tempDir()
    const dev = await startDev(folder, [...FOLDERS, "--nats-port", "0"])
    const held = await busy(dev)
    const begun = folder.file("begun")
    const cut = call(dev, "slow", { begun, ms: 30_000 }).catch(() => 0)
    await until(() => existsSync(begun), { name: "the call to run" })
    dev.child.process.kill("SIGINT")
    await until(() => /finishing what runs/.test(dev.stderr()), { name: "the first SIGINT to be heard" })
    dev.child.process.kill("SIGINT")
    expect((await dev.child.exited).code).toBe(130)
    await cut
    await expectNothingLeft(dev, held, folder)
    expect(await isClosed(dev.nats)).toBe(true)
    await expectFunctionsKept(folder)
  }, 60_000)

  test("is killed with SIGKILL", async () => {
    await using folder = await tempDir()
    const dev = await startDev(folder, [...FOLDERS, "--nats-port", "0"])
    const held = await busy(dev)
    process.kill(dev.pid, "SIGKILL")
    await dev.child.exited
    await expectNothingLeft(dev, held, folder)
    expect(await isClosed(dev.nats)).toBe(true)
    await expectFunctionsKept(folder)
  }, 60_000)

  test.each<NodeJS.Signals>(["SIGINT", "SIGKILL"])(
    "ends by %s on a NATS of others: no presence, no watch, no connection",
    async (signal) => {
      await using folder = await tempDir()
      await using server = await startTestServer({ config: "http: 127.0.0.1:-1" })
      const monitor = server.server.urls.monitoring?.[0]
      const connections = async (): Promise<number> =>
        ((await (await fetch(`${monitor}/connz`)).json()) as { num_connections: number }).num_connections
      const dev = await startDev(folder, [...FOLDERS, "--nats-url", server.url])
      const held = await busy(dev)
      const nc = await server.connect()
      const answers = async (): Promise<boolean> =>
        nc.request("$SRV.PING.fn-runtime", "", { timeout: 1_000 }).then(
          () => true,
          () => false,
        )
      expect(await answers()).toBe(true)
      process.kill(dev.pid, signal)
      await dev.child.exited
      await expectNothingLeft(dev, held, folder)
      expect(await answers()).toBe(false)
      await until(async () => (await connections()) === 1, { name: "its connection to be gone" })
      // After SIGKILL the server itself forgets the watch, five minutes later.
      if (signal === "SIGKILL") return
      const { state } = await (await jetstreamManager(nc)).streams.info("KV_functions")
      expect(state.consumer_count).toBe(0)
    },
    60_000,
  )
})
