/**
 * Async invocations while hosts are killed every few seconds and the NATS server twice: every accepted one has exactly one result.
 */
import { setTimeout as delay } from "node:timers/promises"
import { until } from "@fn/testing"
import { asyncLoad, executionsIn, messagesIn } from "../support/async-load.mjs"
import { startPlatform } from "../support/platform.mjs"
import { TRACED } from "../support/side-effects.mjs"
import { scaled, Tally } from "../support/tally.mjs"

export const name = "async invocations, hosts and server killed"

const KILL_EVERY_MS = 2_000

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const count = scaled(20_000, scale, 1_000)
  const platform = await startPlatform({ hosts: 2 })
  try {
    const file = platform.folder.file("trace")
    // A host's death shows after ackWait; ten attempts, because no invocation should be given up for the kills of this test.
    await platform.deployModule("traced", TRACED, {
      config: { file },
      concurrency: 16,
      retry: { attempts: 10, initialMs: 100 },
      queue: { ackWaitMs: 5_000 },
    })
    let stopped = false
    let kills = 0
    const killing = (async () => {
      while (!stopped) {
        await delay(KILL_EVERY_MS)
        const victim = platform.hosts[0]
        if (!victim || stopped) continue
        await victim.crash()
        platform.hosts.shift()
        kills++
        await platform.startHost([], victim.host)
        log(`killed ${victim.host}`)
      }
    })()
    let restarts = 0
    /** @type {Promise<void>} */
    let restarting = Promise.resolve()
    const startedAt = performance.now()
    const load = asyncLoad(platform.client, {
      fn: "traced",
      count,
      ms: 10,
      onAccepted: (soFar) => {
        if (restarts >= 2 || soFar < ((restarts + 1) * count) / 3) return
        restarts++
        log(`server restarted at ${soFar}`)
        restarting = restarting.then(() => platform.server.restart())
      },
    })
    const { accepted, refused, results, without, wrong } = await load
    const tookMs = performance.now() - startedAt
    stopped = true
    await killing
    await restarting
    // The queue is empty once the last one is acknowledged.
    const left = await until(async () => (await messagesIn(platform.nc, "FUNCTION_QUEUE")) === 0, {
      name: "the queue to be empty",
      timeoutMs: 60_000,
    }).then(
      () => 0,
      () => messagesIn(platform.nc, "FUNCTION_QUEUE"),
    )
    const { ran, again } = executionsIn(file)
    tally.figure("host kills", kills)
    tally.figure("time, s", Math.round(tookMs / 1000))
    tally.figure("refused at the door and sent anew", refused)
    tally.check("server restarts", restarts, (made) => made === 2)
    tally.check("accepted", accepted.length, (made) => made === count)
    tally.check("accepted twice", accepted.length - new Set(accepted).size)
    tally.check("without a result", without.length)
    tally.check("with another's result", wrong.length)
    tally.check("results that are failures", [...results.values()].filter((result) => result !== "ok").length)
    // One that was stored although its sender heard of a failure has a result too: never less than one each.
    const stored = await messagesIn(platform.nc, "FUNCTION_RESULTS")
    tally.check("stored results missing", Math.max(0, accepted.length - stored))
    tally.check("stored results of nobody", Math.max(0, stored - accepted.length - refused))
    tally.check("accepted that never ran", accepted.length - Math.min(ran, accepted.length))
    tally.figure("executions beyond one each (at least once)", again)
    tally.check("left in the queue", left)
    tally.check("dead letters", await messagesIn(platform.nc, "FUNCTION_DLQ"))
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
