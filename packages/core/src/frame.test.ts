import { PassThrough } from "node:stream"
import { describe, expect, test } from "@jest/globals"
import { FrameKind, FrameReader, frameHeader, MAX_FRAME_BYTES } from "./frame.js"
import { FrameWriter } from "./frame-writer.js"

type Seen = [kind: number, callId: number, body: string]

function reader(seen: Seen[]): FrameReader {
  return new FrameReader((kind, callId, body) => seen.push([kind, callId, body.toString()]))
}

describe("frames", () => {
  test("the layout is u32 length, u8 kind, u32 callId, body", () => {
    expect(Buffer.concat([frameHeader(FrameKind.call, 0x01020304, 2), Buffer.from("hi")])).toEqual(
      Buffer.from([0, 0, 0, 7, 3, 1, 2, 3, 4, 0x68, 0x69]),
    )
  })

  test("a body of many chunks is put together once it is whole", () => {
    const body = Buffer.alloc(300_000, "x")
    const bytes = Buffer.concat([frameHeader(FrameKind.result, 9, body.length), body, frameHeader(FrameKind.ready, 0, 0)])
    const seen: Seen[] = []
    const frames = reader(seen)
    for (let at = 0; at < bytes.length; at += 4096) frames.push(bytes.subarray(at, at + 4096))
    expect(seen.map(([kind, callId, text]) => [kind, callId, text.length])).toEqual([
      [FrameKind.result, 9, body.length],
      [FrameKind.ready, 0, 0],
    ])
  })

  test.each([0, 4, MAX_FRAME_BYTES + 1, 0xffffffff])("a length of %d breaks the protocol", (length) => {
    const header = frameHeader(FrameKind.call, 1, 0)
    header.writeUInt32BE(length, 0)
    expect(() => reader([]).push(header)).toThrow(expect.objectContaining({ code: "internal" }))
  })
})

describe("FrameWriter", () => {
  test("the frames of one tick leave in one write and arrive in order", async () => {
    const stream = new PassThrough()
    let writes = 0
    const write = stream.write.bind(stream)
    const sink = {
      write: (chunk: Uint8Array): boolean => {
        writes++
        return write(chunk)
      },
      cork: () => stream.cork(),
      uncork: () => stream.uncork(),
    }
    const writer = new FrameWriter(sink)
    writer.write(FrameKind.call, 1, [Buffer.from("a"), Buffer.from("b")])
    writer.writeJson(FrameKind.cancel, 2, {})
    await Promise.resolve()
    writer.write(FrameKind.shutdown, 0, [])
    await new Promise((resolve) => stream.once("readable", resolve))
    const seen: Seen[] = []
    reader(seen).push(stream.read() as Buffer)
    expect(seen).toEqual([
      [FrameKind.call, 1, "ab"],
      [FrameKind.cancel, 2, "{}"],
      [FrameKind.shutdown, 0, ""],
    ])
    expect(writes).toBe(1)
  })

  test("big frames arrive whole too", async () => {
    const stream = new PassThrough({ highWaterMark: 1024 * 1024 })
    new FrameWriter(stream).write(FrameKind.result, 3, [Buffer.alloc(100_000, "x"), Buffer.from("end")])
    const seen: Seen[] = []
    const frames = reader(seen)
    await new Promise<void>((resolve) => {
      stream.on("data", (chunk: Buffer) => {
        frames.push(chunk)
        if (seen.length > 0) resolve()
      })
    })
    expect(seen[0]?.[2]).toHaveLength(100_003)
    expect(seen[0]?.[2].endsWith("end")).toBe(true)
  })
})
