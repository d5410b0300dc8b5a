/** The other end of the queue as the wire describes it: takes what is stored and publishes results, when the test says so. */
import {
  BinaryEventReader,
  binaryHeaderLines,
  errorBody,
  errorHeaderLines,
  type FnError,
  type FunctionRef,
  Header,
  headerBlock,
  headerLine,
  readHeaderBlock,
  type WireEvent,
} from "@fn/core"
import { findMessage, type NatsConnection, publishAcked, ReplyInbox, requestApi } from "@fn/nats"
import { Payloads, type QueueAccess, queueNames, storeResult } from "@fn/queue"
import { until } from "@fn/testing"

/** A message of the queue. */
export interface QueuedInvocation {
  readonly seq: number
  readonly subject: string
  readonly headers: ReadonlyMap<string, string>
  readonly event: WireEvent
  readonly invocationId: string
}

/** A running queue peer. */
export interface QueuePeer {
  readonly access: QueueAccess
  readonly payloads: Payloads
  /** Waits for the oldest message of a function, and removes it. */
  take(name: string): Promise<QueuedInvocation>
  /** Messages of a function that wait. */
  waiting(name: string): Promise<QueuedInvocation[]>
  /** Stores a result; false when there is one. */
  succeed(id: string, events: readonly WireEvent[], options?: { namespace?: string; attempt?: number; lines?: string }): Promise<boolean>
  fail(id: string, error: FnError): Promise<boolean>
  /** Cancels that are kept. */
  storedCancel(namespace: string, id: string): Promise<boolean>
}

/** Starts one on `nc`. */
export function startQueuePeer(nc: NatsConnection): QueuePeer {
  const inbox = new ReplyInbox(nc)
  const access: QueueAccess = { nc, inbox, names: queueNames() }
  const { names } = access
  const payloads = new Payloads(access)

  async function next(ref: FunctionRef, from: number): Promise<QueuedInvocation | undefined> {
    const message = await findMessage(inbox, names.queue, { nextOf: names.subjects.queue(ref), from })
    if (!message) return undefined
    const headers = new Map<string, string>()
    const reader = new BinaryEventReader()
    readHeaderBlock(headerBlock(message.lines), (name, value) => {
      reader.take(name, value)
      headers.set(name, value)
    })
    const { seq, subject, data } = message
    return { seq, subject, headers, event: reader.finish(data), invocationId: headers.get(Header.invocationId) ?? `q${seq}` }
  }

  return {
    access,
    payloads,
    async take(name) {
      const taken = await until(() => next(refOf(name), 1), { name: `a queued invocation of ${name}`, timeoutMs: 20_000 })
      await requestApi(inbox, `STREAM.MSG.DELETE.${names.queue}`, { body: { seq: taken.seq } })
      return taken
    },
    async waiting(name) {
      const found: QueuedInvocation[] = []
      for (;;) {
        const message = await next(refOf(name), (found.at(-1)?.seq ?? 0) + 1)
        if (!message) return found
        found.push(message)
      }
    },
    succeed(id, [event], { namespace = "default", attempt = 1, lines = "" } = {}) {
      const head = headerLine(Header.invocationId, id) + headerLine(Header.attempt, attempt) + lines
      const count = headerLine(Header.events, event ? 1 : 0)
      const eventLines = event ? binaryHeaderLines(event.attributes) : ""
      return storeResult(access, namespace, id, { lines: head + count + eventLines, data: event?.data ?? new Uint8Array(0) })
    },
    fail: (id, error) =>
      storeResult(access, "default", id, {
        lines: headerLine(Header.invocationId, id) + errorHeaderLines(error),
        data: errorBody(error),
      }),
    async storedCancel(namespace, id) {
      const subject = names.subjects.cancelQueued(namespace, id)
      return (await findMessage(inbox, names.claims, { lastOf: subject })) !== undefined
    },
  }
}

/** Publishes a result as an attempt that comes too late: everybody hears it, the stream refuses it. */
export async function publishLateResult(access: QueueAccess, id: string, event: WireEvent, attempt: number): Promise<void> {
  const lines =
    headerLine(Header.attempt, attempt) +
    headerLine(Header.events, 1) +
    binaryHeaderLines(event.attributes) +
    headerLine("Nats-Expected-Last-Subject-Sequence", 9_999_999)
  const refused = await publishAcked(access.inbox, access.names.subjects.result("default", id), { lines, data: event.data }).catch(
    (thrown: unknown) => thrown as FnError,
  )
  if (!("reason" in refused) || refused.reason !== "STALE_REVISION") throw new Error("the stream took a result that came too late")
}

function refOf(name: string): FunctionRef {
  const [namespace, local] = name.split("/") as [string, string | undefined]
  return local === undefined ? { namespace: "default", name } : { namespace, name: local }
}
