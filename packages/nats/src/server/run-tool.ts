import { FnError } from "@fn/core"
import { describeExit, spawnChild } from "@fn/process"

/** A program that runs to its end. */
export interface ToolOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly timeoutMs: number
}

/** Longest output that is kept, from the end. */
const MAX_OUTPUT = 16_384

/** Output (stdout and stderr together) of a program that exits with 0. @throws {FnError} unavailable with the end of its output otherwise */
export async function runTool(options: ToolOptions): Promise<string> {
  const env: Record<string, string> = {}
  for (const name in options.env) if (options.env[name] !== undefined) env[name] = options.env[name]
  const child = spawnChild({ command: options.command, args: options.args, env, ...(options.cwd ? { cwd: options.cwd } : {}) })
  let output = ""
  let timedOut = false
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-MAX_OUTPUT)
  }
  child.stdout?.on("data", collect)
  child.stderr?.on("data", collect)
  const closed = new Promise<void>((resolve) => child.process.once("close", () => resolve()))
  const timer = setTimeout(() => {
    timedOut = true
    child.kill("SIGKILL")
  }, options.timeoutMs)
  const exit = await child.exited
  clearTimeout(timer)
  if (!exit.spawnError) await closed // the last of the output
  if (exit.code === 0) return output
  const why = timedOut ? `no end after ${options.timeoutMs} ms` : describeExit(exit)
  throw new FnError("unavailable", `${options.command} ${options.args.join(" ")}: ${why}: ${lastLines(output, 4)}`)
}

/** The last `count` lines that are not empty, joined by " | ". */
export function lastLines(text: string, count: number): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-count)
    .join(" | ")
}
