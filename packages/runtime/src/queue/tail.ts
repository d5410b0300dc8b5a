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
  /** `unrun`: nothing was run, or tried to be, since the attempt before. */
  | { readonly kind: "error"; readonly error: FnError; readonly unrun?: boolean }
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
const NOTHING = new Uint8Array(0)

/** See the head of this file. `acknowledge` takes the message out of the queue. Never rejects; resolves early when the host closes. */
export async function settle(context: QueueContext, invocation: QueuedInvocation, outcome: Outcome, end: Ending): Promise<void> {
  const { access, recorder, callbacks, payloads, logger } = context
  const { ref, invocationId, settings, seq, queuedAt } = invocation
  const trace = end.trace ?? NEVER_RAN
  try {
    if (settings.spilled && outcome.kind !== "stored") {
      // A sync call: nothing is kept of it, its caller hears once.
      answer(context, invocation, asMessage(replyOf(invocation, outcome, { ...trace, attempts: invocation.attempt })))
      return void (await end.acknowledge())
    }
    const attempts = outcome.kind === "error" && outcome.unrun ? Math.max(0, invocation.attempt - 1) : invocation.attempt
    const result = await persist(context, "the result", () => stored(context, invocation, outcome, { ...trace, attempts }))
    answer(context, invocation, result)
    if (settings.keyed) await step(context, "the claim", () => completeClaim(access, ref.namespace, invocationId, { seq, result }))
    const { callback, hops = 0 } = settings
    if (callback !== undefined && callbacks)
      await step(context, "the callback", () => callbacks.send({ ref, invocationId, callback, hops, result }))
    const { error, eventsOut } = readResult(result)
    const record = { ...trace, ref, invocationId, attempt: attempts, queuedAt, eventsOut, error }
    await step(context, "the record", () => recorder.recordDurable(record))
    const isGivenUp = error !== undefined && error.code !== "cancelled"
    if (isGivenUp) await giveUp(context, invocation, { error, attempts })
    await end.acknowledge()
    if (invocation.claim && !isGivenUp) payloads?.discard(invocation.claim, invocationId)
  } catch (thrown) {
    // The host closes: the message goes to another one, which finds how far this one came.
    logger.debug("queue: outcome not stored", { invocationId, error: messageOf(thrown) })
  }
}

async function giveUp(
  context: QueueContext,
  invocation: QueuedInvocation,
  { error, attempts }: { readonly error: FnError; readonly attempts: number },
): Promise<void> {
  const { access, counts, logger } = context
  const { ref, seq, invocationId, data, subject, queuedAt } = invocation
  const letter = { ref, seq, lines: invocation.lines(), data, error, attempts, subject, queuedAt }
  try {
    await persist(context, "the dead letter", () => addDeadLetter(access, letter))
  } catch (thrown) {
    if (FnError.from(thrown).reason !== "PAYLOAD_TOO_LARGE") throw thrown
    // With what a dead letter says of it, the message is larger than the server takes: then without its data.
    await step(context, "the dead letter", () => addDeadLetter(access, { ...letter, data: NOTHING }))
  }
  counts.deadLetters++
  logger.warn("invocation given up", { ...ref, invocationId, attempts, reason: error.reason, error: error.message })
}

/** One step of what follows a result. What can never succeed is logged and left out. */
async function step(context: QueueContext, what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await persist(context, what, work)
  } catch (thrown) {
    const error = FnError.from(thrown)
    if (!isHopeless(error)) throw error
    context.logger.error(`queue: ${what} can not be stored`, { reason: error.reason, error: error.message })
  }
}

/** Acknowledges. What the server does not confirm may come again, and finds its result there. */
export async function acknowledge({ access, closing }: QueueContext, delivery: Delivery): Promise<void> {
  for (let tries = 0; tries < ACK_TRIES && !closing.aborted; tries++) {
    if (await ackAndWait(access.inbox, delivery.ackSubject)) return
  }
}

/** Repeats `work` until it succeeds. @throws {FnError} HOST_DRAINING when the host closes meanwhile; what no repetition mends */
export async function persist<T>(context: QueueContext, what: string, work: () => Promise<T>): Promise<T> {
  const { closing, logger } = context
  let pauseMs = PAUSE_MS.first
  for (;;) {
    if (closing.aborted) throw FnError.of("HOST_DRAINING", "this host is shutting down")
    try {
      return await work()
    } catch (thrown) {
      const error = FnError.from(thrown)
      if (isHopeless(error)) throw error
      const log = pauseMs === PAUSE_MS.first ? "warn" : "debug"
      logger[log](`queue: ${what} is not stored yet`, { reason: error.reason, error: error.message })
    }
    await pause(pauseMs, closing)
    pauseMs = Math.min(PAUSE_MS.longest, pauseMs * 2)
  }
}

/** Whether a step fails the same way however often it is repeated. */
function isHopeless(error: FnError): boolean {
  return error.reason === "PAYLOAD_TOO_LARGE" || error.code === "invalid_argument"
}

/** What a reply says of the attempts behind it. */
interface Attempts {
  readonly version?: string | undefined
  readonly attempts: number
}

/** The result that counts, stored. */
async function stored(context: QueueContext, delivery: QueuedInvocation, outcome: Outcome, trace: Attempts): Promise<ResultMessage> {
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
  let fitting: FittingReply = reply
  let why = ""
  try {
    if (context.outbox) fitting = await context.outbox.result(invocationId, reply, { keyed: settings.keyed ?? false })
  } catch (thrown) {
    const error = FnError.from(thrown)
    // What passes is waited for; what an operator must mend is not.
    if (error.reason !== "STORAGE_FULL" && error.reason !== "NOT_SET_UP" && error.reason !== "OUTPUT_LIMIT") throw error
    why = `; it was not stored apart: ${error.message}`
  }
  const limit = (context.access.nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - SPARE_BYTES
  const sizeBytes = fitting.lines.length + fitting.body.length
  if (sizeBytes <= limit) return fitting
  context.outbox?.discard(fitting)
  const error = FnError.of("OUTPUT_LIMIT", `the result has ${sizeBytes} bytes, more than the server takes (${limit})${why}`)
  return errorReply(callLines({ invocationId, attempt, runningVersion: undefined }), error)
}

function replyOf(delivery: QueuedInvocation, outcome: Exclude<Outcome, { kind: "stored" }>, { version, attempts }: Attempts): Reply {
  const { invocationId, mode } = delivery
  const lines = callLines({ invocationId, attempt: attempts, runningVersion: version })
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
