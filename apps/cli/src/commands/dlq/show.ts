import { encodeStructured, eventFromWire } from "@fn/core"
import type { DeadLetterContent } from "@fn/queue"
import { Command } from "commander"
import { addConnectionFlags, type Flags, openClient } from "../../connection.js"
import type { Io } from "../../io.js"
import { Output } from "../../output.js"
import { parseCount } from "../../parse.js"
import { type Style, shortRef } from "../../style.js"

/** `fn dlq show`: one dead letter with its event. */
export function dlqShowCommand(io: Io): Command {
  const command = new Command("show")
    .description("show one dead letter with its event")
    .argument("<number>", "its number in fn dlq list", parseCount)
    .option("--json", "print JSON")
  return addConnectionFlags(command).action(async (seq: number, flags: Flags) => {
    const out = new Output(io, { json: flags.json === true })
    await using client = await openClient(flags, io)
    const letter = await client.deadLetters.get(seq)
    out.result(asJson(letter), (style) => describe(letter, style))
  })
}

/** In the JSON event format where it is an event: data that is no JSON travels as data_base64. */
function asJson({ data, event, ...letter }: DeadLetterContent): Record<string, unknown> {
  if (event) return { ...letter, event: JSON.parse(encodeStructured(event)) as unknown }
  return { ...letter, data_base64: Buffer.from(data).toString("base64") }
}

function describe(letter: DeadLetterContent, style: Style): string {
  const { seq, namespace, name, kind, invocationId, reason, code, error, attempts, queuedAt, diedAt, redrivenFrom } = letter
  const head = `${style.bold(`dead letter ${seq}`)}: ${kind === "callback" ? "callback of " : ""}${shortRef({ namespace, name })}`
  const more = {
    invocation: invocationId,
    reason: `${reason} (${code}), ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}`,
    error,
    queued: queuedAt,
    "given up": diedAt,
    "redriven from": redrivenFrom,
    version: letter.headers["Fn-Version"],
    callback: letter.headers["Fn-Callback"],
    "data stored apart": letter.headers["Fn-Payload-Ref"],
  }
  const lines = Object.entries(more).flatMap(([label, value]) => (value === undefined ? [] : [`${style.dim(`${label}:`)} ${value}`]))
  return [head, ...lines, describeEvent(letter, style)].join("\n")
}

function describeEvent({ event, data }: DeadLetterContent, style: Style): string {
  if (!event) return `${style.dim("body:")}\n${indent(Buffer.from(data).toString("utf8"))}`
  const { specversion: _, ...attributes } = event.attributes
  const said = Object.entries(attributes).map(([label, value]) => `  ${style.dim(`${label}:`)} ${String(value)}`)
  const shown = eventFromWire(event).data
  const text = shown instanceof Uint8Array ? `${shown.length} bytes` : typeof shown === "string" ? shown : JSON.stringify(shown, null, 2)
  return [style.dim("event:"), ...said, ...(text === undefined ? [] : [indent(text)])].join("\n")
}

function indent(text: string): string {
  return text.replace(/^/gm, "  ")
}
