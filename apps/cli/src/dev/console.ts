/** What `fn dev` shows: where things are, one line per execution, what functions log, what became of a save. */
import type { FnError, LogLevel } from "@fn/core"
import type { ExecutionReport } from "@fn/runtime"
import type { Io, TextStream } from "../io.js"
import { formatError } from "../report.js"
import { createStyle, formatMs, type Style, wantsColour } from "../style.js"
import { VERSION } from "../version.js"

/** Lines for a person. With `--json` they all go to stderr: stdout then has the one `ready` line alone. */
export class DevConsole {
  readonly #stream: TextStream
  readonly style: Style

  constructor(io: Pick<Io, "stdout" | "stderr" | "env">, options: { json: boolean }) {
    this.#stream = options.json ? io.stderr : io.stdout
    this.style = createStyle(wantsColour(this.#stream, io.env))
  }

  line(text: string): void {
    this.#stream.write(`${text}\n`)
  }

  /** Everything answers. */
  ready({ natsUrl, httpUrl, watching }: { natsUrl: string; httpUrl: string; watching: number }): void {
    const { style } = this
    this.line("")
    this.line(
      `  ${style.bold("fn dev")} ${style.dim(`${VERSION}, for this machine only: functions run as processes of yours, sandboxed only if they ask for it`)}`,
    )
    this.line(`  ${style.dim("nats")}  ${style.cyan(natsUrl)}`)
    this.line(`  ${style.dim("http")}  ${style.cyan(`${httpUrl}/function/<name>`)}`)
    this.line(
      `  ${style.dim(watching === 0 ? "watching nothing: fn dev <dir> does, fn deploy <dir> deploys here" : "every save is live; Ctrl-C stops")}`,
    )
    this.line("")
  }

  /** `○ 12:01:03 hello 1.2.0 ok 3.1 ms → 2 events` */
  execution(report: ExecutionReport, namespace: string): void {
    const { style } = this
    const name = report.namespace === namespace ? report.name : `${report.namespace}/${report.name}`
    const head = `${style.dim(clock())} ${style.bold(name)} ${report.version ?? "-"}`
    const took = formatMs(report.durationMs)
    if (report.ok) {
      const events = report.eventsOut === 1 ? "1 event" : `${report.eventsOut} events`
      return this.line(`${style.green("○")} ${head} ${style.green("ok")} ${took} → ${events}`)
    }
    this.line(
      `${style.red("●")} ${head} ${style.red(report.reason ?? report.code ?? "failed")} ${took}${report.message ? ` ${style.dim(oneLine(report.message))}` : ""}`,
    )
  }

  /** A line that a function logged or printed. */
  functionLog(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void {
    const { style } = this
    const {
      functionName,
      version: _version,
      instanceId: _instance,
      host: _host,
      channel: _channel,
      invocationId: _invocation,
      ...own
    } = fields
    const mark = level === "error" ? style.red("│") : level === "warn" ? style.yellow("│") : style.dim("│")
    const extras = Object.keys(own).length === 0 ? "" : ` ${style.dim(JSON.stringify(own))}`
    this.line(`${mark} ${style.dim(clock())} ${style.bold(String(functionName))} ${message}${extras}`)
  }

  /** A function went live, or an earlier version of it again. */
  deployed(dir: string, ref: string, note: string): void {
    this.line(
      `${this.style.green("✓")} ${this.style.dim(clock())} ${this.style.bold(ref)} ${this.style.dim(`${dir}${note === "" ? "" : `, ${note}`}`)}`,
    )
  }

  unchanged(dir: string): void {
    this.line(`${this.style.dim(`· ${clock()} ${dir}: no changes`)}`)
  }

  /** A save that does not build, or a deploy that was refused. What is live stays live. */
  rejected(dir: string, error: FnError): void {
    this.line(`${this.style.red("✗")} ${this.style.dim(clock())} ${dir}\n${formatError(error, this.style)}`)
  }

  /** It is live, but this machine will refuse to run it. */
  refused(ref: string, error: FnError): void {
    this.line(`${this.style.yellow("!")} ${this.style.dim(clock())} ${ref}: its calls will be refused\n${formatError(error, this.style)}`)
  }

  warn(text: string): void {
    this.line(`${this.style.yellow("!")} ${this.style.dim(clock())} ${text}`)
  }
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}

function oneLine(text: string): string {
  const flat = text.replace(/\s+/g, " ")
  return flat.length > 160 ? `${flat.slice(0, 159)}…` : flat
}
