/** 200 redeploys under load on two hosts: no call fails, replies are of one version, and nothing piles up. */
import { processTree, until } from "@fn/testing"
import { residentBytes } from "../support/leftovers.mjs"
import { openLoop } from "../support/load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { megabytes, quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "redeploy cycles under load"

const CALLS_PER_SECOND = 50

/** @param {string} version */
const sourceOf = (version) => `
const VERSION = ${JSON.stringify(version)}
export default async () => {
  const first = { type: "part", data: VERSION }
  await new Promise((resolve) => setTimeout(resolve, 20))
  return [first, { type: "part", data: VERSION }]
}`

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const cycles = scaled(200, scale, 5)
  const platform = await startPlatform({ hosts: 2 })
  try {
    let live = 0
    const deploy = async (/** @type {number} */ patch) => {
      await platform.deployModule("redeployed", sourceOf(`0.0.${patch}`), { version: `0.0.${patch}` })
      live = patch
    }
    await deploy(1)
    const processes = () => platform.hosts.map(({ pid }) => processTree(pid).length)
    const resting = processes()
    const invoked = async () => {
      await platform.client.invoke("redeployed", {})
      return processes().every((count, i) => count > (resting[i] ?? 0))
    }
    await until(invoked, { name: "an instance on each host", timeoutMs: 20_000 })
    const before = { processes: processes(), bytes: platform.hosts.map(({ pid }) => residentBytes(pid)) }

    let failed = 0
    let mixed = 0
    let stale = 0
    /** @type {number[]} */
    const callMs = []
    const load = openLoop(CALLS_PER_SECOND, async () => {
      const oldest = live
      const sentAt = performance.now()
      const result = await platform.client.tryInvoke("redeployed", {}, { timeoutMs: 10_000 })
      callMs.push(performance.now() - sentAt)
      if (!result.ok) {
        failed++
        return log(`${result.error.reason}: ${result.error.message}`)
      }
      const versions = new Set(result.events.map(({ data }) => String(data)))
      if (versions.size !== 1 || result.events.length !== 2) mixed++
      if (Number([...versions][0]?.split(".")[2]) < oldest) stale++
    })
    /** @type {number[]} */
    const deployMs = []
    for (let patch = 2; patch <= cycles + 1; patch++) {
      const startedAt = performance.now()
      await deploy(patch)
      deployMs.push(performance.now() - startedAt)
      if (patch % 50 === 0) log(`${patch} deploys, ${load.made} calls`)
    }
    const calls = await load.stop()
    // Instances of old versions end once their last call has.
    const isSettled = () => processes().every((count, i) => count <= (before.processes[i] ?? 0))
    const settled = await until(isSettled, { name: "old instances to end", timeoutMs: 15_000 }).catch(() => false)

    tally.figure("redeploys", cycles)
    tally.check("calls", calls, (made) => made > 0)
    tally.check("calls that failed", failed)
    tally.check("replies of two versions", mixed)
    tally.check("replies of a version older than the last deploy", stale)
    tally.check(
      "hosts with more processes than before",
      settled ? 0 : processes().filter((count, i) => count > (before.processes[i] ?? 0)).length,
    )
    tally.figure("deploy, ms, p50 and p99", `${quantile(deployMs, 0.5)} ${quantile(deployMs, 0.99)}`)
    tally.figure("call, ms, p50 and p99", `${quantile(callMs, 0.5)} ${quantile(callMs, 0.99)}`)
    const after = platform.hosts.map(({ pid }) => residentBytes(pid))
    tally.figure("host memory, MB, before and after", `${before.bytes.map(megabytes).join(" ")} → ${after.map(megabytes).join(" ")}`)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
