/** A caller that names one of the platform's own subjects as its reply subject, on a real registry: nothing runs and nothing is written. */
import { writeFileSync } from "node:fs"
import { until } from "@fn/testing"
import { expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { startPlatform } from "../support/platform.mjs"
import { readTrace, TRACED } from "../support/side-effects.mjs"

test("a reply subject that is no inbox runs nothing and changes neither registry nor artifacts", async () => {
  await using platform = await startPlatform({ hosts: 2 })
  const { nc, registry } = platform
  const file = platform.folder.file("trace")
  writeFileSync(file, "")
  await platform.deployModule("victim", TRACED, { config: { file } })
  const ref = { namespace: "default", name: "victim" }
  const before = await registry.getFunction(ref)
  const jsm = await jetstreamManager(nc)
  const lastSequences = async (): Promise<unknown> => {
    const streams = await jsm.streams.list().next()
    return Object.fromEntries(streams.map(({ config, state }) => [config.name, state.last_seq]))
  }
  const written = await lastSequences()

  const refusals = async (): Promise<number> => {
    const stats = await Promise.all(
      platform.hosts.map(async ({ host }) =>
        (await nc.request(`$SRV.STATS.fn-runtime.${host}`, "")).json<{ endpoints: { num_errors: number }[] }>(),
      ),
    )
    return stats.flatMap(({ endpoints }) => endpoints).reduce((sum, { num_errors }) => sum + num_errors, 0)
  }
  const subjects = [
    "$KV.functions.f.default.victim",
    "$KV.functions.f.default.x",
    "$O.function-ARTIFACTS-default.M.x",
    "$JS.API.STREAM.PURGE.KV_functions",
    "$JS.API.STREAM.DELETE.KV_functions",
    "function.js.victim",
    "function.queue.default.victim",
    "function.result.x",
    "fn.registry.$KV.functions.f.default.victim",
    "event.default.x",
  ]
  for (const reply of subjects) {
    nc.publish("function.js.victim", "{}", { reply })
    nc.publish("function.invoke", `{"functionName":"victim","event":{"id":"1","source":"s","type":"t"}}`, { reply })
  }
  await until(async () => (await refusals()) === subjects.length * 2, { name: "every one of them to be refused" })

  expect(readTrace(file).starts.size).toBe(0)
  expect(await registry.getFunction(ref)).toEqual(before)
  expect(await lastSequences()).toEqual(written)
  // The same calls with an inbox do run.
  expect(await platform.client.invoke("victim", {})).toHaveLength(1)
  expect(readTrace(file).starts.size).toBe(1)
}, 60_000)
