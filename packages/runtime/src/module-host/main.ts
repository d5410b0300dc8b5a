/**
 * The program inside a module process: loads one bundle and runs its handler for the frames that come in on descriptor 3.
 *
 * Phases: waiting (a spare) → loading → ready → closing. It is bundled into one file at build time, with no NATS and no gRPC in it:
 * what is not loaded does not slow the start. It ends when descriptor 3 closes, which is when its host is gone.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { Socket } from "node:net"
import { dirname } from "node:path"
import { pathToFileURL } from "node:url"
import {
  CreditWindow,
  createLogger,
  decodeCall,
  decodeCredit,
  ExecutionContext,
  encodeResult,
  eventFromWire,
  FnError,
  FrameKind,
  FrameReader,
  FrameWriter,
  type FunctionIdentity,
  type FunctionModule,
  functionFromExports,
  type HandlerOutput,
  handlerError,
  type LoadRequest,
  type LoadResponse,
  outputToSink,
  outputToWire,
  SlabMap,
} from "@fn/core"

interface RunningCall {
  readonly context: ExecutionContext
  /** Of a call that streams: what may still be sent. */
  readonly credit: CreditWindow | undefined
}

const socket = new Socket({ fd: 3, readable: true, writable: true })
const writer = new FrameWriter(socket)
const running = new SlabMap<number, RunningCall>()
let loaded: { module: FunctionModule; fn: FunctionIdentity; config: Readonly<Record<string, unknown>> } | undefined

const reader = new FrameReader((kind, callId, body) => {
  switch (kind) {
    case FrameKind.call:
      return execute(callId, body)
    case FrameKind.cancel:
      return cancel(callId, FnError.fromData(JSON.parse(body.toString("utf8"))))
    case FrameKind.credit:
      return running.get(callId)?.credit?.grant(decodeCredit(body))
    case FrameKind.ping:
      return writer.write(FrameKind.pong, 0, [])
    case FrameKind.load:
      return void load(JSON.parse(body.toString("utf8")) as LoadRequest)
    case FrameKind.shutdown:
      return void shutdown()
    default:
      return undefined // a frame of a newer host
  }
})

socket.on("data", (chunk: Buffer) => reader.push(chunk))
socket.on("close", () => process.exit(0))
socket.on("error", () => process.exit(0)) // the host is gone: nobody to tell
// Ctrl-C reaches the whole terminal group: the host decides when its children end.
process.on("SIGINT", () => undefined)
process.on("uncaughtException", crash)
process.on("unhandledRejection", crash)
writer.write(FrameKind.ready, 0, [])

async function put(path: string, source: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, source)
}

async function load(request: LoadRequest): Promise<void> {
  try {
    Object.assign(process.env, request.env)
    if (request.source !== undefined) await put(request.path, request.source)
    const module = functionFromExports((await import(pathToFileURL(request.path).href)) as Record<string, unknown>)
    await initialize(module, request)
    loaded = { module, fn: request.fn, config: request.config }
    const response: LoadResponse = {
      ...(module.accepts ? { accepts: module.accepts } : {}),
      ...(module.emits ? { emits: module.emits } : {}),
      rssBytes: process.memoryUsage.rss(),
    }
    writer.writeJson(FrameKind.loaded, 0, response)
  } catch (thrown) {
    if (!FnError.is(thrown) && thrown instanceof Error) console.error(thrown.stack)
    writer.writeJson(FrameKind.error, 0, FnError.from(thrown, "failed_precondition", "LOAD_FAILED").toData())
  }
}

async function initialize(module: FunctionModule, request: LoadRequest): Promise<void> {
  try {
    await module.initialize?.({ fn: request.fn, config: request.config, secrets: {}, log: logger(0) })
  } catch (thrown) {
    if (!FnError.is(thrown) && thrown instanceof Error) console.error(thrown.stack)
    throw FnError.from(thrown, "failed_precondition", "INIT_FAILED")
  }
}

function execute(callId: number, body: Buffer): void {
  if (!loaded) return writer.writeJson(FrameKind.error, callId, new FnError("internal", "a call came before the load").toData())
  const { module, fn, config } = loaded
  const { head, data } = decodeCall(body)
  const deadline = head.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + head.timeoutMs
  const context = new ExecutionContext({
    invocationId: head.invocationId,
    attempt: head.attempt,
    deadline,
    fn,
    config,
    log: logger(callId),
  })
  const credit = head.window === undefined ? undefined : new CreditWindow(head.window)
  running.set(callId, { context, credit })
  try {
    const output = module.execute(eventFromWire({ attributes: head.attributes, data }), context)
    if (credit) void stream(callId, { context, credit }, fn, output)
    else if (output instanceof Promise) void finishLater(callId, context, fn, output)
    else succeedOrWait(callId, context, fn, output)
  } catch (thrown) {
    fail(callId, context, thrown)
  }
}

/** Sends what the handler yields as it comes, and asks it for more only where there is credit. */
async function stream(
  callId: number,
  { context, credit }: { context: ExecutionContext; credit: CreditWindow },
  fn: FunctionIdentity,
  output: HandlerOutput | Promise<HandlerOutput>,
): Promise<void> {
  try {
    await outputToSink(output, fn, {
      write: (event) => {
        writer.write(FrameKind.events, callId, encodeResult([event]))
        return credit.spend()
      },
    })
    succeed(callId, context, [])
  } catch (thrown) {
    fail(callId, context, thrown)
  }
}

function cancel(callId: number, reason: FnError): void {
  const call = running.get(callId)
  call?.context.abort(reason)
  call?.credit?.close(reason)
}

async function finishLater(callId: number, context: ExecutionContext, fn: FunctionIdentity, output: Promise<HandlerOutput>): Promise<void> {
  try {
    const events = outputToWire(await output, fn, context)
    succeed(callId, context, events instanceof Promise ? await events : events)
  } catch (thrown) {
    fail(callId, context, thrown)
  }
}

function succeedOrWait(callId: number, context: ExecutionContext, fn: FunctionIdentity, output: HandlerOutput): void {
  const events = outputToWire(output, fn, context)
  if (events instanceof Promise)
    events.then(
      (done) => succeed(callId, context, done),
      (thrown) => fail(callId, context, thrown),
    )
  else succeed(callId, context, events)
}

function succeed(callId: number, context: ExecutionContext, events: Parameters<typeof encodeResult>[0]): void {
  end(callId, context)
  writer.write(FrameKind.result, callId, encodeResult(events))
}

function fail(callId: number, context: ExecutionContext, thrown: unknown): void {
  end(callId, context)
  const error = handlerError(thrown)
  // The stack is the author's, and only the log may have it.
  if (error.reason === "FUNCTION_THREW") context.log.error("the function threw", { error: stackOf(thrown) })
  writer.writeJson(FrameKind.error, callId, error.toData())
}

function end(callId: number, context: ExecutionContext): void {
  running.delete(callId)
  context.abort("the execution is over")
}

async function shutdown(): Promise<void> {
  try {
    await loaded?.module.shutdown?.(loaded.fn)
  } catch (thrown) {
    console.error("shutdown failed:", stackOf(thrown))
  }
  socket.end(() => process.exit(0))
}

function crash(thrown: unknown): void {
  console.error(stackOf(thrown))
  process.exit(70)
}

function logger(callId: number): ReturnType<typeof createLogger> {
  return createLogger((level, message, fields) => writer.writeJson(FrameKind.log, callId, { level, message, fields }))
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.stack ? thrown.stack : String(thrown)
}
