/** The whole main job on the oldest server we promise to run on: 2.9.10, as Debian 12 packages it. */
import { fileURLToPath } from "node:url"
import { oldestServer, until } from "@fn/testing"
import { expect, test } from "@jest/globals"
import { startPlatform } from "../support/platform.mjs"

const PLUGIN = fileURLToPath(new URL("./fixtures/versioned/main.mjs", import.meta.url))

test("on nats-server 2.9: deploy, invoke by client, HTTP and bare NATS, redeploy, list, lose a host, delete", async () => {
  const server = await oldestServer("the main job")
  if (!server) return
  await using platform = await startPlatform({ hosts: 2, gateway: true, server: { binary: server.binary } })
  expect(platform.nc.info?.version).toBe(server.version)
  const { client, registry } = platform

  // Larger than a chunk of the object store.
  const source = `export default (event) => ({ type: "v1", data: event.data })\n${"// filler\n".repeat(40_000)}`
  const deployed = await platform.deployModule("job", source, { version: "1.0.0" })
  expect(deployed).toMatchObject({ warnings: [], hosts: [{ served: true }, { served: true }] })
  expect(await client.invoke("job", { n: 1 })).toMatchObject([{ type: "v1", data: { n: 1 } }])
  const response = await fetch(`${platform.http}/function/job`, {
    method: "POST",
    body: `{"n":2}`,
    headers: { "content-type": "application/json" },
  })
  expect([response.status, response.headers.get("ce-type"), await response.json()]).toEqual([200, "v1", { n: 2 }])
  const reply = await platform.nc.request("function.js.job", `{"n":3}`, { timeout: 5_000 })
  expect([reply.headers?.get("ce-type"), reply.json()]).toEqual(["v1", { n: 3 }])

  await platform.deployModule("job", `export default () => ({ type: "v2" })`, { version: "2.0.0" })
  expect(await client.invoke("job", {})).toMatchObject([{ type: "v2" }])
  expect(await client.invoke("job@1.0.0", {})).toMatchObject([{ type: "v1" }])
  await platform.deployPlugin("plugged", [process.execPath, PLUGIN], { env: { VERSION: "7" } })
  expect((await client.invoke("plugged", {})).map(({ data }) => data)).toEqual(["7", "7", "7"])
  const names: string[] = []
  for await (const { record } of registry.listFunctions()) names.push(record.name)
  expect(names).toEqual(["job", "plugged"])

  await platform.hosts[0]?.crash()
  expect(await client.invoke("job", {}, { timeoutMs: 5_000 })).toMatchObject([{ type: "v2" }])
  await platform.server.restart()
  // Each connection comes back in its own time: a call may be sooner than the host.
  await until(async () => (await client.tryInvoke("job", {})).ok, { name: "the host to be back", timeoutMs: 15_000 })
  await until(() => platform.nc.rtt(), { name: "the registry's connection to be back", timeoutMs: 15_000 })
  await registry.deleteFunction({ namespace: "default", name: "job" })
  expect(await client.tryInvoke("job", {})).toMatchObject({ ok: false, error: { reason: "FUNCTION_NOT_FOUND" } })
}, 240_000)
