import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { type Child, spawnChild } from "@fn/process"
import { until } from "@fn/testing"

/** A Node process of a test, and the lines it printed. */
export interface TestChild extends AsyncDisposable {
  readonly child: Child
  readonly lines: readonly string[]
  /** How often it printed `line`. */
  count(line: string): number
}

/** Starts a script of this folder; resolves when it has printed `ready`. */
export async function startChild(script: string, args: readonly string[]): Promise<TestChild> {
  const child = spawnChild({
    command: process.execPath,
    args: [fileURLToPath(new URL(script, import.meta.url)), ...args],
    env: { PATH: process.env.PATH ?? "" },
    stdio: ["ignore", "pipe", "inherit"],
  })
  const lines: string[] = []
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => lines.push(line))
  const started: TestChild = {
    child,
    lines,
    count: (line) => lines.filter((printed) => printed === line).length,
    [Symbol.asyncDispose]: async () => void (await child.terminate({ graceMs: 0 })),
  }
  await until(() => child.exit || started.count("ready") > 0, { name: `${script} to be ready`, timeoutMs: 20_000 })
  if (child.exit) throw new Error(`${script} ended before it was ready`)
  return started
}
