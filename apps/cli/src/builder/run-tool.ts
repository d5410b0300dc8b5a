import { FnError } from "@fn/core"
import { type Child, describeExit, type ExitInfo, spawnChild } from "@fn/process"

/** How to run a compiler. */
export interface ToolOptions {
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

/** What a compiler said. */
export interface ToolResult {
  readonly exit: ExitInfo
  readonly stdout: string
  readonly stderr: string
}

/** Runs a compiler to its end. @throws {FnError} CANCELLED when `signal` fires; the compiler is gone then */
export async function runTool(command: string, options: ToolOptions): Promise<ToolResult> {
  options.signal?.throwIfAborted()
  const child = spawnChild({ command, args: options.args, cwd: options.cwd, env: options.env })
  const stop = (): void => void child.kill("SIGKILL")
  options.signal?.addEventListener("abort", stop, { once: true })
  try {
    const [exit, stdout, stderr] = await Promise.all([child.exited, textOf(child, "stdout"), textOf(child, "stderr")])
    options.signal?.throwIfAborted()
    return { exit, stdout, stderr }
  } catch (thrown) {
    throw FnError.from(thrown)
  } finally {
    options.signal?.removeEventListener("abort", stop)
  }
}

/** The BUILD_FAILED that a compiler's own words make. */
export function buildFailed(what: string, { exit, stdout, stderr }: ToolResult): FnError {
  const text = stderr.trim() || stdout.trim() || describeExit(exit)
  return FnError.of("BUILD_FAILED", `${what}\n${text}`, { details: { exitCode: exit.code, output: text } })
}

async function textOf(child: Child, stream: "stdout" | "stderr"): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of child[stream] ?? []) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}
