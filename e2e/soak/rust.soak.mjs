/**
 * Rust at length: a function in Rust started and stopped again and again, after which no process, socket or descriptor is left; at full length also
 * built as a deploy builds it, optimized and with nothing kept from before.
 */
import { execFile } from "node:child_process"
import { mkdirSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { findRust, processTree, until } from "@fn/testing"
import { descriptorsOf } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "functions in Rust"

const EXAMPLE = fileURLToPath(new URL("../../examples/issue-labeler-rust", import.meta.url))
const EVENT = { issue: { number: 1, title: "It crashes", html_url: "https://github.com/o/r/issues/1" }, repository: { full_name: "o/r" } }
/** The first cycles load what is loaded lazily. */
const WARM_UP = 5

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const rust = findRust()
  if (!rust) {
    console.warn("SKIPPED: needs cargo: Rust at length")
    return tally.outcome()
  }
  const platform = await startPlatform({ hosts: 0 })
  try {
    const program = scale < 1 ? await rust.build(EXAMPLE, "issue-labeler-rust") : await coldBuild(platform.folder.file("cold"), tally)
    const tmp = platform.folder.file("tmp")
    mkdirSync(tmp)
    // Idle at once: every call starts an instance, and stops it.
    const host = await platform.startHost(["--idle-ms", "0"], "host", { TMPDIR: tmp })
    await platform.deployPlugin("labeler", [program], { language: "rust", env: { TMPDIR: tmp } })
    const resting = processTree(host.pid).length
    const cycles = scaled(200, scale, 20)
    /** @type {number[]} */
    const cycleMs = []
    const cycle = async () => {
      const startedAt = performance.now()
      await platform.client.invoke("labeler", { type: "com.github.issues.opened", data: EVENT })
      await until(() => processTree(host.pid).length <= resting, { name: "the instance to be gone", timeoutMs: 20_000 })
      cycleMs.push(performance.now() - startedAt)
    }
    for (let n = 0; n < WARM_UP; n++) await cycle()
    const before = { descriptors: descriptorsOf(host.pid), files: readdirSync(tmp).length }
    for (let n = 0; n < cycles; n++) await cycle()
    tally.figure("cycles", cycles)
    tally.figure("start, call and stop, ms, p50 and p99", `${quantile(cycleMs, 0.5)} ${quantile(cycleMs, 0.99)}`)
    const isBack = () => descriptorsOf(host.pid) <= before.descriptors && readdirSync(tmp).length <= before.files
    await until(isBack, { name: "descriptors and files to be as before", timeoutMs: 5_000 }).catch(() => undefined)
    tally.check("descriptors more than before", descriptorsOf(host.pid) - before.descriptors, (more) => more <= 0)
    tally.check("temporary files more than before", readdirSync(tmp).length - before.files, (more) => more <= 0)
    tally.check("exit code of the host", (await host.stop()).code ?? -1)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/**
 * @param {string} target
 * @param {Tally} tally
 */
async function coldBuild(target, tally) {
  const startedAt = performance.now()
  const env = { ...process.env, CARGO_TARGET_DIR: target, CARGO_PROFILE_RELEASE_STRIP: "symbols" }
  await promisify(execFile)("cargo", ["build", "--release", "--locked"], { cwd: EXAMPLE, env })
  tally.figure("cold optimized build, s", ((performance.now() - startedAt) / 1_000).toFixed(1))
  return `${target}/release/issue-labeler-rust`
}
