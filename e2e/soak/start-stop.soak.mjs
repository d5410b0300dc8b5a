/**
 * Instances of every kind and language start and stop, two hundred times each: plain ones, and such in sandboxes, where those that take long to
 * start do so twenty times. No process, socket, temporary file, descriptor, control group or mount is left.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync } from "node:fs"
import { findOnPath } from "@fn/process"
import { processTree, until } from "@fn/testing"
import { deployFolder, fn } from "../support/fn.mjs"
import { controlGroupsOf, descriptorsOf, holdings, remains, residentBytes, tmpfsMountsOf } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"
import { toolchainFor } from "../support/toolchains.mjs"

export const name = "instances started and stopped"

/** What `fn init` writes, built and deployed: templates of every kind that has a process. */
const TEMPLATES = [
  { template: "ts", language: "js" },
  { template: "ts-plugin", language: "js" },
  { template: "wasm-wat", language: "custom" },
  { template: "shell", language: "shell" },
  ...["go", "rust", "python", "java"].map((language) => ({ template: language, language })),
]
/** What takes a second or so of a processor to start. */
const SLOW = ["ts-plugin", "python", "java"]
/** The first cycles load what is loaded lazily. */
const WARM_UP = 3
/** What a sandbox shows of this machine: packages of Python are built for one Python. */
const SYSTEM_PYTHON = "/usr/bin/python3"

/** @typedef {import("../support/platform.mjs").Platform} Platform */
/** @typedef {{ what: string, policy: string, names: string[], cycles: number, slowCycles: number, tally: Tally, log: (line: string) => void }} Test */

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const cycles = scaled(200, scale, 10)
  const slowCycles = scaled(20, scale, 3)
  const platform = await startPlatform({ hosts: 0 })
  // Sandboxed functions are users of their own.
  chmodSync(platform.folder.path, 0o755)
  try {
    const names = await deployTemplates(platform)
    await startAndStop(platform, { what: "plain", policy: "dev", names, cycles, slowCycles: cycles, tally, log })
    const lacks = sandboxLacks()
    if (lacks !== undefined) console.warn(`SKIPPED: needs ${lacks}: sandboxes started and stopped`)
    else {
      const sandboxed = names.filter(isForSandboxes)
      await startAndStop(platform, { what: "sandboxed", policy: "strict", names: sandboxed, cycles, slowCycles, tally, log })
    }
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/**
 * One host, one cycle after the other: every function is called, which starts an instance of it, and all instances are gone before the next.
 * @param {Platform} platform
 * @param {Test} options
 */
async function startAndStop(platform, { what, policy, names, cycles, slowCycles, tally, log }) {
  const tmp = platform.folder.file(`tmp-${policy}`)
  mkdirSync(tmp)
  // Idle at once: every call starts an instance, and stops it.
  const host = await platform.startHost(["--idle-ms", "0", "--isolation", policy], policy, { TMPDIR: tmp })
  // Names of pipes are made ahead, a few at a time.
  const files = () => readdirSync(tmp, { recursive: true }).filter((path) => !String(path).endsWith(".pipe")).length
  const cyclesOf = (/** @type {string} */ name) => (SLOW.includes(name) ? slowCycles : cycles)
  const call = (/** @type {string} */ name) => platform.client.invoke(name, { name: "Ada" }, { timeoutMs: 60_000 })

  for (let n = 0; n < WARM_UP; n++) await Promise.all(names.map(call))
  // The spare of modules, and who cleans up after the host.
  const own = () => processTree(host.pid).length
  const isIdle = async () => (await statusOf(platform, policy)).functions.every(({ instances }) => instances === 0)
  await until(isIdle, { name: "no instance to be left", timeoutMs: 20_000 })
  await settled(own)
  const resting = own()
  const groupsResting = controlGroupsOf(host.pid).length
  const isResting = () => own() <= resting && controlGroupsOf(host.pid).length <= groupsResting
  const now = () => ({ descriptors: descriptorsOf(host.pid), files: files(), sockets: holdings(host.pid).sockets.length })
  const before = { ...now(), mounts: tmpfsMountsOf(host.pid), bytes: residentBytes(host.pid) }

  /** @type {number[]} */
  const cycleMs = []
  for (let n = 0; n < cycles; n++) {
    const startedAt = performance.now()
    await Promise.all(names.filter((name) => n < cyclesOf(name)).map(call))
    await until(isResting, { name: `every ${what} instance to be gone`, timeoutMs: 20_000 })
    cycleMs.push(performance.now() - startedAt)
    if ((n + 1) % 50 === 0) log(`${what}: ${n + 1} cycles`)
  }
  tally.figure(`${what}: cycles`, names.map((name) => `${name} ${cyclesOf(name)}`).join(", "))
  tally.figure(`${what}: cycle, ms, p50 and p99`, `${quantile(cycleMs, 0.5)} ${quantile(cycleMs, 0.99)}`)

  const more = (/** @type {number} */ count) => count <= 0
  // A new spare may be on its way: its pipes are open already.
  const isBack = () => Object.entries(now()).every(([thing, count]) => count <= before[/** @type {keyof ReturnType<typeof now>} */ (thing)])
  await until(isBack, { name: "descriptors, files and sockets to be as before", timeoutMs: 5_000 }).catch(() => undefined)
  tally.check(`${what}: processes more than before`, own() - resting, more)
  const found = now()
  tally.check(`${what}: descriptors more than before`, found.descriptors - before.descriptors, more)
  tally.check(`${what}: temporary files more than before`, found.files - before.files, more)
  tally.check(`${what}: sockets more than before`, found.sockets - before.sockets, more)
  tally.check(`${what}: control groups more than before`, controlGroupsOf(host.pid).length - groupsResting, more)
  tally.check(`${what}: in-memory file systems more than before`, tmpfsMountsOf(host.pid) - before.mounts, more)
  const { functions } = await statusOf(platform, policy)
  const counts = new Map(functions.map((counted) => [counted.function.replace("default/", ""), counted]))
  // Of a command there is nothing to start before a call.
  const tooFew = names.filter((name) => name !== "shell" && (counts.get(name)?.coldStarts ?? 0) < cyclesOf(name))
  for (const name of tooFew) log(`${what}: ${name} was started ${counts.get(name)?.coldStarts ?? 0} times only`)
  tally.check(`${what}: functions with fewer cold starts than cycles`, tooFew.length)
  for (const [name, { crashes }] of counts) if (crashes > 0) log(`${what}: ${name} crashed ${crashes} times`)
  tally.check(`${what}: functions that crashed`, [...counts.values()].filter(({ crashes }) => crashes > 0).length)
  tally.figure(`${what}: host memory, MB, before and after`, `${megabytes(before.bytes)} → ${megabytes(residentBytes(host.pid))}`)

  const held = holdings(host.pid)
  tally.check(`${what}: exit code of the host`, (await host.stop()).code ?? -1)
  const left = () => [...remains(held), ...controlGroupsOf(host.pid)]
  await until(() => left().length === 0, { name: "all of the host to be gone", timeoutMs: 2_000 }).catch(() => undefined)
  for (const thing of left()) log(`${what}: left: ${thing}`)
  tally.check(`${what}: processes, sockets and control groups after the host's end`, left().length)
  tally.check(`${what}: temporary files after the host's end`, files())
}

/**
 * What a host says of itself.
 * @param {Platform} platform
 * @param {string} host
 * @returns {Promise<{ functions: { function: string, instances: number, coldStarts: number, crashes: number }[] }>}
 */
async function statusOf(platform, host) {
  return (await platform.nc.request(`function.status.${host}`, "", { timeout: 5_000 })).json()
}

/** Waits until a number was the same for a quarter of a second: spares have been made again, and nothing ends any more. @param {() => number} count */
async function settled(count) {
  let [last, same] = [-1, 0]
  const isSettled = () => {
    const found = count()
    same = found === last ? same + 1 : 0
    last = found
    return same >= 50
  }
  await until(isSettled, { name: "the host to have made its spares" })
}

/** Writes every template that can be built here, builds it and deploys it; gives the names. @param {Platform} platform */
async function deployTemplates(platform) {
  const cache = { FN_CACHE_DIR: platform.folder.file("cache") }
  const deploying = TEMPLATES.map(async ({ template, language }) => {
    const { needs, env } = toolchainFor(language)
    if (needs !== undefined) {
      console.warn(`SKIPPED: needs ${needs}: instances in ${language} started and stopped`)
      return []
    }
    const dir = platform.folder.file(template)
    await fn(["init", dir, "--template", template], cache)
    await deployFolder(dir, { natsUrl: platform.server.url, env: { ...env, ...cache } })
    return [template]
  })
  return (await Promise.all(deploying)).flat()
}

/** What is missing for sandboxes. */
function sandboxLacks() {
  if (process.platform !== "linux") return "linux"
  if (process.getuid?.() !== 0) return "root"
  return findOnPath("bwrap") === undefined ? "bwrap" : undefined
}

/** A sandbox sees the Python of the system alone. @param {string} name */
function isForSandboxes(name) {
  if (name !== "python" || abiOf(SYSTEM_PYTHON) === abiOf("python3")) return true
  console.warn(`SKIPPED: needs ${SYSTEM_PYTHON}, the same as python3: sandboxes with Python started and stopped`)
  return false
}

/** @param {string} python */
function abiOf(python) {
  try {
    return execFileSync(python, ["-c", "import sysconfig; print(sysconfig.get_config_var('SOABI'))"], { encoding: "utf8" })
  } catch {
    return undefined // there is no such program
  }
}
