import { headerLine } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"
import { freeze, serverBinaries, startFixture } from "../../test/support.js"
import { publishLines } from "../inbox/publish-lines.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import { newestFirst } from "./newest-first.js"
import { publishAcked } from "./publish.js"
import { openScan } from "./scan.js"

const SERVERS = await serverBinaries("reading streams backwards")
const SLOW_MS = 60_000

describe.each(SERVERS)("stretches of a stream on $server", ({ binary }) => {
  async function openStream() {
    const fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    const jsm = await jetstreamManager(nc)
    await jsm.streams.add({ name: "LOG", subjects: ["log.*.*"], max_age: 0 })
    const inbox = new ReplyInbox(nc)
    const close = async (): Promise<void> => {
      inbox.dispose()
      await fixture[Symbol.asyncDispose]()
    }
    return { fixture, nc, jsm, inbox, options: { nc, inbox, stream: "LOG" }, [Symbol.asyncDispose]: close }
  }

  /** Publishes one message for each of `names`, and waits until all are stored. */
  async function fill(nc: NatsConnection, inbox: ReplyInbox, names: readonly string[]): Promise<void> {
    for (const [index, name] of names.entries()) {
      if (index < names.length - 1) publishLines(nc, `log.${name}.${index}`, headerLine("Fn-Index", index), Buffer.from(`body ${index}`))
      else await publishAcked(inbox, `log.${name}.${index}`, { lines: headerLine("Fn-Index", index), data: `body ${index}` })
      if (index % 5_000 === 4_999) await nc.flush()
    }
  }

  async function take(count: number, messages: AsyncGenerator<{ seq: number }>): Promise<number[]> {
    const found: number[] = []
    for await (const { seq } of messages) {
      found.push(seq)
      if (found.length === count) break
    }
    return found
  }

  test("a scan reads what matches, in order, with headers and times, and takes its consumer with it", async () => {
    await using opened = await openStream()
    const { nc, inbox, options, jsm } = opened
    await fill(nc, inbox, ["a", "b", "a", "b", "a"])
    const scan = await openScan({ ...options, subject: "log.a.*" }, 2)
    expect(scan.pending).toBe(2)
    const [third, ...rest] = await scan.read(10)
    expect(third).toMatchObject({ seq: 3, subject: "log.a.2", lines: headerLine("Fn-Index", 2), data: Buffer.from("body 2") })
    expect(Math.abs((third?.storedAt ?? 0) - Date.now())).toBeLessThan(60_000)
    expect(rest.map(({ seq }) => seq)).toEqual([5])
    expect(await scan.read(10)).toEqual([])
    await scan.close()
    await scan.close()
    const bare = await openScan({ ...options, subject: "log.b.*", headersOnly: true }, 1)
    expect(await bare.read(1)).toMatchObject([{ seq: 2, lines: headerLine("Fn-Index", 1), data: new Uint8Array(0) }])
    expect(await bare.read(1)).toMatchObject([{ seq: 4 }])
    await bare.close()
    expect((await jsm.streams.info("LOG")).state.consumer_count).toBe(0)
  })

  test("a scan that is abandoned ends: by signal, by a server that is gone, without a stream", async () => {
    await using opened = await openStream()
    const { nc, inbox, options, fixture } = opened
    await fill(nc, inbox, ["a"])
    const stop = new AbortController()
    const scan = await openScan({ ...options, subject: "log.a.*", signal: stop.signal }, 1)
    stop.abort()
    await expect(scan.read(5)).rejects.toMatchObject({ code: "cancelled" })
    await expect(openScan({ ...options, stream: "NOWHERE", subject: "x" }, 1)).rejects.toMatchObject({ reason: "NOT_SET_UP" })
    const lost = await openScan({ ...options, subject: "log.a.*" }, 1)
    await freeze(fixture.server.pid)
    const reading = expect(lost.read(5)).rejects.toMatchObject({ reason: "DISCONNECTED" })
    await fixture.server.kill()
    await reading
    await expect(lost.read(5)).rejects.toMatchObject({ reason: "DISCONNECTED" })
    await lost.close()
  }, 20_000)

  test(
    "gives all that matches from the newest to the oldest, however it lies",
    async () => {
      await using opened = await openStream()
      const { nc, inbox, options, jsm } = opened
      const names: string[] = []
      // Long stretches of one, of the other, of both, and a single one.
      for (const [name, count] of [
        ["a", 300],
        ["b", 2_000],
        ["a", 1],
        ["b", 900],
      ] as const)
        for (let i = 0; i < count; i++) names.push(name)
      for (let i = 0; i < 400; i++) names.push(i % 3 === 0 ? "a" : "b")
      await fill(nc, inbox, names)
      for (const seq of [1, 150, 299, 2_301, 3_300, names.length]) await jsm.streams.deleteMessage("LOG", seq)
      const gone = new Set([1, 150, 299, 2_301, 3_300, names.length])
      const expected = (name: string, before = Number.POSITIVE_INFINITY): number[] =>
        names.flatMap((each, i) => (each === name && i + 1 < before && !gone.has(i + 1) ? [i + 1] : [])).reverse()
      for (const pageSize of [1, 7, 50, 5_000]) {
        for (const before of [undefined, 3_250, 2_302, 2_301, 301, 2, 1]) {
          const found = await take(Number.POSITIVE_INFINITY, newestFirst({ ...options, subject: "log.a.*", pageSize, before }))
          expect([pageSize, before, found]).toEqual([pageSize, before, expected("a", before)])
        }
      }
      expect(await take(10, newestFirst({ ...options, subject: "log.b.*", pageSize: 10 }))).toEqual(expected("b").slice(0, 10))
      expect(await take(10, newestFirst({ ...options, subject: "log.nobody.*", pageSize: 10 }))).toEqual([])
      expect((await jsm.streams.info("LOG")).state.consumer_count).toBe(0)
    },
    SLOW_MS,
  )

  test("an empty stream gives nothing, also when it was not always empty", async () => {
    await using opened = await openStream()
    const { nc, inbox, options, jsm } = opened
    const all = () => take(Number.POSITIVE_INFINITY, newestFirst({ ...options, subject: "log.>", pageSize: 10 }))
    expect(await all()).toEqual([])
    await fill(nc, inbox, ["a", "b"])
    await jsm.streams.purge("LOG")
    expect(await all()).toEqual([])
    await fill(nc, inbox, ["a"])
    expect(await all()).toEqual([3])
  })

  test(
    "what is stored, expires or is deleted meanwhile neither hides nor doubles the rest",
    async () => {
      await using opened = await openStream()
      const { nc, inbox, options, jsm } = opened
      await fill(
        nc,
        inbox,
        Array.from({ length: 2_000 }, () => "a"),
      )
      const found: number[] = []
      for await (const { seq } of newestFirst({ ...options, subject: "log.a.*", pageSize: 20 })) {
        found.push(seq)
        if (found.length === 100) {
          // The newest, seen already; the oldest; and some in the midst.
          for (let gone = 1_990; gone <= 2_000; gone++) await jsm.streams.deleteMessage("LOG", gone)
          await jsm.streams.purge("LOG", { seq: 501 })
          for (let gone = 1_000; gone < 1_010; gone++) await jsm.streams.deleteMessage("LOG", gone)
          await fill(nc, inbox, ["a", "a", "a"])
        }
      }
      const expected: number[] = []
      for (let seq = 2_000; seq > 500; seq--) if (seq < 1_000 || seq >= 1_010) expected.push(seq)
      expect(found).toEqual(expected)
    },
    SLOW_MS,
  )
})
