import type { Readable, Writable } from "node:stream"
import type { LogLevel } from "@fn/core"
import { type Child, type ExitInfo, spawnChild } from "@fn/process"
import { LineSplitter } from "../../src/log/line-splitter.js"
import { type GoPluginRelease, goKv } from "./go-kv.js"
import { defer, type LoggedLine, tsKv } from "./kv.js"
import { until } from "./until.js"

/** What the Go host reports of a command. */
export interface Report {
  readonly event: string
  readonly result?: string
  readonly error?: string
  readonly code?: number
  readonly ms: number
}

/** A real Go host with our plugin under it. */
export interface GoHost {
  readonly child: Child
  /** The host's own process id; `child` may be a wrapper around it. */
  readonly pid: number
  /** The plugin's process id. */
  readonly pluginPid: number
  do(command: string, arg?: string): Promise<Report>
  /** What the plugin printed, as the host got it. */
  printed(channel: "stdout" | "stderr"): string
  /** The host's own log, the plugin's lines among it. */
  readonly log: readonly LoggedLine[]
  /** Closes the host's stdin, so that it ends as a host does. */
  end(): Promise<ExitInfo>
}

/** How to start a Go host. */
export interface GoHostOptions {
  readonly mtls?: boolean
  readonly multiplex?: boolean
  /** Of go-plugin, that the host is built with. Default: the newest. */
  readonly release?: GoPluginRelease
  /** Default: ours in TypeScript. */
  readonly plugin?: { readonly command: string; readonly args: readonly string[] }
  /** Of our plugin in TypeScript. */
  readonly faults?: string[]
  readonly ownSession?: boolean
}

/** Starts the host; rejects with its words when the plugin does not start. */
export async function startGoHost(options: GoHostOptions = {}): Promise<GoHost> {
  const plugin = options.plugin ?? tsKv(...(options.faults ?? []))
  // In a session of its own nothing of what ends the host ends the plugin, too.
  const binary = goKv(options.release)
  const [command, ...wrapper] = options.ownSession ? ["setsid", "--wait", binary] : [binary]
  const child = spawnChild({
    command: command as string,
    args: [
      ...wrapper,
      "host",
      ...(options.mtls ? ["--mtls"] : []),
      ...(options.multiplex ? ["--mux"] : []),
      "--",
      plugin.command,
      ...plugin.args,
    ],
    env: { PATH: process.env.PATH ?? "" },
    stdio: ["pipe", "pipe", "pipe"],
  })
  const end = (): Promise<ExitInfo> => {
    child.stdin?.end()
    return child.exited
  }
  // With the end of its stdin the host ends its plugin gracefully.
  defer(end)
  const reports: Report[] = []
  const log: LoggedLine[] = []
  const printed = { stdout: "", stderr: "" }
  lines(child.stdout, (line) => {
    const report = JSON.parse(line) as Report
    if (report.event === "stdout" || report.event === "stderr") printed[report.event] += report.result
    else reports.push(report)
  })
  lines(child.stderr, (line) => {
    // The wrapper's own last words are no JSON.
    if (!line.startsWith("{")) return void log.push({ level: "error", message: line, fields: {} })
    const { "@level": level, "@message": message, ...fields } = JSON.parse(line) as HclogRecord
    log.push({ level, message, fields })
  })
  const next = () => until(() => reports.shift(), { name: "the Go host's report", timeoutMs: 10_000 })
  const started = await next()
  if (started.event !== "started") throw new Error(started.error)
  const [pid, pluginPid] = (started.result ?? "").split(" ").map(Number) as [number, number]
  return {
    child,
    pid,
    pluginPid,
    do: (command, arg = "") => {
      ;(child.stdin as Writable).write(`${JSON.stringify({ do: command, arg })}\n`)
      return next()
    },
    printed: (channel) => printed[channel],
    log,
    end,
  }
}

type HclogRecord = { "@level": LogLevel; "@message": string } & Record<string, unknown>

function lines(stream: Readable | null, onLine: (line: string) => void): void {
  const splitter = new LineSplitter(onLine, 64 * 1024 * 1024)
  stream?.on("data", (chunk: Buffer) => splitter.push(chunk))
}
