import { startTestServer, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { headers as natsHeaders } from "@nats-io/transport-node"
import { artifact, manifest } from "../../test/contract.js"
import { connectRegistry } from "./connect.js"
import { registryNames } from "./names.js"
import { checkServerVersion, setupPlatform } from "./setup.js"

/** What a platform of the default prefix consists of. */
const STORES = [
  "functions",
  "function-ARTIFACTS-default",
  "FUNCTION_QUEUE",
  "FUNCTION_RESULTS",
  "FUNCTION_EXECUTIONS",
  "FUNCTION_DLQ",
  "FUNCTION_CLAIMS",
  "function-PAYLOADS",
]
const NS_PER_MS = 1_000_000

describe("setupPlatform", () => {
  test("creates buckets and streams once, then changes nothing", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const first = await setupPlatform(nc)
    expect(first.clustered).toBe(false)
    expect(first.stores.map(({ name }) => name)).toEqual(STORES)
    expect(first.stores.every(({ action, changes }) => action === "created" && changes.length === 0)).toBe(true)
    const jsm = await jetstreamManager(nc)
    const { config } = await jsm.streams.info("KV_functions")
    expect(config).toMatchObject({
      max_msgs_per_subject: 10,
      republish: { src: "$KV.functions.>", dest: "fn.registry.>" },
      num_replicas: 1,
    })
    expect(config.max_bytes).toBeGreaterThan(0)
    const again = await setupPlatform(nc)
    expect(again.stores.map(({ name }) => name)).toEqual(STORES)
    expect(again.stores.every(({ action }) => action === "unchanged")).toBe(true)
  })

  test("R-IV-7: the queue refuses what is too much for one function, keeps everything else, and tells hosts of what it stores", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    await setupPlatform(nc, { maxPending: 2 })
    const wakes: string[] = []
    nc.subscribe("function.wake.>", {
      callback: (_error, msg) => void wakes.push(`${msg.subject} ${msg.headers?.get("Fn-Test")} ${msg.data.length}`),
    })
    const js = (await jetstreamManager(nc)).jetstream()
    const headers = natsHeaders()
    headers.set("Fn-Test", "here")
    await js.publish("function.queue.default.slow", "data", { headers })
    await js.publish("function.queue.default.slow", "data", { headers })
    await expect(js.publish("function.queue.default.slow", "data")).rejects.toMatchObject({ code: 10077 })
    await js.publish("function.queue.default.other", "data", { headers })
    await until(() => wakes.length === 3, { name: "the wake-up calls" })
    expect(wakes).toEqual(["slow", "slow", "other"].map((name) => `function.wake.default.${name} here 0`))
  })

  test("ages that are asked for are taken and kept, and payloads stay as long as anything may name them", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const jsm = await jetstreamManager(nc)
    const ageMs = async (stream: string) => (await jsm.streams.info(stream)).config.max_age / NS_PER_MS
    await setupPlatform(nc, { resultAgeMs: 7_200_000 })
    expect(await ageMs("FUNCTION_RESULTS")).toBe(7_200_000)
    expect(await ageMs("OBJ_function-PAYLOADS")).toBe(7 * 86_400_000 + 3_600_000)
    const changed = await setupPlatform(nc, { deadLetterAgeMs: 30 * 86_400_000, claimAgeMs: 3_600_000, executionAgeMs: 60_000 })
    expect(changed.stores.filter(({ action }) => action === "changed")).toEqual([
      {
        name: "FUNCTION_EXECUTIONS",
        kind: "stream",
        action: "changed",
        changes: ["max_age: 86400 s → 60 s", "duplicate_window: 120 s → 60 s"],
      },
      { name: "FUNCTION_DLQ", kind: "stream", action: "changed", changes: ["max_age: 604800 s → 2592000 s"] },
      { name: "FUNCTION_CLAIMS", kind: "stream", action: "changed", changes: ["max_age: 86400 s → 3600 s"] },
      { name: "function-PAYLOADS", kind: "object", action: "changed", changes: ["max_age: 608400 s → 2595600 s"] },
    ])
    expect((await setupPlatform(nc)).stores.every(({ action }) => action === "unchanged")).toBe(true)
    expect(await ageMs("FUNCTION_RESULTS")).toBe(7_200_000)
  })

  test("a bound for what is made anew leaves alone what is there", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const jsm = await jetstreamManager(nc)
    await setupPlatform(nc, { maxBytes: 50_000_000 })
    await jsm.streams.delete("FUNCTION_QUEUE")
    await jsm.streams.delete("OBJ_function-PAYLOADS")
    const { stores } = await setupPlatform(nc, { initialMaxBytes: 20_000_000 })
    expect(stores.filter(({ action }) => action !== "unchanged").map(({ name }) => name)).toEqual(["FUNCTION_QUEUE", "function-PAYLOADS"])
    const bytes = async (stream: string) => (await jsm.streams.info(stream)).config.max_bytes
    expect(await Promise.all(["KV_functions", "FUNCTION_QUEUE", "FUNCTION_DLQ", "OBJ_function-PAYLOADS"].map(bytes))).toEqual([
      50_000_000, 20_000_000, 50_000_000, 20_000_000,
    ])
  })

  test("a queue that somebody let grow old or overflow is repaired", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    await setupPlatform(nc)
    const jsm = await jetstreamManager(nc)
    await jsm.streams.update("FUNCTION_QUEUE", { max_age: 600_000 * NS_PER_MS, max_msgs_per_subject: 7 })
    const { stores } = await setupPlatform(nc)
    expect(stores.filter(({ action }) => action === "changed")).toEqual([
      { name: "FUNCTION_QUEUE", kind: "stream", action: "changed", changes: ["max_age: 600 s → 0 s"] },
    ])
    // How many may wait is the operator's to choose.
    expect((await jsm.streams.info("FUNCTION_QUEUE")).config.max_msgs_per_subject).toBe(7)
  })

  test("streams that are in the way are named, and left alone", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const jsm = await jetstreamManager(nc)
    await jsm.streams.add({ name: "MINE", subjects: ["function.queue.*.*"] })
    await expect(setupPlatform(nc)).rejects.toMatchObject({
      reason: "INVALID_CONFIG",
      message: expect.stringMatching(/FUNCTION_QUEUE \(function\.queue\.>\)/),
    })
    await jsm.streams.delete("MINE")
    await jsm.streams.add({ name: "FUNCTION_QUEUE", subjects: ["function.queue.>"] })
    await expect(setupPlatform(nc)).rejects.toMatchObject({
      reason: "INVALID_CONFIG",
      message: expect.stringContaining("retention: limits → workqueue"),
    })
    expect((await jsm.streams.info("FUNCTION_QUEUE")).config.retention).toBe("limits")
  })

  test("repairs settings that somebody changed, and says which; print only says it", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    await setupPlatform(nc, { maxBytes: 50_000_000 })
    const jsm = await jetstreamManager(nc)
    await jsm.streams.update("KV_functions", { max_msgs_per_subject: 3 })
    await expect(connectRegistry(nc)).rejects.toMatchObject({
      reason: "NOT_SET_UP",
      message: expect.stringContaining("max_msgs_per_subject"),
    })
    const changes = ["max_msgs_per_subject: 3 → 10"]
    expect((await setupPlatform(nc, { print: true })).stores[0]).toMatchObject({ action: "changed", changes })
    expect((await jsm.streams.info("KV_functions")).config.max_msgs_per_subject).toBe(3)
    expect((await setupPlatform(nc)).stores[0]).toMatchObject({ action: "changed", changes })
    expect((await jsm.streams.info("KV_functions")).config).toMatchObject({ max_msgs_per_subject: 10, max_bytes: 50_000_000 })
    const grown = await setupPlatform(nc, { maxBytes: 60_000_000 })
    expect(grown.stores.map(({ changes }) => changes)).toEqual(STORES.map(() => ["max_bytes: 50000000 → 60000000"]))
  })

  test("a bucket whose feed was taken away gets it back", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const jsm = await jetstreamManager(nc)
    await jsm.streams.add({ name: "KV_functions", subjects: ["$KV.functions.>"], max_msgs_per_subject: 10, allow_rollup_hdrs: true })
    await expect(connectRegistry(nc)).rejects.toMatchObject({ reason: "NOT_SET_UP" })
    const changes = ["republish: none → $KV.functions.> → fn.registry.>"]
    expect((await setupPlatform(nc, { print: true })).stores[0]).toMatchObject({ action: "changed", changes })
    try {
      await setupPlatform(nc)
    } catch (thrown) {
      // Servers before 2.10 fix this setting when the stream is made; they must say so.
      expect(nc.info?.version).toMatch(/^2\.9\./)
      expect(thrown).toMatchObject({ reason: "SERVER_TOO_OLD", message: expect.stringContaining("republish") })
      return
    }
    const registry = await connectRegistry(nc)
    await registry.close()
  })

  test("where it never ran, there is nothing to connect to", async () => {
    await using server = await startTestServer()
    await expect(connectRegistry(await server.connect())).rejects.toMatchObject({ code: "failed_precondition", reason: "NOT_SET_UP" })
  })

  test("a server without JetStream is named as such", async () => {
    await using server = await startTestServer({ jetstream: false })
    const nc = await server.connect()
    await expect(setupPlatform(nc)).rejects.toMatchObject({ reason: "JETSTREAM_OFF" })
    await expect(connectRegistry(nc)).rejects.toMatchObject({ reason: "JETSTREAM_OFF" })
    await expect(setupPlatform(nc, { jsDomain: "hub" })).rejects.toMatchObject({
      reason: "JETSTREAM_OFF",
      message: expect.stringContaining("hub"),
    })
  })

  test("an account without JetStream is named as such", async () => {
    await using server = await startTestServer({
      config:
        "accounts { APP { users: [ { user: app, password: app } ] }, JS { jetstream: enabled, users: [ { user: js, password: js } ] } }",
    })
    const nc = await server.connect({ user: "app", password: "app" })
    await expect(setupPlatform(nc)).rejects.toMatchObject({ reason: "JETSTREAM_OFF" })
  })

  test("room that the server does not have is STORAGE_FULL, and so is a bucket that is full", async () => {
    await using server = await startTestServer({
      config: "accounts { APP { jetstream { max_mem: 1MB, max_file: 9MB }, users: [ { user: app, password: app } ] } }",
    })
    const nc = await server.connect({ user: "app", password: "app" })
    await expect(setupPlatform(nc)).rejects.toMatchObject({ reason: "STORAGE_FULL" })
    await setupPlatform(nc, { maxBytes: 1_000_000 })
    const registry = await connectRegistry(nc)
    await expect(registry.artifacts.put("default", new Uint8Array(1_500_000).fill(1))).rejects.toMatchObject({ reason: "STORAGE_FULL" })
    await registry.close()
  })

  test.each([
    ["2.9.9", false, "2.9.10"],
    ["2.9.20", true, "2.9.21"],
    ["2.8.4", true, "2.9.21"],
    ["2.9.10-rc.1", false, "2.9.10"],
  ])("nats-server %s (clustered: %s) is refused: %s is needed", (version, clustered, needed) => {
    expect(() => checkServerVersion(version, clustered)).toThrow(expect.objectContaining({ reason: "SERVER_TOO_OLD" }))
    expect(() => checkServerVersion(version, clustered)).toThrow(needed)
  })

  test("nats-server 2.9.10 standalone and 2.9.21 clustered are taken", () => {
    checkServerVersion("2.9.10", false)
    checkServerVersion("2.9.21", true)
    checkServerVersion("2.15.2", true)
  })
})

describe("prefixes", () => {
  test("two platforms share an account and see nothing of each other", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    const blue = { prefix: "blue", maxBytes: 10_000_000 }
    expect((await setupPlatform(nc, blue)).stores.map(({ name }) => name)).toEqual([
      "blue-functions",
      "blue-ARTIFACTS-default",
      "blue-QUEUE",
      "blue-RESULTS",
      "blue-EXECUTIONS",
      "blue-DLQ",
      "blue-CLAIMS",
      "blue-PAYLOADS",
    ])
    await setupPlatform(nc)
    const one = await connectRegistry(nc)
    const two = await connectRegistry(nc, { prefix: "blue" })
    const seen: string[] = []
    await one.watch({ onChange: (change) => seen.push(change.name) })
    const ours = manifest()
    const theirs = manifest()
    await two.deploy(theirs, { artifact: artifact("theirs"), awaitServed: false })
    const { digest } = await one.deploy(ours, { artifact: artifact("ours"), awaitServed: false })
    expect(seen).toEqual([ours.name])
    expect(await two.findFunction({ namespace: "default", name: ours.name })).toBeUndefined()
    await expect(two.artifacts.get("default", digest as string)).rejects.toMatchObject({ reason: "ARTIFACT_NOT_FOUND" })
    await one.close()
    await two.close()
  })

  test("a prefix that is no NATS token is refused", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    await expect(setupPlatform(nc, { prefix: "a.b" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
    await expect(connectRegistry(nc, { prefix: ">" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
  })

  test("no two pairs of prefix and namespace share an artifact bucket", () => {
    expect(registryNames("x").artifacts("y-artifacts-z")).not.toBe(registryNames("x-artifacts-y").artifacts("z"))
    expect(registryNames("x-ARTIFACTS-y").artifacts("z")).not.toBe(registryNames("x").artifacts("y"))
  })

  test("a namespace's bucket is made on its first deploy, like the default one", async () => {
    await using server = await startTestServer()
    const nc = await server.connect()
    await setupPlatform(nc, { maxBytes: 20_000_000 })
    const registry = await connectRegistry(nc)
    await registry.artifacts.put("team-a", artifact("x"))
    const jsm = await jetstreamManager(nc)
    expect((await jsm.streams.info("OBJ_function-ARTIFACTS-team-a")).config).toMatchObject({ max_bytes: 20_000_000, num_replicas: 1 })
    await registry.close()
  })
})

test("from a leaf node, the hub's registry is reached by its JetStream domain", async () => {
  await using hub = await startTestServer({ config: "jetstream { domain: hub }\nleafnodes { listen: 127.0.0.1:-1 }" })
  // The ports file does not tell it.
  const [, leafAddress] = /leafnode connections on (\S+)/.exec(hub.server.logTail()) ?? []
  await using edge = await startTestServer({ jetstream: false, config: `leafnodes { remotes: [ { url: "nats://${leafAddress}" } ] }` })
  const nc = await edge.connect()
  const far = { jsDomain: "hub" }
  await until(() => setupPlatform(nc, far), { name: `the link to ${leafAddress}` })
  const registry = await connectRegistry(nc, far)
  const seen: string[] = []
  await registry.watch({ onChange: (change) => seen.push(change.name) })
  const wanted = manifest()
  const { ref, digest } = await registry.deploy(wanted, { artifact: artifact("from afar"), awaitServed: false })
  await until(() => seen.includes(wanted.name), { name: "the change across the link" })
  expect(Buffer.compare(await registry.artifacts.get("default", digest as string), artifact("from afar"))).toBe(0)
  expect((await registry.history(ref)).length).toBe(1)
  const onHub = await connectRegistry(await hub.connect())
  expect((await onHub.getDefinition(ref)).version).toBe("0.0.1")
  await onHub.deleteFunction(ref)
  await until(async () => (await registry.findFunction(ref)) === undefined, { name: "the deletion" })
  await onHub.close()
  await registry.close()
})
