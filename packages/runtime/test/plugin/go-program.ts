import { findOnPath, spawnChild } from "@fn/process"

/** The Go toolchain, where there is one. */
export const go: string | undefined = findOnPath("go")

/** Runs `go` in `cwd`. Rejects with its output unless it succeeds. */
export async function runGo(args: string[], cwd: string): Promise<void> {
  if (!go) throw new Error("there is no go on the PATH")
  const child = spawnChild({ command: go, args, cwd, env: { ...(process.env as Record<string, string>), CGO_ENABLED: "0" } })
  let output = ""
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => (output += chunk.toString()))
  const exit = await child.exited
  if (exit.code !== 0) throw new Error(`go ${args.join(" ")}: ${output}`)
}
