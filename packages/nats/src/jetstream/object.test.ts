import { createHash, randomBytes } from "node:crypto"
import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import { Objm, setSha256Backend } from "@nats-io/obj"
import { freeze, serverBinaries, startFixture } from "../../test/support.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import { deleteObject, findObject, readObject, type StoredObject, writeObject } from "./object.js"
import { findMessage } from "./stored-message.js"

const SERVERS = await serverBinaries("objects")
const CHUNK_BYTES = 1_000
const BUCKET = "things"

setSha256Backend("native")

describe.each(SERVERS)("objects on $server", ({ binary }) => {
  async function openBucket(maxBytes = 100_000_000) {
    const fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    const store = await new Objm(nc).create(BUCKET, { storage: "file", max_bytes: maxBytes })
    const jsm = await jetstreamManager(nc)
    const inbox = new ReplyInbox(nc)
    const close = async (): Promise<void> => {
      inbox.dispose()
      await fixture[Symbol.asyncDispose]()
    }
    const write = (name: string, data: Uint8Array, chunkBytes = CHUNK_BYTES) =>
      writeObject(inbox, { bucket: BUCKET, name }, [data], { chunkBytes })
    const messages = async (): Promise<number> => (await jsm.streams.info(`OBJ_${BUCKET}`)).state.messages
    return { inbox, store, jsm, write, messages, [Symbol.asyncDispose]: close }
  }

  async function read(inbox: ReplyInbox, name: string): Promise<Buffer> {
    const chunks: Uint8Array[] = []
    await readObject(inbox, (await findObject(inbox, BUCKET, name)) as StoredObject, (chunk) => void chunks.push(chunk))
    return Buffer.concat(chunks)
  }

  test("are read as they were written, by us and by other clients, whoever wrote them, and no consumer stays behind", async () => {
    await using opened = await openBucket()
    const { inbox, store, jsm, write } = opened
    for (const sizeBytes of [0, 1, 999, 1_000, 1_001, 12_345]) {
      const data = randomBytes(sizeBytes)
      await write(`ours ${sizeBytes}`, data)
      await store.putBlob({ name: `theirs ${sizeBytes}`, options: { max_chunk_size: CHUNK_BYTES } }, data)
      for (const name of [`ours ${sizeBytes}`, `theirs ${sizeBytes}`]) expect(data.equals(await read(inbox, name))).toBe(true)
      expect((await jsm.consumers.list(`OBJ_${BUCKET}`).next()).length).toBe(0)
    }
    for (const sizeBytes of [0, 12_345]) {
      expect(Buffer.from((await store.getBlob(`ours ${sizeBytes}`)) ?? []).equals(await read(inbox, `ours ${sizeBytes}`))).toBe(true)
      expect(await store.info(`ours ${sizeBytes}`)).toMatchObject({ size: sizeBytes, chunks: Math.ceil(sizeBytes / CHUNK_BYTES) })
    }
  })

  test("whose chunks lie among those of others are read whole", async () => {
    await using opened = await openBucket()
    const { inbox, write, jsm } = opened
    const all = Array.from({ length: 8 }, (_, i) => ({ name: `n${i}`, data: randomBytes(1_000 * (5 + i * 3) + i) }))
    await Promise.all(all.map(({ name, data }) => write(name, data)))
    // Not one after the other by chance.
    const subjects: (string | undefined)[] = []
    for (let seq = 1; seq <= 8; seq++) subjects.push((await jsm.streams.getMessage(`OBJ_${BUCKET}`, { seq }))?.subject)
    expect(new Set(subjects).size).toBeGreaterThan(2)
    await Promise.all(all.map(async ({ name, data }) => expect(data.equals(await read(inbox, name))).toBe(true)))
  })

  test("that are not there, or not any more, are undefined; a deleted one leaves nothing behind", async () => {
    await using opened = await openBucket()
    const { inbox, store, write, messages } = opened
    expect(await findObject(inbox, BUCKET, "nobody")).toBeUndefined()
    const object = await write("mine", randomBytes(5_000))
    expect(await findObject(inbox, BUCKET, "mine")).toEqual(object)
    await deleteObject(inbox, object)
    await deleteObject(inbox, object)
    expect([await findObject(inbox, BUCKET, "mine"), await messages()]).toEqual([undefined, 0])
    await store.putBlob({ name: "theirs" }, randomBytes(10))
    await store.delete("theirs")
    expect(await findObject(inbox, BUCKET, "theirs")).toBeUndefined()
    await store.link("way", await store.putBlob({ name: "there" }, randomBytes(10)))
    expect(await findObject(inbox, BUCKET, "way")).toBeUndefined()
  })

  test("that lost a chunk, or have another's bytes, are DIGEST_MISMATCH", async () => {
    await using opened = await openBucket()
    const { inbox, jsm, write } = opened
    const object = await write("hole", randomBytes(5_000))
    const swallow = (): void => undefined
    await expect(readObject(inbox, { ...object, digest: `SHA-256=${"A".repeat(43)}=` }, swallow)).rejects.toMatchObject({
      code: "data_loss",
      reason: "DIGEST_MISMATCH",
    })
    await expect(readObject(inbox, { ...object, sizeBytes: 4_000 }, swallow)).rejects.toMatchObject({ reason: "DIGEST_MISMATCH" })
    await jsm.streams.deleteMessage(`OBJ_${BUCKET}`, 3)
    await expect(readObject(inbox, object, swallow)).rejects.toMatchObject({
      reason: "DIGEST_MISMATCH",
      message: expect.stringContaining("hole"),
    })
    await expect(readObject(inbox, { ...object, nuid: "gone" }, swallow)).rejects.toMatchObject({ reason: "DIGEST_MISMATCH" })
  })

  test("wait for a slow reader, and end with its error", async () => {
    await using opened = await openBucket()
    const { inbox, write } = opened
    const object = await write("long", randomBytes(40_000))
    let running = 0
    let chunks = 0
    await readObject(inbox, object, async () => {
      expect(++running).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      // What is asked ahead is all that is held.
      expect(inbox.size).toBeLessThanOrEqual(4)
      running--
      chunks++
    })
    expect(chunks).toBe(40)
    const enough = readObject(inbox, object, () => {
      throw FnError.of("CANCELLED", "enough")
    })
    await expect(enough).rejects.toMatchObject({ reason: "CANCELLED", message: "enough" })
    expect(inbox.size).toBe(0)
  })

  test("that cannot be written whole are not there at all", async () => {
    await using opened = await openBucket(20_000)
    const { inbox, write, messages } = opened
    await expect(write("too much", randomBytes(50_000))).rejects.toMatchObject({ reason: "STORAGE_FULL" })
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield randomBytes(3_000)
      throw FnError.of("CANCELLED", "the disk is gone")
    }
    const half = writeObject(inbox, { bucket: BUCKET, name: "half" }, failing(), { chunkBytes: CHUNK_BYTES })
    await expect(half).rejects.toMatchObject({ message: "the disk is gone" })
    expect([await findObject(inbox, BUCKET, "half"), await messages()]).toEqual([undefined, 0])
  })

  test("written with a window are the same, and a server that restarts meanwhile has them once", async () => {
    await using fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    await new Objm(nc).create(BUCKET, { storage: "file" })
    using inbox = new ReplyInbox(nc)
    const parts = Array.from({ length: 60 }, () => randomBytes(CHUNK_BYTES))
    const sha256 = createHash("sha256").update(Buffer.concat(parts)).digest("base64url")
    let reads = 0
    let restarted: Promise<void> | undefined
    const source = {
      async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
        reads++
        for (const [index, part] of parts.entries()) {
          // What is sent to a server that stands still is lost with it; it ends once this part is on its way.
          if (reads === 1 && index === 30) {
            await freeze(fixture.server.pid)
            restarted = new Promise(setImmediate).then(() => fixture.restart())
          }
          yield part
        }
      },
    }
    const stored: number[] = []
    const options = { chunkBytes: CHUNK_BYTES, window: 8, timeoutMs: 20_000, onStored: (bytes: number) => stored.push(bytes) }
    const object = await writeObject(inbox, { bucket: BUCKET, name: "quick" }, source, options)
    await restarted
    expect([reads, object.chunks, object.digest, stored.at(-1)]).toEqual([2, 60, `SHA-256=${sha256}=`, 60 * CHUNK_BYTES])
    expect(Buffer.concat(parts).equals(await read(inbox, "quick"))).toBe(true)
    const { streams } = await jetstreamManager(nc)
    expect((await streams.info(`OBJ_${BUCKET}`)).state.messages).toBe(61)
  }, 30_000)

  test("are not written over what they do not replace, nor under a digest that is another's, and leave nothing of what they replaced", async () => {
    await using opened = await openBucket()
    const { inbox, messages } = opened
    const target = { bucket: BUCKET, name: "versioned" }
    const how = { chunkBytes: CHUNK_BYTES, window: 4 }
    const first = await writeObject(inbox, target, [randomBytes(3 * CHUNK_BYTES)], { ...how, replacing: { seq: 0 } })
    await expect(writeObject(inbox, target, [randomBytes(10)], { ...how, replacing: { seq: 0 } })).rejects.toMatchObject({
      reason: "STALE_REVISION",
    })
    await expect(
      writeObject(inbox, target, [randomBytes(10)], { ...how, expectedSha256: createHash("sha256").digest("base64url") }),
    ).rejects.toMatchObject({ reason: "DIGEST_MISMATCH" })
    expect(await messages()).toBe(4)
    const meta = await findMessage(inbox, `OBJ_${BUCKET}`, { lastOf: `$O.${BUCKET}.M.${btoa("versioned")}` })
    const second = randomBytes(2 * CHUNK_BYTES)
    const replacing = { seq: meta?.seq as number, nuid: first.nuid }
    await writeObject(inbox, target, [second], { ...how, replacing, sha256: createHash("sha256").update(second).digest("base64url") })
    expect([await messages(), second.equals(await read(inbox, "versioned"))]).toEqual([3, true])
  })

  test("are stored once however often a restart of the server makes their messages repeat", async () => {
    await using fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    await new Objm(nc).create(BUCKET, { storage: "file" })
    using inbox = new ReplyInbox(nc)
    const parts = Array.from({ length: 30 }, () => randomBytes(CHUNK_BYTES))
    async function* source(): AsyncGenerator<Uint8Array> {
      for (const [index, part] of parts.entries()) {
        if (index === 10) await fixture.restart()
        yield part
      }
    }
    const object = await writeObject(inbox, { bucket: BUCKET, name: "patient" }, source(), { chunkBytes: CHUNK_BYTES, timeoutMs: 20_000 })
    expect(object).toMatchObject({
      chunks: 30,
      digest: `SHA-256=${createHash("sha256").update(Buffer.concat(parts)).digest("base64url")}=`,
    })
    expect(Buffer.concat(parts).equals(await read(inbox, "patient"))).toBe(true)
  }, 30_000)
})
