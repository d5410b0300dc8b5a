import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { buffer } from "node:stream/consumers"
import { connectClient, DATA_EVENT_TYPE } from "@fn/client"
import { type EventInit, encodeStructured, eventFromWire, eventToWire, FnError, formatRef, messageOf, type WireEvent } from "@fn/core"
import { Command } from "commander"
import { addConnectionFlags, addNamespaceFlag, type Flags, openPlatform, refOf, registryOptions } from "../connection.js"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { parseCount } from "../parse.js"
import { formatMs, type Style } from "../style.js"

/** Where an event from this command comes from, if it does not say. */
const SOURCE = "/fn/cli"

/** `fn invoke`: one event in, the events that come back out. */
export function invokeCommand(io: Io): Command {
  const command = new Command("invoke")
    .description("call a function and wait for what it gives back")
    .argument("<ref>", "name, namespace/name, each with @version or @alias")
    .option("-d, --data <json>", "data of the event: JSON or text, @file, or - for stdin")
    .option("-e, --event <file>", "a whole CloudEvent as JSON from a file, or - for stdin")
    .option("--type <type>", `type of the event (default ${DATA_EVENT_TYPE}, or the event's own)`)
    .option("--timeout-ms <ms>", "how long to wait (default: the function's own time-out)", parseCount)
    .option("--json", 'print {"events": […]}')
  addNamespaceFlag(command, "namespace of a bare name")
  return addConnectionFlags(command).action(async (text: string, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    const ref = refOf(text, flags, io)
    const event = await readEvent(flags, io)
    await using platform = await openPlatform(flags, io)
    const { nc, registry, options } = platform
    await using client = await connectClient({ nc, registry, source: SOURCE, ...registryOptions(options) })
    const startedAt = performance.now()
    const wires = await client.invokeWire(ref, eventToWire(event, { source: SOURCE }), {
      signal: io.signal,
      timeoutMs: flags.timeoutMs as number | undefined,
    })
    const tookMs = performance.now() - startedAt
    // In the JSON event format: data that is no JSON travels as data_base64.
    const events = wires.map(encodeStructured)
    out.result({ events: events.map((text) => JSON.parse(text) as unknown) }, (style) =>
      io.stdout.isTTY ? pretty(wires, `${formatRef(ref)}, ${formatMs(tookMs)}`, style) : events.join("\n"),
    )
  })
}

async function readEvent(flags: Flags, io: Io): Promise<EventInit> {
  const { data, event, type } = flags as { data?: string; event?: string; type?: string }
  if (data !== undefined && event !== undefined) throw FnError.of("INVALID_REQUEST", "give --data or --event, not both")
  if (event === undefined) return dataEvent(data === undefined ? undefined : await readText(data, io), type)
  const parsed = parseJson(await readSource(event, io), event)
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw FnError.of("INVALID_EVENT", `${event}: an event is a JSON object`)
  return { specversion: "1.0", ...parsed, ...(type === undefined ? {} : { type }) } as EventInit
}

function dataEvent(text: string | undefined, type: string = DATA_EVENT_TYPE): EventInit {
  // With specversion the client takes it as an event also where there is no data.
  if (text === undefined) return { specversion: "1.0", type }
  return { specversion: "1.0", type, data: jsonOrText(text) }
}

function readText(data: string, io: Io): Promise<string> {
  if (data === "-") return readSource("-", io)
  return data.startsWith("@") ? readSource(data.slice(1), io) : Promise.resolve(data)
}

async function readSource(file: string, io: Io): Promise<string> {
  if (file === "-") return (await buffer(io.stdin)).toString("utf8")
  try {
    return await readFile(resolve(io.cwd, file), "utf8")
  } catch (cause) {
    throw FnError.of("INVALID_REQUEST", `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text // a word is a fine thing to send
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (thrown) {
    throw FnError.of("INVALID_EVENT", `${file === "-" ? "stdin" : file} is no JSON: ${messageOf(thrown)}`)
  }
}

function pretty(wires: readonly WireEvent[], head: string, style: Style): string {
  const count = wires.length === 1 ? "1 event" : `${wires.length} events`
  return [style.dim(`${count} from ${head}`), ...wires.map((wire) => prettyEvent(wire, style))].join("\n")
}

function prettyEvent(wire: WireEvent, style: Style): string {
  const { type, subject } = wire.attributes
  const head = `${style.green("→")} ${style.bold(type)}${subject === undefined ? "" : style.dim(` ${subject}`)}`
  const { data } = eventFromWire(wire)
  if (data === undefined) return head
  if (data instanceof Uint8Array) return `${head}\n  ${style.dim(`${data.length} bytes`)}`
  const text = typeof data === "string" ? data : JSON.stringify(data, null, 2)
  return `${head}\n${text.replace(/^/gm, "  ")}`
}
