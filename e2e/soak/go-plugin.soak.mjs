/**
 * What takes its time between a go-plugin host and its plugins: one prints a megabyte a second and answers all the while, a stream on which
 * nothing happens stays open, and two hundred plugins, one after the other, leave nothing behind.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { findOnPath } from "@fn/process"
import { until } from "@fn/testing"
import { launchPlugin } from "../../packages/go-plugin/dist/index.js"
import { KvClient } from "../../packages/go-plugin/test/fixtures/kv.mjs"
import { descriptorsOf, residentBytes } from "../support/leftovers.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "go-plugin: output, silence, many launches"

const FIXTURES = fileURLToPath(new URL("../../packages/go-plugin/test/fixtures/", import.meta.url))
const TYPESCRIPT = { command: process.execPath, args: [join(FIXTURES, "kv-plugin.mjs"), "print-steadily"] }
const HANDSHAKE = { cookieKey: "KV_COOKIE", cookieValue: "hello", protocolVersions: [1, 3] }

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const folder = mkdtempSync(join(tmpdir(), "fn-soak-"))
  try {
    const durationMs = scaled(30_000, scale, 8_000)
    const go = goPlugin(folder)
    await Promise.all([printing(tally, durationMs), go && silence(tally, go, durationMs)])
    if (go) await manyLaunches(tally, go, scaled(200, scale, 20), folder)
    else console.warn("SKIPPED: needs go: silent streams and many launches of a plugin made with hashicorp/go-plugin")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return tally.outcome()
}

/** P24: calls while a megabyte a second is printed. @param {Tally} tally @param {number} durationMs */
async function printing(tally, durationMs) {
  let received = 0
  const plugin = await launchPlugin({ ...TYPESCRIPT, handshake: HANDSHAKE, onStdout: (bytes) => (received += bytes.length) })
  try {
    const client = plugin.createClient(KvClient)
    const call = () => new Promise((resolve, reject) => client.run("version", (error, text) => (error ? reject(error) : resolve(text))))
    for (let n = 0; n < 100; n++) await call()
    const before = residentBytes(plugin.pid)
    /** @type {number[]} */
    const callMs = []
    for (const end = performance.now() + durationMs; performance.now() < end; await delay(5)) {
      const startedAt = performance.now()
      await call()
      callMs.push(performance.now() - startedAt)
    }
    tally.figure("printing: call, ms, p50 and p99", `${quantile(callMs, 0.5)} ${quantile(callMs, 0.99)}`)
    tally.check("printing: half of the calls, ms", quantile(callMs, 0.5), (ms) => ms < 50)
    tally.check("printing: megabytes received", megabytes(received), (found) => found >= durationMs / 4_000)
    tally.check("printing: megabytes the plugin grew by", megabytes(residentBytes(plugin.pid) - before), (grown) => grown < 100)
  } finally {
    await plugin.close()
  }
}

/** H47: Go's server ends every call of a peer that pings it without need. @param {Tally} tally @param {string} command @param {number} durationMs */
async function silence(tally, command, durationMs) {
  const plugin = await launchPlugin({ command, args: ["plugin"], handshake: HANDSHAKE })
  try {
    const stream = plugin.createClient(KvClient).echo()
    let failures = 0
    let echoes = 0
    stream.on("error", () => failures++)
    stream.on("data", () => echoes++)
    await delay(durationMs)
    stream.write(Buffer.from("still there"))
    await until(() => echoes + failures > 0, { name: "the silent stream to answer" })
    tally.check("silence: streams that failed", failures)
    stream.end()
  } finally {
    await plugin.close()
  }
}

/** H49. @param {Tally} tally @param {string} command @param {number} count @param {string} folder */
async function manyLaunches(tally, command, count, folder) {
  const socketDir = join(folder, "sockets")
  mkdirSync(socketDir)
  /** @type {number[]} */
  const pids = []
  const cycle = async (/** @type {number} */ n) => {
    const plugin = await launchPlugin({ command, args: ["plugin"], handshake: HANDSHAKE, socketDir, multiplex: n % 2 === 1 })
    pids.push(plugin.pid)
    await plugin.close()
  }
  for (let n = 0; n < 4; n++) await cycle(n)
  const before = descriptorsOf(process.pid)
  for (let n = 0; n < count; n++) await cycle(n)
  await until(() => descriptorsOf(process.pid) <= before, { name: "descriptors to be as before" }).catch(() => undefined)
  tally.figure("launches", count)
  tally.check("launches: descriptors more than before", descriptorsOf(process.pid) - before, (more) => more <= 0)
  tally.check("launches: processes left, zombies among them", pids.filter((pid) => existsSync(`/proc/${pid}`)).length)
  tally.check("launches: sockets left", readdirSync(socketDir).length)
}

/** The plugin of the package's tests, made with hashicorp/go-plugin; undefined without Go. @param {string} folder */
function goPlugin(folder) {
  const go = findOnPath("go")
  if (!go) return undefined
  const binary = join(folder, "go-kv")
  execFileSync(go, ["build", "-buildvcs=false", "-o", binary, "."], {
    cwd: join(FIXTURES, "go-kv"),
    stdio: ["ignore", "inherit", "inherit"],
  })
  return binary
}
