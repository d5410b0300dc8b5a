import { encodeStructured, eventFromWire, type WireEvent } from "@fn/core"
import type { Io } from "./io.js"
import type { Output } from "./output.js"
import type { Style } from "./style.js"

/** Shows what a function gave: laid out on a terminal, in a pipe one JSON event a line, with `--json` `{"events":[…]}`. `from` says whose they are. */
export function showEvents(out: Output, io: Pick<Io, "stdout">, wires: readonly WireEvent[], from: string): void {
  // In the JSON event format: data that is no JSON travels as data_base64.
  const events = wires.map(encodeStructured)
  out.result({ events: events.map((text) => JSON.parse(text) as unknown) }, (style) =>
    io.stdout.isTTY ? pretty(wires, from, style) : events.join("\n"),
  )
}

/** Shows one event of several as it comes: laid out on a terminal, else as one line of JSON. */
export function showEvent(out: Output, io: Pick<Io, "stdout">, wire: WireEvent): void {
  out.line(io.stdout.isTTY && !out.json ? prettyEvent(wire, out.style) : encodeStructured(wire))
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
