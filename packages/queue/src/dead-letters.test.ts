import { FnError, headerLine } from "@fn/core"
import { findMessage } from "@fn/nats"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { type OpenQueue, openQueue } from "../test/support.js"
import { getDeadLetter, listDeadLetters } from "./dead-letter-list.js"
import { type DeadLetterProgress, purgeDeadLetters, redriveDeadLetters } from "./dead-letter-work.js"
import { addDeadLetter, type GivenUp } from "./dead-letters.js"
import { invocationLines } from "./invocation.js"
import { payloadLines, payloadName } from "./payload-ref.js"
import { Payloads } from "./payloads.js"

const SERVERS = await testServers("dead letters")
const EVENT_LINES =
  headerLine("ce-id", "e1") + headerLine("ce-source", "/test") + headerLine("ce-type", "order") + headerLine("ce-specversion", "1.0")
const QUEUED_AT = Date.parse("2026-11-21T01:02:03.000Z")

function letter(seq: number, changes: Partial<GivenUp> & { id?: string } = {}): GivenUp {
  const { id = `id-${seq}`, ...rest } = changes
  return {
    ref: { namespace: "default", name: "charge" },
    seq,
    lines: invocationLines({ invocationId: id }).replace(/Nats-Msg-Id.*\r\n/, "") + EVENT_LINES,
    data: Buffer.from(`{"n":${seq}}`),
    error: FnError.of("FUNCTION_THREW", "no such\r\naccount"),
    attempts: 3,
    queuedAt: QUEUED_AT,
    ...rest,
  }
}

async function add(queue: OpenQueue, ...letters: GivenUp[]): Promise<void> {
  for (const each of letters) await addDeadLetter(queue.access, each)
}

const seqs = async (queue: OpenQueue, filter: Parameters<typeof listDeadLetters>[1] = {}): Promise<number[]> =>
  (await listDeadLetters(queue.access, filter)).deadLetters.map(({ seq }) => seq)

/** What waits in the queue: id, body, and headers. */
async function queued(queue: OpenQueue): Promise<{ subject: string; body: string; headers: Record<string, string> }[]> {
  const found: { subject: string; body: string; headers: Record<string, string> }[] = []
  const { inbox, names } = queue.access
  for (let from = 1; ; ) {
    const message = await findMessage(inbox, names.queue, { nextOf: names.subjects.queueAll, from })
    if (!message) return found
    const headers = Object.fromEntries(
      message.lines
        .split("\r\n")
        .filter((line) => line !== "")
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    )
    found.push({ subject: message.subject, body: Buffer.from(message.data).toString(), headers })
    from = message.seq + 1
  }
}

describe.each(SERVERS)("dead letters on $server", ({ binary }) => {
  test("R-IV-8: a letter has the reason, the attempts, the last error and the event, and is stored once", async () => {
    await using queue = await openQueue({ binary })
    await add(queue, letter(41), letter(41))
    expect(await queue.messages(queue.access.names.deadLetters)).toBe(1)
    const about = {
      seq: 1,
      namespace: "default",
      name: "charge",
      kind: "invocation",
      invocationId: "id-41",
      reason: "FUNCTION_THREW",
      code: "unknown",
      error: "no such account",
      attempts: 3,
      queuedAt: "2026-11-21T01:02:03.000Z",
      diedAt: expect.stringMatching(/^20\d\d-/),
    }
    expect(await listDeadLetters(queue.access)).toEqual({ deadLetters: [about], hasMore: false })
    expect(await getDeadLetter(queue.access, 1)).toEqual({
      ...about,
      headers: expect.objectContaining({ "ce-id": "e1", "Fn-Invocation-Id": "id-41" }),
      event: { attributes: { id: "e1", source: "/test", type: "order", specversion: "1.0" }, data: Buffer.from(`{"n":41}`) },
      data: Buffer.from(`{"n":41}`),
    })
    for (const seq of [2, 0, -1, 1.5, Number.NaN])
      await expect(getDeadLetter(queue.access, seq)).rejects.toMatchObject({ code: "not_found", reason: "DEAD_LETTER_NOT_FOUND" })
  })

  test("a letter whose event cannot be read, or that names no invocation, is shown all the same", async () => {
    await using queue = await openQueue({ binary })
    await add(queue, letter(7, { lines: headerLine("ce-type", "no id"), data: Buffer.from("garbage") }))
    const shown = await getDeadLetter(queue.access, 1)
    expect(shown).toMatchObject({ invocationId: "q7", headers: { "ce-type": "no id" } })
    expect(shown.event).toBeUndefined()
    expect(Buffer.from(shown.data).toString()).toBe("garbage")
    const structured = `{"specversion":"1.0","id":"e2","source":"/s","type":"t","data":{"n":1}}`
    await add(queue, letter(8, { lines: headerLine("content-type", "application/cloudevents+json"), data: Buffer.from(structured) }))
    const { event } = await getDeadLetter(queue.access, 2)
    expect([event?.attributes.id, Buffer.from(event?.data ?? []).toString()]).toEqual(["e2", `{"n":1}`])
  })

  test("what its publisher wrote into the headers of a letter does not count", async () => {
    await using queue = await openQueue({ binary })
    await add(queue, letter(7, { lines: headerLine("Fn-Dlq-Reason", "FORGED") + headerLine("Fn-Dlq-Subject", "$JS.API.STREAM.DELETE.X") }))
    expect(await getDeadLetter(queue.access, 1)).toMatchObject({ reason: "FUNCTION_THREW", kind: "invocation" })
    await redriveDeadLetters(queue.access, { seq: 1 })
    expect((await queued(queue)).map(({ subject }) => subject)).toEqual(["function.queue.default.charge"])
  })

  test("R-IV-8: they are listed from the newest, by function and by reason, page by page", async () => {
    await using queue = await openQueue({ binary })
    const expired = FnError.of("EXPIRED", "too old")
    for (let i = 1; i <= 12; i++) {
      await add(
        queue,
        letter(i, {
          ref: { namespace: i % 2 ? "default" : "team", name: i % 3 ? "charge" : "refund" },
          ...(i % 4 ? {} : { error: expired }),
        }),
      )
    }
    expect(await seqs(queue)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    expect(await seqs(queue, { namespace: "team" })).toEqual([12, 10, 8, 6, 4, 2])
    expect(await seqs(queue, { name: "refund" })).toEqual([12, 9, 6, 3])
    expect(await seqs(queue, { namespace: "default", name: "refund" })).toEqual([9, 3])
    expect(await seqs(queue, { reason: "EXPIRED" })).toEqual([12, 8, 4])
    expect(await seqs(queue, { reason: "EXPIRED", namespace: "default" })).toEqual([])
    expect(await seqs(queue, { before: 0 })).toEqual([])
    const first = await listDeadLetters(queue.access, { limit: 2, reason: "EXPIRED" })
    expect(first).toMatchObject({ hasMore: true, deadLetters: [{ seq: 12 }, { seq: 8 }] })
    expect(await seqs(queue, { limit: 2, reason: "EXPIRED", startAfter: first.startAfter })).toEqual([4])
    expect(await queue.consumers(queue.access.names.deadLetters)).toBe(0)
  })

  test("R-IV-8: a redriven letter is a new invocation with the old event, and is no letter any more", async () => {
    await using queue = await openQueue({ binary })
    const settings = {
      invocationId: "old",
      version: "1.0.0",
      timeoutMs: 5_000,
      maxAgeMs: 60_000,
      callback: "event:done",
      notBefore: 1_900_000_000_000,
      replyTo: "_INBOX.caller",
      keyed: true,
      spilled: true,
    }
    const lines = invocationLines(settings).replace(/Nats-Msg-Id.*\r\n/, "") + EVENT_LINES
    await add(queue, letter(1, { lines }), letter(2, { lines }))
    const [redriven, ...rest] = await redriveDeadLetters(queue.access, { seq: 1 })
    expect(rest).toEqual([])
    expect(redriven).toEqual({
      seq: 1,
      namespace: "default",
      name: "charge",
      invocationId: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      redrivenFrom: "old",
    })
    const event = { "ce-id": "e1", "ce-source": "/test", "ce-type": "order", "ce-specversion": "1.0" }
    const kept = { "Fn-Timeout-Ms": "5000", "Fn-Max-Age-Ms": "60000", "Fn-Callback": "event:done", ...event }
    const own = { "Fn-Invocation-Id": redriven?.invocationId, "Fn-Redriven-From": "old" }
    expect(await queued(queue)).toEqual([{ subject: "function.queue.default.charge", body: `{"n":1}`, headers: { ...kept, ...own } }])
    expect(await seqs(queue)).toEqual([2])
    const [pinned] = await redriveDeadLetters(queue.access, { seq: 2 }, { keepVersion: true })
    expect(pinned?.invocationId).not.toBe(redriven?.invocationId)
    expect((await queued(queue))[1]?.headers).toMatchObject({ "Fn-Version": "1.0.0" })
    await expect(redriveDeadLetters(queue.access, { seq: 2 })).rejects.toMatchObject({ reason: "DEAD_LETTER_NOT_FOUND" })
  })

  test("R-IV-8: a redrive that was cut off after the queue had the invocation can be repeated, and stores it once", async () => {
    await using queue = await openQueue({ binary })
    await add(queue, letter(1))
    // The queue takes it; the letter cannot be deleted.
    await queue.jsm.streams.update(queue.access.names.deadLetters, { deny_delete: true })
    await expect(redriveDeadLetters(queue.access, { all: true })).rejects.toThrow()
    expect(await queue.messages(queue.access.names.queue)).toBe(1)
    await expect(redriveDeadLetters(queue.access, { all: true })).rejects.toThrow()
    expect(await queue.messages(queue.access.names.queue)).toBe(1)
  })

  test("letters of callbacks go back as what they were", async () => {
    await using queue = await openQueue({ binary })
    const { subjects } = queue.access.names
    const lines =
      headerLine("Fn-Function", "default/charge") +
      headerLine("Fn-Invocation-Id", "inv") +
      headerLine("Fn-Callback", "event:done") +
      headerLine("Fn-Version", "1.0.0")
    await add(queue, letter(9, { lines, error: FnError.of("CALLBACK_FAILED", "no"), subject: subjects.callbackQueue("default") }))
    expect((await listDeadLetters(queue.access)).deadLetters).toMatchObject([{ kind: "callback", invocationId: "inv", name: "charge" }])
    expect(await redriveDeadLetters(queue.access, { name: "charge" })).toMatchObject([{ invocationId: "inv", redrivenFrom: "inv" }])
    expect(await queued(queue)).toEqual([
      {
        subject: "function.queue.default.=callback",
        body: `{"n":9}`,
        headers: { "Fn-Function": "default/charge", "Fn-Invocation-Id": "inv", "Fn-Callback": "event:done", "Fn-Version": "1.0.0" },
      },
    ])
  })

  test("R-IV-8: letters are redriven by filter and all, the rest stays, and progress is told", async () => {
    await using queue = await openQueue({ binary })
    const expired = FnError.of("EXPIRED", "too old")
    const all: GivenUp[] = []
    for (let i = 1; i <= 300; i++) all.push(letter(i, i % 3 ? {} : { error: expired }))
    await Promise.all(all.map((each) => addDeadLetter(queue.access, each)))
    const progress: DeadLetterProgress[] = []
    const some = await redriveDeadLetters(queue.access, { reason: "EXPIRED" }, { onProgress: (each) => progress.push(each) })
    expect(some).toHaveLength(100)
    expect(new Set(some.map(({ invocationId }) => invocationId)).size).toBe(100)
    expect(progress.map(({ looked, total }) => `${looked}/${total}`)).toEqual(["128/300", "256/300", "300/300"])
    expect(progress.at(-1)?.done).toBe(100)
    expect(await queue.messages(queue.access.names.deadLetters)).toBe(200)
    expect(await redriveDeadLetters(queue.access, { before: QUEUED_AT })).toEqual([])
    expect(await redriveDeadLetters(queue.access, { all: true })).toHaveLength(200)
    expect([await queue.messages(queue.access.names.deadLetters), await queue.messages(queue.access.names.queue)]).toEqual([0, 300])
    expect(await redriveDeadLetters(queue.access, { all: true })).toEqual([])
  }, 60_000)

  test("a queue that is full ends a redrive, and what did not go back is still there", async () => {
    await using queue = await openQueue({ binary, maxPending: 5 })
    await add(queue, ...Array.from({ length: 12 }, (_, i) => letter(i + 1)))
    await expect(redriveDeadLetters(queue.access, { all: true })).rejects.toMatchObject({ reason: "QUEUE_FULL" })
    expect([await queue.messages(queue.access.names.queue), await queue.messages(queue.access.names.deadLetters)]).toEqual([5, 7])
    await queue.jsm.streams.purge(queue.access.names.queue)
    await expect(redriveDeadLetters(queue.access, { all: true }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "cancelled",
    })
    await queue.jsm.streams.update(queue.access.names.queue, { max_msgs_per_subject: 100 })
    expect(await redriveDeadLetters(queue.access, { all: true })).toHaveLength(7)
  })

  test("R-IV-8: letters are purged one by one, by filter and all, with the data that was stored apart for them", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    const payloads = new Payloads(access)
    const apart = async (seq: number, name: string, bucket = access.names.payloads): Promise<GivenUp> => {
      await payloads.put(name, Buffer.from("large"))
      return letter(seq, { lines: payloadLines({ bucket, name }, 5) + EVENT_LINES, data: Buffer.alloc(0) })
    }
    await add(
      queue,
      await apart(1, payloadName("a", "in")),
      await apart(2, payloadName("b", "in"), "elsewhere"),
      await apart(3, payloadName("c", "out")),
    )
    await add(queue, letter(4), letter(5, { error: FnError.of("EXPIRED", "too old") }), letter(6))
    expect(await purgeDeadLetters(access, { seq: 1 })).toBe(1)
    await expect(payloads.get("a.in")).rejects.toMatchObject({ reason: "PAYLOAD_NOT_FOUND" })
    expect(await purgeDeadLetters(access, { reason: "EXPIRED", name: "charge" })).toBe(1)
    expect(await seqs(queue)).toEqual([6, 4, 3, 2])
    expect(await purgeDeadLetters(access, { all: true })).toBe(4)
    expect([(await payloads.get("b.in")).length, (await payloads.get("c.out")).length]).toEqual([5, 5])
    expect(await queue.messages(access.names.queue)).toBe(0)
    await expect(purgeDeadLetters(access, { seq: 1 })).rejects.toMatchObject({ reason: "DEAD_LETTER_NOT_FOUND" })
  })

  test("no selection is not all of them", async () => {
    await using queue = await openQueue({ binary })
    await add(queue, letter(1))
    for (const selection of [{}, { all: false }, { name: undefined }]) {
      await expect(redriveDeadLetters(queue.access, selection)).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
      await expect(purgeDeadLetters(queue.access, selection)).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    }
    expect(await seqs(queue)).toEqual([1])
  })
})
