import { readdir, readFile } from "node:fs/promises"
import type { NatsConnection } from "@fn/nats"
import { startTestServer, type TestServer, tempDir } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { jetstream, jetstreamManager } from "@nats-io/jetstream"
import { Objm } from "@nats-io/obj"
import type { ArtifactStore, Registry } from "../registry.js"
import { connectRegistry } from "./connect.js"
import { setupPlatform } from "./setup.js"

const BUCKET = "function-ARTIFACTS-default"

describe("artifacts in the object store", () => {
  let server: TestServer
  let nc: NatsConnection
  let registry: Registry
  let artifacts: ArtifactStore
  let serial = 0

  beforeAll(async () => {
    server = await startTestServer()
    nc = await server.connect()
    await setupPlatform(nc)
    registry = await connectRegistry(nc)
    artifacts = registry.artifacts
  })
  afterAll(async () => {
    await registry.close()
    await server[Symbol.asyncDispose]()
  })

  /** Bytes no other test has, in three chunks. */
  function bytes(): Buffer {
    return Buffer.alloc(300_000, `artifact ${++serial} `)
  }

  /** Flips a byte of the object's second chunk in the stream: same subjects, same order, other content. */
  async function flipByte(digest: string): Promise<void> {
    const store = await new Objm(nc).open(BUCKET)
    const info = await store.info(digest.slice("sha256:".length))
    const subject = `$O.${BUCKET}.C.${info?.nuid}`
    const jsm = await jetstreamManager(nc)
    const js = jetstream(nc)
    const chunks: Uint8Array[] = []
    let seq = 1
    for (;;) {
      const message = await jsm.direct.getMessage(`OBJ_${BUCKET}`, { seq, next_by_subj: subject }).catch(() => null)
      if (!message) break
      chunks.push(message.data)
      seq = message.seq + 1
    }
    expect(chunks.length).toBeGreaterThan(2)
    const [, second] = chunks
    if (second) second[17] = (second[17] as number) ^ 1
    await jsm.streams.purge(`OBJ_${BUCKET}`, { filter: subject })
    for (const chunk of chunks) await js.publish(subject, chunk)
  }

  test("R-PL-5: a flipped byte is found on read, and no file is left", async () => {
    await using folder = await tempDir()
    const { digest } = await artifacts.put("default", bytes())
    await flipByte(digest)
    await expect(artifacts.get("default", digest)).rejects.toMatchObject({ code: "data_loss", reason: "DIGEST_MISMATCH" })
    await expect(artifacts.getToFile("default", digest, folder.file("copy"))).rejects.toMatchObject({ reason: "DIGEST_MISMATCH" })
    expect(await readdir(folder.path)).toEqual([])
  })

  test("deploying a damaged artifact again mends it", async () => {
    const content = bytes()
    const { digest } = await artifacts.put("default", content)
    await flipByte(digest)
    await artifacts.put("default", content)
    expect(Buffer.compare(await artifacts.get("default", digest), content)).toBe(0)
  })

  test("R-RG-2: equal content is stored once", async () => {
    const content = bytes()
    const jsm = await jetstreamManager(nc)
    const messages = async (): Promise<number> => (await jsm.streams.info(`OBJ_${BUCKET}`)).state.messages
    const before = await messages()
    await artifacts.put("default", content)
    const stored = await messages()
    expect(stored - before).toBe(4)
    await artifacts.put("default", content)
    expect(await messages()).toBe(stored)
  })

  test("several who store the same bytes at once all succeed, and it stays readable", async () => {
    const content = bytes()
    const results = await Promise.all([1, 2, 3].map(() => artifacts.put("default", content)))
    expect(new Set(results.map(({ digest }) => digest)).size).toBe(1)
    expect(Buffer.compare(await artifacts.get("default", results[0]?.digest as string), content)).toBe(0)
  })

  test("an object that was deleted is not found, and can be stored again", async () => {
    const content = bytes()
    const { digest } = await artifacts.put("default", content)
    const store = await new Objm(nc).open(BUCKET)
    await store.delete(digest.slice("sha256:".length))
    await expect(artifacts.get("default", digest)).rejects.toMatchObject({ reason: "ARTIFACT_NOT_FOUND" })
    await artifacts.put("default", content)
    expect((await artifacts.get("default", digest)).length).toBe(content.length)
  })

  test("a file that is written appears whole, under its name only, and not executable", async () => {
    await using folder = await tempDir()
    const content = bytes()
    const { digest } = await artifacts.put("default", content)
    await artifacts.getToFile("default", digest, folder.file("plugin"))
    expect(await readdir(folder.path)).toEqual(["plugin"])
    expect(Buffer.compare(await readFile(folder.file("plugin")), content)).toBe(0)
    await expect(artifacts.getToFile("default", digest, folder.file("no", "such"))).rejects.toThrow("ENOENT")
  })

  test("reading leaves no consumer behind on the server", async () => {
    const { digest } = await artifacts.put("default", bytes())
    await artifacts.get("default", digest)
    const jsm = await jetstreamManager(nc)
    expect((await jsm.streams.info(`OBJ_${BUCKET}`)).state.consumer_count).toBe(0)
  })

  test("progress grows to the whole size", async () => {
    const sent: number[] = []
    const content = bytes()
    await artifacts.put("default", content, { onProgress: (sentBytes) => sent.push(sentBytes) })
    expect(sent).toEqual([...sent].sort((a, b) => a - b))
    expect(sent.at(-1)).toBe(content.length)
  })
})

test("artifacts fit through a server with a small max_payload", async () => {
  await using server = await startTestServer({ maxPayload: 16_384 })
  const nc = await server.connect()
  await setupPlatform(nc)
  const registry = await connectRegistry(nc)
  const content = Buffer.alloc(100_000, "small pieces ")
  const { digest } = await registry.artifacts.put("default", content)
  expect(Buffer.compare(await registry.artifacts.get("default", digest), content)).toBe(0)
  const big = { name: "big", language: "js", runtime: "builtin", config: { text: "x".repeat(30_000) } } as const
  await expect(registry.deploy(big)).rejects.toMatchObject({ reason: "PAYLOAD_TOO_LARGE" })
  await registry.close()
})
