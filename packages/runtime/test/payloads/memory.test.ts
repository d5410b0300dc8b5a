import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { newId } from "@fn/core"
import { ReplyInbox } from "@fn/nats"
import { type Child, spawnChild } from "@fn/process"
import { enqueue, findResult, invocationLines, Payloads, payloadLines, type QueueAccess, queueNames } from "@fn/queue"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { headers } from "@nats-io/transport-node"

const SIZE = 50 * 1024 * 1024
/** Event and result of one call, each once, what is being copied, and what Node takes anyway; never several of each. */
const BOUND = 400 * 1024 * 1024
const BUCKET = "function-PAYLOADS"
const MODULE = `export default (event) => ({ type: "copy", datacontenttype: event.datacontenttype, data: event.data })`

describe("R-IV-9: 50 MB in and out", () => {
  test("go through a builtin and through a module, called and queued, and the host's memory stays below a bound", async () => {
    await using server = await startTestServer()
    await using folder = await tempDir("fn-large-")
    const nc = await server.connect()
    await setupPlatform(nc)
    const registry = await connectRegistry(nc)
    await registry.deploy({ name: "copy", language: "js", runtime: "builtin" }, { awaitServed: false })
    await registry.deploy(
      { name: "apart", language: "js", runtime: "module", memoryMb: 1024 },
      { awaitServed: false, artifact: Buffer.from(MODULE) },
    )
    const access: QueueAccess = { nc, inbox: new ReplyInbox(nc), names: queueNames() }
    const payloads = new Payloads(access)
    const host = await startHost(server.url, folder.path)
    try {
      const data = randomBytes(SIZE)
      const digest = createHash("sha256").update(data).digest("hex")
      const check = async (text: string | undefined): Promise<void> => {
        const name = /obj:function-PAYLOADS\/(\S+)/.exec(text ?? "")?.[1] as string
        expect(
          createHash("sha256")
            .update(await payloads.get(name))
            .digest("hex"),
        ).toBe(digest)
        await payloads.delete(name)
      }
      const peaks: Record<string, number> = { "at rest": peakOf(host) }
      for (const name of ["copy", "apart"]) {
        for (let round = 0; round < 3; round++) {
          const id = newId()
          await payloads.put(`${id}.in`, data)
          const block = headers()
          for (const [key, value] of Object.entries(eventHeaders(id))) block.set(key, value)
          const reply = await nc.request(`function.js.${name}`, "", { timeout: 60_000, headers: block })
          await check(reply.headers?.get("Fn-Payload-Ref"))
        }
        peaks[`${name}, called`] = peakOf(host)
        const id = newId()
        await payloads.put(`${id}.in`, data)
        const lines = Object.entries(eventHeaders(id)).flatMap(([key, value]) => (key.startsWith("ce-") ? [`${key}: ${value}\r\n`] : []))
        await enqueue(access, {
          ref: { namespace: "default", name },
          lines: invocationLines({ invocationId: id }) + payloadLines({ bucket: BUCKET, name: `${id}.in` }, SIZE) + lines.join(""),
        })
        const result = await until(() => findResult(access, "default", id), { name: "result", timeoutMs: 60_000 })
        await check(result.lines)
        peaks[`${name}, queued`] = peakOf(host)
      }
      process.stderr.write(
        `peak memory of the host, MB: ${JSON.stringify(peaks, (_key, value) => (typeof value === "number" ? Math.round(value / 1e6) : value))}\n`,
      )
      expect(peakOf(host)).toBeLessThan(BOUND)
    } finally {
      await host.terminate({ graceMs: 0 })
      await registry.close()
    }
  }, 180_000)
})

function eventHeaders(id: string): Record<string, string> {
  return {
    "Fn-Invocation-Id": id,
    "Fn-Accept": "payload-ref",
    "Fn-Payload-Ref": `obj:${BUCKET}/${id}.in`,
    "Fn-Payload-Size": String(SIZE),
    "ce-id": "e1",
    "ce-source": "/test",
    "ce-type": "large",
    "ce-specversion": "1.0",
    "ce-datacontenttype": "application/octet-stream",
  }
}

/** The most memory a process ever had, bytes. */
function peakOf({ pid }: Child): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]
  return Number(kilobytes) * 1024
}

async function startHost(url: string, folder: string): Promise<Child> {
  const child = spawnChild({
    command: process.execPath,
    args: [fileURLToPath(new URL("./host-process.mjs", import.meta.url)), url, folder],
    env: { PATH: process.env.PATH ?? "" },
    stdio: ["ignore", "pipe", "inherit"],
  })
  const [line] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line")) as [string]
  expect(line).toBe("ready")
  return child
}
