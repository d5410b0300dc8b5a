import { isUtf8 } from "node:buffer"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { buffer } from "node:stream/consumers"
import { type BroadcastAnswer, DATA_EVENT_TYPE, type EventStream } from "@fn/client"
import { type EventInit, encodeStructured, eventToWire, FnError, formatRef, messageOf, type WireEvent } from "@fn/core"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, CLI_SOURCE, type Flags, openClient, refOf } from "../connection.js"
import { showEvent, showEvents } from "../events-output.js"
import { Exit } from "../exit.js"
import { exitCodeOf } from "../exit-code.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { parseCount, parseDuration, parseTime } from "../parse.js"
import { errorReport } from "../report.js"
import { formatMs } from "../style.js"

/** Flags that mean something only to an invocation that is stored. */
const ASYNC_ONLY = { delay: "--delay", at: "--at", callback: "--callback", maxAge: "--max-age" } as const

/** `fn invoke`: one event in, the events that come back out; with `--async` the id to ask for them by. */
export function invokeCommand(io: Io): Command {
  const command = new Command("invoke")
    .description("call a function and wait for what it gives back, or store the call with --async")
    .argument("<ref>", "name, namespace/name, each with @version or @alias")
    .option("-d, --data <json>", "data of the event: JSON, text or bytes; @file, or - for stdin")
    .option("-e, --event <file>", "a whole CloudEvent as JSON from a file, or - for stdin")
    .option("--type <type>", `type of the event (default ${DATA_EVENT_TYPE}, or the event's own)`)
    .option("--timeout-ms <ms>", "how long to wait, with --async for one attempt (default: the function's own time-out)", parseCount)
    .option("--idempotency-key <key>", "run once for everybody who calls with this key: stored, and waited for up to 30 s by default")
    .option("--async", "store the invocation and print its id; fn result waits for what it gives")
    .option("--delay <time>", "with --async: not before this has passed: 500ms, 10s, 24h", parseDuration)
    .option("--at <time>", "with --async: not before this moment: 2030-01-31T08:00:00Z", parseTime)
    .option("--max-age <time>", "with --async: not after waiting for longer than this", parseDuration)
    .option("--callback <address>", "with --async: where the result goes too: https://…, event:<type>, function:<ref>")
    .option("--stream", "print each event as the function yields it")
    .option("--broadcast", "run it on every host that serves it, and print what each of them answers")
    .option(
      "--json",
      'print {"events": […]}, with --stream one event a line, with --broadcast {"answers": […]}, with --async {"invocationId": …}',
    )
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    const { timeoutMs, idempotencyKey } = flags as { timeoutMs?: number; idempotencyKey?: string }
    checkAsyncFlags(flags)
    const wire = eventToWire(await readEvent(flags, io), { source: CLI_SOURCE })
    await using client = await openClient(flags, io)
    const options = { signal: io.signal, timeoutMs, idempotencyKey }
    if (flags.async === true) {
      const { delay, at, maxAge, callback } = flags as { delay?: number; at?: Date; maxAge?: number; callback?: string }
      const invocationId = await client.invokeAsyncWire(ref, wire, { ...options, delayMs: delay, at, maxAgeMs: maxAge, callback })
      out.result({ invocationId, namespace: ref.namespace, name: ref.name }, () => invocationId)
      return
    }
    if (flags.broadcast === true)
      return showAnswers(out, await client.broadcastWire(ref, wire, { signal: io.signal, timeoutMs }), formatRef(ref))
    if (flags.stream === true) return await showStream(client.streamWire(ref, wire, { signal: io.signal, timeoutMs }), out, io)
    const startedAt = performance.now()
    const wires = await client.invokeWire(ref, wire, options)
    const tookMs = performance.now() - startedAt
    showEvents(out, io, wires, `${formatRef(ref)}, ${formatMs(tookMs)}`)
  })
}

/** As the events come; a reader that goes away ends this process, and with it the function. */
async function showStream(stream: EventStream<WireEvent>, out: Output, io: Io): Promise<void> {
  for await (const wire of stream) showEvent(out, io, wire)
}

/** What each host answered. The command fails as the first host that did. */
function showAnswers(out: Output, answers: readonly BroadcastAnswer<WireEvent>[], name: string): void {
  const shown = answers.map((answer) =>
    answer.ok
      ? { host: answer.host, ok: true, events: answer.events.map((wire) => JSON.parse(encodeStructured(wire)) as unknown) }
      : { host: answer.host, ok: false, error: errorReport(answer.error) },
  )
  out.result({ answers: shown }, (style) => (answers.length === 0 ? style.dim(`no host serves ${name}`) : answers.map(lineOf).join("\n")))
  const failed = answers.find(({ ok }) => !ok)
  if (failed && !failed.ok) throw new Exit(exitCodeOf(failed.error))
}

function lineOf(answer: BroadcastAnswer<WireEvent>): string {
  if (!answer.ok) return `${answer.host}  failed  ${answer.error.reason}: ${answer.error.message}`
  return [`${answer.host}  ok`, ...answer.events.map(encodeStructured)].join("\n  ")
}

function checkAsyncFlags(flags: Flags): void {
  if (flags.broadcast === true && (flags.stream === true || flags.async === true || flags.idempotencyKey !== undefined))
    throw FnError.of(
      "INVALID_REQUEST",
      "--broadcast goes with neither --stream nor --async nor --idempotency-key: each host runs it once, now",
    )
  if (flags.stream === true && (flags.async === true || flags.idempotencyKey !== undefined))
    throw FnError.of("INVALID_REQUEST", "--stream goes with neither --async nor --idempotency-key: a stored invocation is not streamed")
  if (flags.async === true) return
  for (const [name, flag] of Object.entries(ASYNC_ONLY))
    if (flags[name] !== undefined) throw FnError.of("INVALID_REQUEST", `${flag} needs --async: only a stored invocation can wait`)
}

async function readEvent(flags: Flags, io: Io): Promise<EventInit> {
  const { data, event, type } = flags as { data?: string; event?: string; type?: string }
  if (data !== undefined && event !== undefined) throw FnError.of("INVALID_REQUEST", "give --data or --event, not both")
  if (event === undefined)
    return { specversion: "1.0", type: type ?? DATA_EVENT_TYPE, ...(data === undefined ? {} : dataOf(await readData(data, io))) }
  const parsed = parseJson((await readSource(event, io)).toString("utf8"), event)
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw FnError.of("INVALID_EVENT", `${event}: an event is a JSON object`)
  return { specversion: "1.0", ...parsed, ...(type === undefined ? {} : { type }) } as EventInit
}

/** JSON, else text, else bytes: a function gets what was given, not a JSON string that has it inside. */
function dataOf(bytes: Buffer): Pick<EventInit, "data" | "datacontenttype"> {
  if (!isUtf8(bytes)) return { data: bytes, datacontenttype: "application/octet-stream" }
  const text = bytes.toString("utf8")
  try {
    return { data: JSON.parse(text) as unknown }
  } catch {
    return { data: text, datacontenttype: "text/plain" } // a word is a fine thing to send
  }
}

function readData(data: string, io: Io): Promise<Buffer> {
  if (data === "-") return readSource("-", io)
  return data.startsWith("@") ? readSource(data.slice(1), io) : Promise.resolve(Buffer.from(data))
}

async function readSource(file: string, io: Io): Promise<Buffer> {
  if (file === "-") return await buffer(io.stdin)
  try {
    return await readFile(resolve(io.cwd, file))
  } catch (cause) {
    throw FnError.of("INVALID_REQUEST", `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (thrown) {
    throw FnError.of("INVALID_EVENT", `${file === "-" ? "stdin" : file} is no JSON: ${messageOf(thrown)}`)
  }
}
