import type { FnError } from "@fn/core"
import type { Io } from "./io.js"
import { errorReport, formatError } from "./report.js"
import { createStyle, type Style, wantsColour } from "./style.js"

/** What a command says: results on stdout, everything else on stderr. With `--json`, stdout carries one JSON document and nothing else. */
export class Output {
  readonly json: boolean
  /** Colours of stdout. */
  readonly style: Style
  /** Colours of stderr. */
  readonly noteStyle: Style
  readonly #io: Pick<Io, "stdout" | "stderr">

  constructor(io: Pick<Io, "stdout" | "stderr" | "env">, options: { json: boolean }) {
    this.json = options.json
    this.style = createStyle(wantsColour(io.stdout, io.env))
    this.noteStyle = createStyle(wantsColour(io.stderr, io.env))
    this.#io = io
  }

  /** The command's result: `value` for machines, `text` for people. */
  result(value: unknown, text: (style: Style) => string): void {
    const shown = this.json ? JSON.stringify(value) : text(this.style)
    if (shown !== "") this.line(shown)
  }

  /** One line on stdout as it is. */
  line(text: string): void {
    this.#io.stdout.write(`${text}\n`)
  }

  /** Something a person may want to know meanwhile. */
  note(text: string): void {
    this.#io.stderr.write(`${text}\n`)
  }

  warn(text: string): void {
    this.note(`${this.noteStyle.yellow("warning:")} ${text}`)
  }

  /** The command failed: on stderr for people, as the one JSON document of stdout with `--json`. */
  failed(error: FnError): void {
    if (this.json) this.line(JSON.stringify({ error: errorReport(error) }))
    else this.note(formatError(error, this.noteStyle))
  }
}
