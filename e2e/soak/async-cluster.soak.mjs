/** Async invocations on a cluster of three (R3) while the leader of the queue is killed again and again. */
import { setTimeout as delay } from "node:timers/promises"
import { startTestCluster, until } from "@fn/testing"
import { asyncLoad, executionsIn, messagesIn, streamLeader } from "../support/async-load.mjs"
import { startPlatformOn } from "../support/platform.mjs"
import { TRACED } from "../support/side-effects.mjs"
import { scaled, Tally } from "../support/tally.mjs"

export const name = "async invocations on a cluster, the queue's leader killed"

const KILL_EVERY_MS = 8_000

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const count = scaled(20_000, scale, 1_000)
  const platform = await startPlatformOn(await startTestCluster(), { hosts: 2, replicas: 3 })
  const { client, nc, server } = platform
  try {
    const file = platform.folder.file("trace")
    await platform.deployModule("traced", TRACED, {
      config: { file },
      concurrency: 16,
      retry: { attempts: 10, initialMs: 100 },
      queue: { ackWaitMs: 5_000 },
    })
    let stopped = false
    let kills = 0
    const kill = async () => {
      const leader = await streamLeader(nc, "FUNCTION_QUEUE")
      if (!leader) return
      kills++
      log(`killed ${leader}, the leader of FUNCTION_QUEUE`)
      await server.kill(leader)
      await delay(2_000)
      await server.restart(leader)
    }
    const killing = (async () => {
      while (!stopped) {
        await kill()
        await delay(KILL_EVERY_MS)
      }
    })()
    const startedAt = performance.now()
    const { accepted, refused, results, without, wrong } = await asyncLoad(client, { fn: "traced", count })
    const tookMs = performance.now() - startedAt
    stopped = true
    await killing
    const empty = async () => (await messagesIn(nc, "FUNCTION_QUEUE")) === 0
    await until(empty, { name: "the queue to be empty", timeoutMs: 60_000 })
    const { ran, again } = executionsIn(file)
    tally.figure("time, s", Math.round(tookMs / 1000))
    tally.figure("refused at the door and sent anew", refused)
    tally.check("kills of the leader", kills, (made) => made > 0)
    tally.check("accepted", accepted.length, (made) => made === count)
    tally.check("without a result", without.length)
    tally.check("with another's result", wrong.length)
    tally.check("results that are failures", [...results.values()].filter((result) => result !== "ok").length)
    // An invocation that was stored although its sender heard of a failure has a result too.
    tally.check("stored results missing", Math.max(0, accepted.length - (await messagesIn(nc, "FUNCTION_RESULTS"))))
    tally.check("accepted that never ran", accepted.length - Math.min(ran, accepted.length))
    tally.figure("executions beyond one each (at least once)", again)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
