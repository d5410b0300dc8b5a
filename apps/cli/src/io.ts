import type { Readable } from "node:stream"

/** Where text goes: a terminal, a pipe or a file. */
export interface TextStream {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/** Everything a command may touch of the process it runs in. main.ts fills it in; nothing else in this app reads the process. */
export interface Io {
  /** What relative paths on the command line mean. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: TextStream
  readonly stderr: TextStream
  /** Fires at the first SIGINT or SIGTERM: finish what runs, then return. */
  readonly signal: AbortSignal
}

/** The variables that are set, for a child that takes the whole environment. An empty one counts as set, as everywhere in Unix. */
export function environmentOf(io: Pick<Io, "env">): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(io.env)) if (value !== undefined) env[name] = value
  return env
}
