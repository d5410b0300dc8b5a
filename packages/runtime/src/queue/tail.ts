/**
 * What follows an outcome, in this order: result, reply, claim, callback, record, dead letter, acknowledgement.
 *
 * Each step can be repeated, and is, until it succeeds or the host closes; whoever gets the message after a crash begins again with the
 * result that was stored. The first stored result is the result: an attempt that comes second drops its own and finishes for the first.
 */
import { type Code, errorFromReply, FnError, Header, headerBlock, isCode, messageOf, readHeaderBlock, type WireEvent } from "@fn/core"
import { ackAndWait, isReplySubject } from "@fn/nats"
import { addDeadLetter, completeClaim, findResult, type ResultMessage, storeResult } from "@fn/queue"
import { callLines, errorReply, eventsReply, publishReply, type Reply } from "../egress/reply.js"
import type { FittingReply } from "../payloads/payload-outbox.js"
import type { ExecutionTrace } from "../records/execution-recorder.js"
import type { QueueContext } from "./context.js"
import type { Delivery, QueuedInvocation } from "./delivery.js"

/** How an invocation ended: with events, for good with an error, or as a result says that was stored before. */
export type Outcome =
  | { readonly kind: "events"; readonly events: readonly WireEvent[] }
  | { readonly kind: "error"; readonly error: FnError }
  | { readonly kind: "stored"; readonly result: ResultMessage }

/** What is known when an outcome is. */
export interface Ending {
  /** Of the last attempt, if it ran. */
  readonly trace?: ExecutionTrace | undefined
  /** Takes the message out of the queue; the last step. */
  acknowledge(): Promise<unknown>
}

/** Pauses between repetitions of a step, ms. */
const PAUSE_MS = { first: 200, longest: 5_000 }
const ACK_TRIES = 3
const NEVER_RAN: ExecutionTrace = { durationMs: 0 }

/** See the head of this file. `acknowledge` takes the message out of the queue. Never rejects; resolves early when the host closes. */
export async function settle(context: QueueContext, invocation: QueuedInvocation, outcome: Outcome, end: Ending): Promise<void> {
  const { access, recorder, callbacks, payloads, logger } = context
  const { ref, invocationId, settings, seq, attempt, queuedAt } = invocation
  const trace = end.trace ?? NEVER_RAN
  try {
    if (settings.spilled && outcome.kind !== "stored") {
      // A sync call: nothing is kept of it, its caller hears once.
      answer(context, invocation, asMessage(replyOf(invocation, outcome, trace)))
      return void (await end.acknowledge())
    }
    const result = await persist(context, "the result", () => stored(context, invocation, outcome, trace))
    answer(context, invocation, result)
    if (settings.keyed) await persist(context, "the claim", () => completeClaim(access, ref.namespace, invocationId, { seq, result }))
    const { callback, hops = 0 } = settings
    if (callback !== undefined && callbacks)
      await persist(context, "the callback", () => callbacks.send({ ref, invocationId, callback, hops, result }))
    const { error, eventsOut } = readResult(result)
    await persist(context, "the record", () => recorder.recordDurable({ ...trace, ref, invocationId, attempt, queuedAt, eventsOut, error }))
    const isGivenUp = error !== undefined && error.code !== "cancelled"
    if (isGivenUp) await persist(context, "the dead letter", () => giveUp(context, invocation, error))
    await end.acknowledge()
    if (invocation.claim && !isGivenUp) payloads?.discard(invocation.claim, invocationId)
  } catch (thrown) {
    // The host closes: the message goes to another one, which finds how far this one came.
    logger.debug("queue: outcome not stored", { invocationId, error: messageOf(thrown) })
  }
}

async function giveUp({ access, counts, logger }: QueueContext, invocation: QueuedInvocation, error: FnError): Promise<void> {
  const { ref, seq, invocationId, data, subject, attempt, queuedAt } = invocation
  await addDeadLetter(access, { ref, seq, lines: invocation.lines(), data, error, attempts: attempt, subject, queuedAt })
  counts.deadLetters++
  logger.warn("invocation given up", { ...ref, invocationId, attempt, reason: error.reason, error: error.message })
}

/** Acknowledges. What the server does not confirm may come again, and finds its result there. */
export async function acknowledge({ access, closing }: QueueContext, delivery: Delivery): Promise<void> {
  for (let tries = 0; tries < ACK_TRIES && !closing.aborted; tries++) {
    if (await ackAndWait(access.inbox, delivery.ackSubject)) return
  }
}

/** Repeats `work` until it succeeds. @throws {FnError} HOST_DRAINING when the host closes meanwhile */
export async function persist<T>(context: QueueContext, what: string, work: () => Promise<T>): Promise<T> {
  const { closing, logger } = context
  let pauseMs = PAUSE_MS.first
  for (;;) {
    if (closing.aborted) throw FnError.of("HOST_DRAINING", "this host is shutting down")
    try {
      return await work()
    } catch (thrown) {
      const error = FnError.from(thrown)
      const log = pauseMs === PAUSE_MS.first ? "warn" : "debug"
      logger[log](`queue: ${what} is not stored yet`, { reason: error.reason, error: error.message })
    }
    await pause(pauseMs, closing)
    pauseMs = Math.min(PAUSE_MS.longest, pauseMs * 2)
  }
}

/** The result that counts, stored. */
async function stored(context: QueueContext, delivery: QueuedInvocation, outcome: Outcome, trace: ExecutionTrace): Promise<ResultMessage> {
  if (outcome.kind === "stored") return outcome.result
  const { access, counts, outbox } = context
  const { namespace } = delivery.ref
  const fitting = await fitted(context, delivery, replyOf(delivery, outcome, trace))
  const own = asMessage(fitting)
  if (await storeResult(access, namespace, delivery.invocationId, own)) return own
  const first = await findResult(access, namespace, delivery.invocationId, { fromLeader: true })
  // Its time is over already; or ours was stored, and only the answer was lost.
  if (!first || isSame(first, own)) return own
  counts.droppedResults++
  outbox?.discard(fitting)
  return first
}

/** A result as a message can carry it: its body stored apart if it is large, a refusal if it can be neither stored nor carried. */
async function fitted(context: QueueContext, delivery: QueuedInvocation, reply: Reply): Promise<FittingReply> {
  const { invocationId, attempt, settings } = delivery
  let why = ""
  try {
    if (context.outbox) return await context.outbox.result(invocationId, reply, { keyed: settings.keyed ?? false })
  } catch (thrown) {
    const error = FnError.from(thrown)
    // What passes is waited for; what an operator must mend is not.
    if (error.reason !== "STORAGE_FULL" && error.reason !== "NOT_SET_UP" && error.reason !== "OUTPUT_LIMIT") throw error
    why = `; it was not stored apart: ${error.message}`
  }
  const limit = (context.access.nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - SPARE_BYTES
  const sizeBytes = reply.lines.length + reply.body.length
  if (sizeBytes <= limit) return reply
  const error = FnError.of("OUTPUT_LIMIT", `the result has ${sizeBytes} bytes, more than the server takes (${limit})${why}`)
  return errorReply(callLines({ invocationId, attempt, runningVersion: undefined }), error)
}

function replyOf(delivery: QueuedInvocation, outcome: Exclude<Outcome, { kind: "stored" }>, trace: ExecutionTrace): Reply {
  const { invocationId, attempt, mode } = delivery
  const lines = callLines({ invocationId, attempt, runningVersion: trace.version })
  if (outcome.kind === "error") return errorReply(lines, outcome.error)
  return eventsReply(lines, outcome.events, mode)
}

/** Room for what storing adds to a result's headers. */
const SPARE_BYTES = 256

function asMessage({ lines, body }: Reply): ResultMessage {
  return { lines, data: body }
}

function isSame(a: ResultMessage, b: ResultMessage): boolean {
  return a.lines === b.lines && Buffer.compare(a.data, b.data) === 0
}

/** Tells who waits on an inbox of its own. At most once: the stored result is what counts. */
function answer(context: QueueContext, { ref, invocationId, settings }: QueuedInvocation, result: ResultMessage): void {
  const { access, replyPrefixes, counts, logger } = context
  // A sync call that named no inbox is answered where whoever knows its id listens.
  const subject = settings.replyTo ?? (settings.spilled ? access.names.subjects.result(ref.namespace, invocationId) : undefined)
  if (subject === undefined) return
  if (settings.replyTo !== undefined && !isReplySubject(subject, replyPrefixes)) {
    counts.badReplySubjects++
    return logger.warn("reply subject refused", { invocationId })
  }
  try {
    publishReply(access.nc, subject, { lines: result.lines, body: result.data })
  } catch (thrown) {
    logger.debug("reply failed", { invocationId, error: messageOf(thrown) })
  }
}

/** What a stored result says. */
function readResult(result: ResultMessage): { error: FnError | undefined; eventsOut: number } {
  const headers = new Map<string, string>()
  readHeaderBlock(headerBlock(result.lines), (name, value) => headers.set(name, value))
  const code = headers.get(Header.errorCode)
  const failed = isCode(code as Code)
  return {
    error: failed ? errorFromReply((name) => headers.get(name), result.data) : undefined,
    eventsOut: Number(headers.get(Header.events) ?? 0),
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener("abort", end)
  })
}
