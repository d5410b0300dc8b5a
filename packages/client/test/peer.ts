/**
 * A host as the wire describes one: a real NATS responder with the status and discovery answers of a runtime-service, whose functions are
 * what the test says. Everything it got is kept.
 */
import {
  BATCH_TYPE,
  BinaryEventReader,
  binaryHeaderLines,
  CODES,
  encodeBatch,
  encodeStructured,
  errorBody,
  errorHeaderLines,
  type FnError,
  type FnErrorData,
  type FunctionStatus,
  Header,
  type HostStatus,
  headerBlock,
  headerLine,
  newId,
  RUNTIME_SERVICE_NAME,
  readHeaderBlock,
  STRUCTURED_TYPE,
  type StatusRequest,
  type WireEvent,
} from "@fn/core"
import { type MicroService, type NatsConnection, publishRaw, type RawMsg, rawHeaders, startMicroService } from "@fn/nats"

/** One call as it arrived. */
export interface ReceivedCall {
  readonly subject: string
  /** Where its answer goes. */
  readonly reply: string
  readonly headers: ReadonlyMap<string, string>
  readonly event: WireEvent
  readonly invocationId: string
  /** Says that the host works on it; from now on its status says so too. */
  start(host?: string): void
  events(events: readonly WireEvent[], mode?: "binary" | "structured"): void
  error(error: FnError): void
  /** Any message at all; `replyTo` is where the caller may answer. */
  raw(lines: string, body: Uint8Array | string, replyTo?: string): void
}

/** A running peer. */
export interface Peer extends AsyncDisposable {
  readonly host: string
  readonly calls: ReceivedCall[]
  readonly cancelled: string[]
  /** Invocations it says it has. */
  readonly running: Set<string>
  /** Status questions it got. */
  readonly questions: StatusRequest[]
  /** What it says of functions it does not serve. */
  readonly refusals: Map<string, FnErrorData>
  /** Runs before a status question is answered. */
  onQuestion: ((question: StatusRequest) => Promise<void>) | undefined
  serve(subject: string, onCall: (call: ReceivedCall) => void): Promise<void>
}

/** Starts a peer on `nc`. `answersStatus: false` makes it keep silent when asked. */
export async function startPeer(nc: NatsConnection, options: { host?: string; answersStatus?: boolean } = {}): Promise<Peer> {
  const host = options.host ?? newId()
  const calls: ReceivedCall[] = []
  const cancelled: string[] = []
  const running = new Set<string>()
  const questions: StatusRequest[] = []
  const refusals = new Map<string, FnErrorData>()
  const served = new Set<string>()
  const service: MicroService = await startMicroService(nc, {
    name: RUNTIME_SERVICE_NAME,
    id: host,
    version: "0.1.0",
    endpoints: [
      {
        name: "status",
        subject: `function.status.${host}`,
        queueGroup: "",
        handler: (msg) => void answer(msg),
      },
      {
        name: "cancel",
        subject: "function.cancel.>",
        queueGroup: "",
        handler: (msg) => void cancelled.push(msg.subject),
      },
    ],
  })

  async function answer(msg: RawMsg): Promise<void> {
    const question = msg.json<StatusRequest>()
    questions.push(question)
    await peer.onQuestion?.(question)
    if (options.answersStatus === false) return
    const known = question.function === undefined ? undefined : standing(question.function)
    const status: HostStatus = {
      host,
      phase: "ready",
      version: "0.1.0",
      startedAt: new Date().toISOString(),
      pid: process.pid,
      runtimes: ["builtin"],
      rssBytes: 1,
      running: running.size,
      functions: known ? [known] : [],
      problems: [],
      ...(question.invocationId === undefined ? {} : { runningInvocation: running.has(question.invocationId) }),
    }
    msg.respond(JSON.stringify(status))
  }

  function standing(key: string): FunctionStatus | undefined {
    const error = refusals.get(key)
    if (!error && !served.has(key)) return undefined
    const counts = { instances: 0, freeSlots: 0, running: 0, waiting: 0, executions: 0, errors: 0, coldStarts: 0, crashes: 0 }
    return { function: key, revision: 1, activeVersion: "1.0.0", served: !error, ...(error ? { error } : {}), ...counts }
  }

  const peer: Peer = {
    host,
    onQuestion: undefined,
    calls,
    cancelled,
    running,
    questions,
    refusals,
    async serve(subject, onCall) {
      const [, , ...path] = subject.split(".")
      served.add(path.length === 1 ? `default/${path[0]}` : path.join("/"))
      nc.subscribe(subject, {
        queue: subject.split(".").slice(0, 2).join("."),
        callback: (_refused, msg) => {
          const call = received(nc, msg, host, running)
          calls.push(call)
          onCall(call)
        },
      })
      await nc.flush()
    },
    [Symbol.asyncDispose]: () => service.stop(),
  }
  return peer
}

/** A peer's function that answers with the event it got. */
export function echo(call: ReceivedCall): void {
  call.events([call.event])
}

function received(nc: NatsConnection, msg: RawMsg, host: string, running: Set<string>): ReceivedCall {
  const headers = new Map<string, string>()
  const reader = new BinaryEventReader()
  const block = rawHeaders(msg)
  if (block) {
    readHeaderBlock(block, (name, value) => {
      reader.take(name, value)
      const before = headers.get(name)
      headers.set(name, before === undefined ? value : `${before} ${value}`)
    })
  }
  const invocationId = headers.get(Header.invocationId) ?? ""
  const raw = (lines: string, body: Uint8Array | string, replyTo?: string): void =>
    publishRaw(nc, msg.reply as string, Buffer.from(body), {
      headerBlock: headerBlock(headerLine(Header.invocationId, invocationId) + lines),
      reply: replyTo,
    })
  return {
    subject: msg.subject,
    reply: msg.reply ?? "",
    headers,
    event: reader.finish(Uint8Array.from(msg.data)),
    invocationId,
    raw,
    start: (by = host) => {
      running.add(invocationId)
      raw(headerLine(Header.started, by), "")
    },
    events: (events, mode = "binary") => {
      running.delete(invocationId)
      const count = headerLine(Header.events, events.length)
      const [first] = events
      if (first === undefined) raw(count, "")
      else if (events.length > 1) raw(count + headerLine(Header.contentType, BATCH_TYPE), encodeBatch(events))
      else if (mode === "structured") raw(count + headerLine(Header.contentType, STRUCTURED_TYPE), encodeStructured(first))
      else raw(count + binaryHeaderLines(first.attributes), first.data ?? "")
    },
    error: (error) => {
      running.delete(invocationId)
      raw(errorHeaderLines(error), errorBody(error))
    },
  }
}

/** Codes whose replies a test goes through. */
export const ALL_CODES = Object.keys(CODES) as (keyof typeof CODES)[]
