import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { deflateRawSync, gzipSync } from "node:zlib"
import { type Client, connectClient } from "@fn/client"
import { type FnDev, startFnDev } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(180_000)

const require = createRequire(import.meta.url)
const examples = require("@octokit/webhooks-examples") as { name: string; examples: unknown[] }[]
const program = join(dirname(require.resolve("@fn/cli/package.json")), "dist/main.js")
let fn: FnDev
let client: Client

beforeAll(async () => {
  fn = await startFnDev({ program, folders: [fileURLToPath(new URL("..", import.meta.url))] })
  client = await connectClient({ servers: fn.nats })
})
afterAll(async () => {
  await client?.close()
  await fn?.[Symbol.asyncDispose]()
})

async function checksum(bytes: Buffer): Promise<unknown> {
  const event = { type: "com.example.bytes", datacontenttype: "application/octet-stream", data: bytes }
  const [answer, ...more] = await client.invoke("crc32", event, { timeoutMs: 20_000 })
  expect([answer?.type, more]).toEqual(["com.example.checksum", []])
  return answer?.data
}

/** The last eight bytes of a gzip file are its own checksum and length. */
function expected(bytes: Buffer): unknown {
  const trailer = gzipSync(bytes).subarray(-8)
  return { crc32: trailer.readUInt32LE(0).toString(16).padStart(8, "0"), bytes: trailer.readUInt32LE(4) }
}

describe("R-FN-6: a function in WebAssembly text, on real payloads", () => {
  test("nothing, a byte, all bytes, and 500 000 of them", async () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    for (const bytes of [Buffer.alloc(0), Buffer.from([0]), Buffer.from("123456789"), all, Buffer.alloc(500_000, all)])
      expect(await checksum(bytes)).toEqual(expected(bytes))
    expect(expected(Buffer.from("123456789"))).toMatchObject({ crc32: "cbf43926" })
  })

  test("GitHub's example payloads, plain and compressed", async () => {
    const payloads = examples.flatMap(({ examples }) => examples.slice(0, 1)).map((payload) => Buffer.from(JSON.stringify(payload)))
    expect(payloads.length).toBeGreaterThan(50)
    for (const payload of payloads) expect(await checksum(payload)).toEqual(expected(payload))
    const compressed = deflateRawSync(payloads[0] as Buffer)
    expect(await checksum(compressed)).toEqual(expected(compressed))
  })
})
