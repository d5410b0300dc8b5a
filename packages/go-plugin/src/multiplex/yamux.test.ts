import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { afterEach, describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { tempDir } from "../../test/support/kv.js"
import { until } from "../../test/support/until.js"
import { YamuxSession } from "./yamux.js"

const servers: Server[] = []
const connections: Socket[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
  for (const socket of connections.splice(0)) socket.destroy()
})

/** All that comes, without an end to what goes: node's own consumers destroy what they have read. */
async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on("data", (chunk: Buffer) => chunks.push(chunk))
  await once(stream, "end")
  return Buffer.concat(chunks)
}

/** Both ends of a real connection. */
async function connection(): Promise<[Socket, Socket]> {
  const server = createServer()
  servers.push(server)
  const path = join(tempDir(), "s")
  server.listen(path)
  await once(server, "listening")
  const client = connect(path)
  const [accepted] = (await once(server, "connection")) as [Socket]
  connections.push(client, accepted)
  return [client, accepted]
}

async function pair(): Promise<{ client: YamuxSession; server: YamuxSession; accepted: Duplex[]; sockets: [Socket, Socket] }> {
  const sockets = await connection()
  const accepted: Duplex[] = []
  const onStream = (stream: Duplex): unknown => accepted.push(stream)
  const client = new YamuxSession(sockets[0], { side: "client", onStream })
  const server = new YamuxSession(sockets[1], { side: "server", onStream })
  return { client, server, accepted, sockets }
}

describe("YamuxSession", () => {
  test("a megabyte goes through each way of each of ten streams at once, whichever side opened them", async () => {
    const { client, server, accepted } = await pair()
    const payload = Buffer.alloc(1024 * 1024, "yamux ")
    const opened = Array.from({ length: 10 }, (_, n) => (n % 2 ? client : server).open())
    const replies = opened.map((stream) => {
      stream.end(payload)
      return readAll(stream)
    })
    await until(() => accepted.length === 10, { name: "ten streams" })
    for (const stream of accepted) void readAll(stream).then((bytes) => stream.end(bytes))
    for (const reply of await Promise.all(replies)) expect(reply.equals(payload)).toBe(true)
    client.close()
  })

  test("a stream that nobody reads holds its writer back, and no other one", async () => {
    const { client, accepted } = await pair()
    const [stuck, free] = [client.open(), client.open()]
    let written = 0
    for (let n = 0; n < 10; n++) stuck.write(Buffer.alloc(100_000), () => written++)
    const reply = readAll(free)
    free.end("through")
    await until(() => accepted.length === 2, { name: "two streams" })
    const [stuckThere, freeThere] = accepted as [Duplex, Duplex]
    freeThere.end(await readAll(freeThere))
    expect((await reply).toString()).toBe("through")
    expect(written).toBe(2)
    const all = readAll(stuckThere)
    stuck.end()
    expect(await all).toHaveLength(1_000_000)
    client.close()
  })

  test("the end of the connection ends its streams, and none can be opened then", async () => {
    const { client, server, accepted, sockets } = await pair()
    const stream = client.open()
    stream.write("x")
    await until(() => accepted.length === 1, { name: "the stream" })
    const ends = [once(stream, "close"), once(accepted[0] as Duplex, "close")]
    server.close()
    await Promise.all(ends)
    await until(() => sockets[0].destroyed, { name: "the other end" })
    expect(() => client.open()).toThrow("the multiplexed connection has ended")
  })

  test("a stream that is destroyed is reset at the other side, and the others go on", async () => {
    const { client, accepted } = await pair()
    const [first, second] = [client.open(), client.open()]
    first.write("x")
    await until(() => accepted.length === 2, { name: "two streams" })
    const closed = new Promise((resolve) => (accepted[0] as Duplex).once("close", resolve)) // once() would reject: it closes with an error
    first.destroy()
    await closed
    const reply = readAll(second)
    second.end("y")
    ;(accepted[1] as Duplex).end(await readAll(accepted[1] as Duplex))
    expect((await reply).toString()).toBe("y")
    client.close()
  })

  test("pings are answered with their own value", async () => {
    const [client, server] = await connection()
    new YamuxSession(server, { side: "server", onStream: () => undefined })
    client.write(Buffer.from("000200010000000000c0ffee", "hex"))
    const [answer] = (await once(client, "data")) as [Buffer]
    expect(answer.toString("hex")).toBe("000200020000000000c0ffee")
    client.destroy()
  })

  test.each([
    ["HTTP/2 as it is", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["another version", "\x01\0\0\x01\0\0\0\x01\0\0\0\0"],
    ["more data than a window has", "\0\0\0\x01\0\0\0\x01\0\x10\0\0"],
    ["a stream of our own numbers", "\0\x01\0\x01\0\0\0\x02\0\0\0\0"],
  ])("%s ends the connection", async (_name, text) => {
    const [client, server] = await connection()
    new YamuxSession(server, { side: "server", onStream: () => undefined })
    const ended = once(client, "close")
    client.resume()
    client.write(Buffer.from(text, "latin1"))
    await ended
    expect(server.destroyed).toBe(true)
  })

  test("no bytes crash it, however they are cut", async () => {
    const frame = fc
      .tuple(
        fc.constantFrom(0, 0, 0, 1),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 70 }),
      )
      .map(([version, type, flags, id, length]) => [version, type, 0, flags, 0, 0, 0, id, 0, 0, 0, length])
    const input = fc.array(fc.oneof(frame, fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 80 })), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(input, fc.integer({ min: 1, max: 40 }), async (parts, step) => {
        const [client, server] = await connection()
        new YamuxSession(server, { side: "server", onStream: (stream) => void stream.resume().end() })
        client.on("error", () => undefined) // it was ended under our hands
        client.resume()
        const bytes = Buffer.from(parts.flat())
        for (let at = 0; at < bytes.length; at += step) client.write(bytes.subarray(at, at + step))
        const ended = once(client, "close")
        client.end()
        await ended
      }),
      { numRuns: 100 },
    )
  })
})
