/** NATS is down for a minute: nothing accepted is lost, and everybody goes on by themselves. */
import { setTimeout as delay } from "node:timers/promises"
import { until } from "@fn/testing"
import { startPlatform } from "../support/platform.mjs"
import { quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "NATS down for a minute"

const QUEUED = 200
const ANSWER = (/** @type {number} */ version) => `
import { setTimeout as delay } from "node:timers/promises"
export default async (event) => {
  if (event.data?.ms) await delay(event.data.ms)
  return { type: "done", data: { version: ${version}, n: event.data?.n ?? null } }
}
`

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const downMs = scaled(60_000, scale, 10_000)
  const platform = await startPlatform({ hosts: 2 })
  const { client, registry, server } = platform
  try {
    await platform.deployModule("steady", ANSWER(1), { version: "1.0.0", concurrency: 8, queue: { ackWaitMs: 5_000 } })
    await client.invoke("steady", { n: 0 })
    const pids = platform.hosts.map(({ pid }) => pid)
    // Some of them run when the connection goes, the rest wait in the queue.
    const ids = await Promise.all(Array.from({ length: QUEUED }, (_, n) => client.invokeAsync("steady", { n, ms: 200 })))
    const waiting = ids.map((id) =>
      client.result(id, { timeoutMs: downMs + 120_000 }).then(
        ([event]) => event,
        () => undefined,
      ),
    )
    const inFlight = Array.from({ length: 8 }, (_, n) => client.tryInvoke("steady", { n, ms: 30_000 }))
    await delay(500)
    const cutAt = performance.now()
    await server.stop()
    const cut = await Promise.all(inFlight)
    const cutMs = performance.now() - cutAt
    tally.check(
      "calls in flight at the cut that did not fail DISCONNECTED",
      cut.filter((result) => result.ok || result.error.reason !== "DISCONNECTED").length,
    )
    tally.check("time until they failed, ms", Math.round(cutMs), (ms) => ms < 3_000)

    /** @type {number[]} */
    const refusedMs = []
    let otherwise = 0
    while (performance.now() - cutAt < downMs) {
      const began = performance.now()
      const results = await Promise.all([
        client.tryInvoke("steady", { n: 1 }),
        client.invokeAsync("steady", { n: 1 }).then(
          () => ({ ok: true, error: undefined }),
          (error) => ({ ok: false, error }),
        ),
      ])
      refusedMs.push(performance.now() - began)
      otherwise += results.filter((result) => result.ok || result.error?.reason !== "DISCONNECTED").length
      await delay(1_000)
    }
    tally.check("calls meanwhile", refusedMs.length * 2, (made) => made > 4)
    tally.check("of them not refused DISCONNECTED", otherwise)
    tally.check("longest time until refused, ms", quantile(refusedMs, 1), (ms) => ms < 4_000)

    await server.restart()
    const backAt = performance.now()
    await until(async () => (await client.tryInvoke("steady", { n: 2 })).ok, { name: "a call to succeed", timeoutMs: 30_000 })
    tally.check("time until the first call succeeded, ms", Math.round(performance.now() - backAt), (ms) => ms < 10_000)
    const results = await Promise.all(waiting)
    tally.figure("time until all queued ones had their results, ms", Math.round(performance.now() - backAt))
    tally.check(
      "accepted before the cut and without the right result",
      results.filter((event, n) => /** @type {{ n?: number } | undefined} */ (event?.data)?.n !== n).length,
    )
    // Consumers and watches too.
    const deployed = await platform.deployModule("steady", ANSWER(2), { version: "2.0.0", concurrency: 8, queue: { ackWaitMs: 5_000 } })
    tally.check("hosts that did not take a deploy afterwards", 2 - deployed.hosts.filter(({ served }) => served).length)
    const [byId] = await client.result(await client.invokeAsync("steady", { n: 3 }), { timeoutMs: 30_000 })
    tally.check(
      "version that async work runs on afterwards",
      Number(/** @type {{ version?: number } | undefined} */ (byId?.data)?.version),
      (version) => version === 2,
    )
    await registry.getFunction({ namespace: "default", name: "steady" })
    tally.check(
      "hosts that were replaced",
      platform.hosts.filter(({ pid, child }) => !pids.includes(pid) || child.exit !== undefined).length,
    )
    log(`down for ${Math.round((backAt - cutAt) / 1000)} s`)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
