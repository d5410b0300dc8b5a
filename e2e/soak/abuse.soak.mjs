/**
 * Hostile functions, all at once, on a host of policy strict, and a steady neighbour beside them, a builtin and a module: none of its calls may
 * fail, and nothing of the others may be left. How much slower the neighbour gets is a figure: the machine has other users than this test.
 */
import { existsSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { findOnPath } from "@fn/process"
import { processesWith, until } from "@fn/testing"
import { holdings, remains, residentBytes } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "hostile functions beside steady ones"

const BUILTINS = fileURLToPath(new URL("./abuse/neighbour.mjs", import.meta.url))
const NEIGHBOURS = ["builtin-neighbour", "module-neighbour"]
/** In the command line of what the bombs leave, to find it. */
const MARK = "sleep 54321"
/** So many times slower, and beyond so many ms, a neighbour is not protected at all, whatever else the machine does. */
const WORST_RATIO = 10
const WORST_MS = 100

/** @type {Record<string, { source?: string, script?: string, manifest?: object }>} */
const HOSTILE = {
  "fork-bomb": { script: `bomb() { ${MARK} & bomb & bomb; }; bomb`, manifest: { pids: 64, timeoutMs: 1_000 } },
  "memory-hog": {
    source: "export default () => { const kept = []; for (;;) kept.push(Buffer.alloc(4 << 20, 1)) }",
    manifest: { memoryMb: 128 },
  },
  "busy-loop": { source: "export default () => { for (;;); }", manifest: { timeoutMs: 1_000 } },
  "descriptor-hog": {
    source: `import { openSync } from "node:fs"
      const kept = []
      export default () => { for (;;) kept.push(openSync("/dev/null")) }`,
  },
  "tmp-filler": { script: "cat /dev/zero > /tmp/full; cat /dev/zero > /dev/shm/full; exit 1" },
  "stdout-flood": { script: "yes" },
  "log-flood": {
    source: `export default async () => { for (;;) { process.stdout.write("\\n".repeat(65536)); await null } }`,
    manifest: { timeoutMs: 1_000 },
  },
  daemon: { script: `setsid ${MARK} > /dev/null 2>&1 & exit 3` },
  "crash-loop": { source: "export default () => process.exit(1)" },
}

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  if (process.platform !== "linux" || process.getuid?.() !== 0 || findOnPath("bwrap") === undefined) {
    log("SKIPPED: needs linux, root and bwrap: hostile functions on a strict host")
    return tally.outcome()
  }
  const spanMs = scaled(60_000, scale, 5_000)
  const platform = await startPlatform({ hosts: 0 })
  try {
    const host = await platform.startHost(["--isolation", "strict", "--builtins", BUILTINS], "host")
    await platform.registry.deploy({ name: "builtin-neighbour", language: "js", runtime: "builtin" })
    await platform.deployModule("module-neighbour", `export default (event) => ({ type: "echoed", data: event.data })`)
    for (const [abuser, { source, script, manifest }] of Object.entries(HOSTILE)) {
      if (source !== undefined) await platform.deployModule(abuser, source, manifest)
      else await deployScript(platform, abuser, script ?? "", manifest)
    }
    for (const neighbour of NEIGHBOURS) await platform.client.invoke(neighbour, { warm: true })

    const alone = await steady(platform, spanMs / 2)
    const bytes = residentBytes(host.pid)
    const ended = new AbortController()
    /** @type {Record<string, number>} */
    const reasons = {}
    let calls = 0
    const hostile = Object.keys(HOSTILE).map(async (abuser) => {
      while (!ended.signal.aborted) {
        const reason = await platform.client.invoke(abuser, {}, { timeoutMs: 2_000 }).then(
          () => "no error",
          (thrown) => String(thrown.reason),
        )
        calls++
        reasons[reason] = (reasons[reason] ?? 0) + 1
        // A function that is given a rest is refused at once: no reason to ask it without end.
        if (reason === "CRASH_LOOP" || reason === "NO_HOST") await turn()
      }
    })
    const beside = await steady(platform, spanMs)
    ended.abort()
    await Promise.all(hostile)

    tally.figure("calls of hostile functions", calls)
    tally.figure("their ends", JSON.stringify(reasons))
    tally.check(
      "hostile calls that a limit ended",
      (reasons.MEMORY_LIMIT ?? 0) + (reasons.PIDS_LIMIT ?? 0) + (reasons.OUTPUT_LIMIT ?? 0),
      (count) => count > 0,
    )
    for (const neighbour of NEIGHBOURS) {
      const [before, after] = [alone[neighbour] ?? [], beside[neighbour] ?? []]
      tally.figure(`${neighbour}: calls, alone and beside them`, `${before.length} ${after.length}`)
      tally.figure(`${neighbour}: ms alone, p50 and p95`, `${quantile(before, 0.5)} ${quantile(before, 0.95)}`)
      tally.figure(`${neighbour}: ms beside them, p50 and p95`, `${quantile(after, 0.5)} ${quantile(after, 0.95)}`)
      tally.figure(`${neighbour}: p95, times slower`, ratio(after, before, 0.95))
      const isSlow = quantile(after, 0.5) > WORST_MS
      tally.check(`${neighbour}: p50, times slower`, ratio(after, before, 0.5), (times) => times <= WORST_RATIO || !isSlow)
    }
    tally.check("failed calls of neighbours", alone.failed.length + beside.failed.length)
    for (const reason of new Set([...alone.failed, ...beside.failed])) log(`a neighbour's call failed: ${reason}`)
    tally.figure("host memory, MB, before and after", `${megabytes(bytes)} → ${megabytes(residentBytes(host.pid))}`)
    await until(() => processesWith(MARK).length === 0, { name: "the bombs to be gone", timeoutMs: 10_000 }).catch(() => undefined)
    tally.check("processes of hostile functions that are left", processesWith(MARK).length)

    const held = holdings(host.pid)
    tally.check("exit code of the host", (await host.stop()).code ?? -1)
    await until(() => remains(held).length === 0, { name: "the host's processes to be gone", timeoutMs: 5_000 }).catch(() => undefined)
    tally.check("processes and sockets after the host's end", remains(held).length)
    tally.check("control groups after the host's end", groupsOf(host.pid).length)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/**
 * Calls each neighbour for a while, one call after the other.
 * @param {import("../support/platform.mjs").Platform} platform
 * @param {number} spanMs
 * @returns {Promise<Record<string, number[]> & { failed: string[] }>} how long the calls took, ms, by neighbour
 */
async function steady(platform, spanMs) {
  const until = performance.now() + spanMs
  /** @type {string[]} */
  const failed = []
  const times = await Promise.all(
    NEIGHBOURS.map(async (neighbour) => {
      /** @type {number[]} */
      const durations = []
      for (let n = 0; performance.now() < until; n++) {
        const startedAt = performance.now()
        const [event] = await platform.client.invoke(neighbour, { n }).catch((thrown) => {
          failed.push(`${neighbour}: ${thrown.reason} ${thrown.message}`)
          return []
        })
        const echoed = /** @type {{ n?: number } | undefined} */ (event?.data)
        if (event !== undefined && echoed?.n !== n) failed.push(`${neighbour}: another call's answer`)
        durations.push(performance.now() - startedAt)
        // A caller with something else to do: without a pause the neighbours would be a load themselves.
        await turn()
      }
      return [neighbour, durations]
    }),
  )
  return { ...Object.fromEntries(times), failed }
}

function turn() {
  return new Promise((resolve) => setTimeout(resolve, 2))
}

/** @param {readonly number[]} after @param {readonly number[]} before @param {number} share */
function ratio(after, before, share) {
  return Math.round((quantile(after, share) / Math.max(quantile(before, share), 0.1)) * 10) / 10
}

/** @param {import("../support/platform.mjs").Platform} platform @param {string} abuser @param {string} script @param {object} [manifest] */
async function deployScript(platform, abuser, script, manifest = {}) {
  await platform.registry.deploy(
    /** @type {import("@fn/registry").FunctionManifest} */ ({
      name: abuser,
      language: "shell",
      runtime: "command",
      entry: "main.sh",
      ...manifest,
    }),
    { artifact: Buffer.from(`#!/bin/sh\n${script}\n`), fileName: "main.sh" },
  )
}

/** Control groups that a host has left. @param {number} pid */
function groupsOf(pid) {
  const roots = [
    "/sys/fs/cgroup",
    ...(existsSync("/sys/fs/cgroup") ? readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`) : []),
  ]
  return roots
    .map((root) => `${root}/fn`)
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder).filter((group) => group.startsWith(`${pid}-`)))
}
