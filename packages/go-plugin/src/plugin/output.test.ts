import { EventEmitter } from "node:events"
import { goPluginStdio } from "@fn/proto"
import { describe, expect, test } from "@jest/globals"
import { PluginOutput, type StdioStream } from "./output.js"

const { STDOUT } = goPluginStdio.StdioData_Channel

/** The writing end of a host's stream: takes `room` messages, then says it is full. */
class SlowStream extends EventEmitter {
  readonly received: goPluginStdio.StdioData[] = []
  ended = false
  room: number
  constructor(room = Number.POSITIVE_INFINITY) {
    super()
    this.room = room
  }
  write(data: goPluginStdio.StdioData): boolean {
    this.received.push(data)
    return --this.room > 0
  }
  end(): void {
    this.ended = true
  }
  get text(): string {
    return Buffer.concat(this.received.filter(({ channel }) => channel === STDOUT).map(({ data }) => data)).toString()
  }
  asStream(): StdioStream {
    return this as unknown as StdioStream
  }
}

describe("PluginOutput", () => {
  test("P23 what was printed before the stream opened is delivered, in order", () => {
    const output = new PluginOutput()
    output.push("stdout", Buffer.from("a"))
    output.push("stdout", Buffer.from("b"))
    const stream = new SlowStream()
    output.attach(stream.asStream())
    output.push("stdout", Buffer.from("c"))
    expect(stream.text).toBe("abc")
  })

  test("beyond the ring the oldest goes, and the host is told how much", () => {
    const output = new PluginOutput(10)
    for (const text of ["aaaa", "bbbb", "cccc", "dddd"]) output.push("stdout", Buffer.from(text))
    const stream = new SlowStream()
    output.attach(stream.asStream())
    expect(stream.text).toBe("ccccdddd")
    expect(stream.received[0]?.data.toString()).toContain("[8 bytes of earlier output were dropped")
  })

  test("a slow host gets no more than it takes; the rest waits for it", () => {
    const output = new PluginOutput()
    const stream = new SlowStream(1)
    output.attach(stream.asStream())
    output.push("stdout", Buffer.from("a"))
    output.push("stdout", Buffer.from("b"))
    expect(stream.text).toBe("a")
    stream.room = 5
    stream.emit("drain")
    expect(stream.text).toBe("ab")
  })

  test("a second stream ends at once, and one after the first was cancelled takes over", () => {
    const output = new PluginOutput()
    const [first, second, third] = [new SlowStream(), new SlowStream(), new SlowStream()]
    output.attach(first.asStream())
    output.attach(second.asStream())
    expect([first.ended, second.ended]).toEqual([false, true])
    first.emit("cancelled")
    output.push("stdout", Buffer.from("kept"))
    output.attach(third.asStream())
    expect(third.text).toBe("kept")
  })

  test("the end sends what is left, even to a slow host", () => {
    const output = new PluginOutput()
    const stream = new SlowStream(1)
    output.attach(stream.asStream())
    for (const text of ["a", "b", "c"]) output.push("stdout", Buffer.from(text))
    output.end()
    expect(stream.text).toBe("abc")
    expect(stream.ended).toBe(true)
    output.push("stdout", Buffer.from("d"))
    expect(stream.text).toBe("abc")
  })

  test("a buffer that its owner reuses is not changed on its way, and a large one is cut", () => {
    const output = new PluginOutput()
    const stream = new SlowStream()
    const buffer = Buffer.alloc(100_000, "x")
    output.push("stdout", buffer)
    buffer.fill("y")
    output.attach(stream.asStream())
    expect(stream.text).toBe("x".repeat(100_000))
    expect(Math.max(...stream.received.map(({ data }) => data.length))).toBeLessThanOrEqual(32_768)
  })

  test("redirect() takes over both streams with every form of write, and its result puts them back", async () => {
    const output = new PluginOutput()
    const stream = new SlowStream()
    output.attach(stream.asStream())
    const before = process.stdout.write
    const restore = output.redirect()
    try {
      process.stdout.write("text ")
      process.stdout.write("626f64", "hex")
      process.stdout.write(new Uint8Array([0x79]))
      await new Promise<void>((resolve) => process.stdout.write(" done", () => resolve()))
    } finally {
      restore()
    }
    expect(stream.text).toBe("text body done")
    expect(process.stdout.write).toBe(before)
  })
})
