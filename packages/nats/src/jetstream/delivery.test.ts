import { describe, expect, test } from "@jest/globals"
import { AckPolicy, jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"
import { freeze, serverBinaries, startFixture, until } from "../../test/support.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import { ackAndWait, nak, readDelivery, working } from "./delivery.js"
import { publishAcked } from "./publish.js"

const SERVERS = await serverBinaries("answers to deliveries")

describe("readDelivery", () => {
  const said = { stream: "FUNCTION_QUEUE", consumer: "default=hello", deliveries: 3, seq: 41, storedAt: 1_795_219_856_209, pending: 7 }

  test("reads the older form, and that with domain and account", () => {
    const older = "$JS.ACK.FUNCTION_QUEUE.default=hello.3.41.12.1795219856209677938.7"
    expect(readDelivery(older)).toEqual(said)
    const tail = older.slice("$JS.ACK.".length)
    for (const head of ["_.ACCHASH", "hub.ACCHASH"]) {
      expect(readDelivery(`$JS.ACK.${head}.${tail}`)).toEqual(said)
      expect(readDelivery(`$JS.ACK.${head}.${tail}.random`)).toEqual(said)
    }
  })

  test("takes nothing else for one", () => {
    for (const subject of ["", "_INBOX.abc.1", "$JS.ACK", "$JS.ACK.S.C.1.2.3.4", "$JS.API.S.C.1.2.3.4.5", "x.$JS.ACK.S.C.1.2.3.4.5"])
      expect(readDelivery(subject)).toBeUndefined()
  })
})

describe.each(SERVERS)("a delivered message on $server", ({ binary }) => {
  const ACK_WAIT_MS = 60_000

  async function openConsumer() {
    const fixture = await startFixture({ binary })
    const nc = await fixture.connect()
    const jsm = await jetstreamManager(nc)
    await jsm.streams.add({ name: "Q", subjects: ["q.>"] })
    await jsm.consumers.add("Q", {
      durable_name: "all",
      ack_policy: AckPolicy.Explicit,
      filter_subject: "q.>",
      ack_wait: ACK_WAIT_MS * 1_000_000,
    })
    const inbox = new ReplyInbox(nc)
    await publishAcked(inbox, "q.a", { data: "work" })
    const close = async (): Promise<void> => {
      inbox.dispose()
      await fixture[Symbol.asyncDispose]()
    }
    return { fixture, nc, jsm, inbox, [Symbol.asyncDispose]: close }
  }

  /** Pulls one message: its acknowledgement subject, and when it came. */
  async function pull(nc: NatsConnection): Promise<{ ack: string; deliveries: number; at: number }> {
    const body = JSON.stringify({ batch: 1, expires: 20e9 })
    const msg = await nc.request("$JS.API.CONSUMER.MSG.NEXT.Q.all", body, { noMux: true, timeout: 20_000 })
    const delivery = readDelivery(msg.reply ?? "")
    expect(delivery).toMatchObject({ stream: "Q", consumer: "all", seq: 1, pending: 0 })
    return { ack: msg.reply ?? "", deliveries: delivery?.deliveries ?? 0, at: performance.now() }
  }

  test("is gone from what waits for an answer once it is acknowledged, and the server says so", async () => {
    await using opened = await openConsumer()
    const { nc, jsm, inbox } = opened
    const { ack, deliveries } = await pull(nc)
    expect(deliveries).toBe(1)
    expect((await jsm.consumers.info("Q", "all")).num_ack_pending).toBe(1)
    expect(await ackAndWait(inbox, ack)).toBe(true)
    expect(await jsm.consumers.info("Q", "all")).toMatchObject({ num_ack_pending: 0, ack_floor: { stream_seq: 1 } })
  })

  test("an acknowledgement that nobody confirms is not known to have arrived", async () => {
    await using opened = await openConsumer()
    const { nc, inbox, fixture } = opened
    const { ack } = await pull(nc)
    await freeze(fixture.server.pid)
    try {
      expect(await ackAndWait(inbox, ack, 50)).toBe(false)
    } finally {
      process.kill(fixture.server.pid, "SIGCONT")
    }
  })

  test("that is given back comes again after the delay, or at once", async () => {
    await using opened = await openConsumer()
    const { nc } = opened
    const first = await pull(nc)
    nak(nc, first.ack, 400)
    const second = await pull(nc)
    expect(second.deliveries).toBe(2)
    expect(second.at - first.at).toBeGreaterThan(350)
    for (const delayMs of [0, -5]) {
      const { ack, at } = await pullAgain(nc, second, delayMs)
      expect(at).toBeLessThan(ACK_WAIT_MS)
      nak(nc, ack, 0)
    }
  })

  test("keeps its time to be acknowledged while work on it goes on", async () => {
    await using opened = await openConsumer()
    const { nc, jsm, inbox } = opened
    await jsm.consumers.update("Q", "all", { ack_wait: 500 * 1_000_000 })
    const { ack } = await pull(nc)
    const again = pull(nc)
    let came = false
    void again.then(() => {
      came = true
    })
    const timer = setInterval(() => working(nc, ack), 100)
    try {
      const end = performance.now() + 1_500
      await until(() => came || performance.now() > end, "three times the time it has to be acknowledged")
      expect(came).toBe(false)
    } finally {
      clearInterval(timer)
    }
    expect((await again).deliveries).toBe(2)
    expect(await ackAndWait(inbox, (await again).ack)).toBe(true)
  })

  async function pullAgain(nc: NatsConnection, last: { ack: string }, delayMs: number): Promise<{ ack: string; at: number }> {
    const began = performance.now()
    nak(nc, last.ack, delayMs)
    const { ack, at } = await pull(nc)
    return { ack, at: at - began }
  }
})
