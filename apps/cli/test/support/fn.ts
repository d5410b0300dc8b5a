import { once } from "node:events"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { type Child, type ExitInfo, spawnChild } from "@fn/process"
import { testEnvironment } from "./environment.js"

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url))

/** How to run the command. */
export interface FnOptions {
  /** Folder it runs in; its build cache is there too. */
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** What it reads on stdin. Default: no stdin. */
  readonly input?: string
}

/** What the command said. */
export interface FnResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** stdout as JSON. */
  json<T = Record<string, unknown>>(): T
}

/** Runs `fn` to its end, as a process of its own. */
export async function fn(args: readonly string[], options: FnOptions): Promise<FnResult> {
  const child = spawnFn(args, options)
  if (options.input !== undefined) child.stdin?.end(options.input)
  const [exit, stdout, stderr] = await Promise.all([child.exited, readAll(child.stdout), readAll(child.stderr)])
  return { code: exit.code, stdout, stderr, json: <T>() => JSON.parse(stdout) as T }
}

/** A `fn dev` that runs. */
export interface FnDev extends AsyncDisposable {
  readonly pid: number
  readonly nats: string
  readonly http: string
  /** The ready line. */
  readonly ready: Readonly<Record<string, unknown>>
  /** Everything on stdout so far. */
  stdout(): string
  /** Everything on stderr so far. */
  log(): string
  /** Resolves once stderr has what `pattern` matches, after what it had at `from`. */
  logged(pattern: RegExp, options?: { from?: number; timeoutMs?: number }): Promise<string>
  signal(signal: NodeJS.Signals): void
  readonly exited: Promise<ExitInfo>
}

/** Starts `fn dev --json` on free ports; resolves when it is ready. @throws with its stderr when it ends before */
export async function startDev(args: readonly string[], options: FnOptions): Promise<FnDev> {
  const child = spawnFn(["dev", "--json", "--nats-port", "0", "--http-port", "0", ...args], options)
  return watchDev(child)
}

/** {@link startDev} with arguments as they are. */
export async function watchDev(child: Child): Promise<FnDev> {
  let stdout = ""
  let stderr = ""
  const watchers = new Set<() => void>()
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk
  })
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk
    for (const look of watchers) look()
  })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const first = await Promise.race([once(lines, "line").then(([line]) => line as string), child.exited])
  if (typeof first !== "string") throw new Error(`fn dev ended with ${JSON.stringify(first)} before it was ready:\n${stderr}`)
  const ready = JSON.parse(first) as { nats: string; http: string }
  const dev: FnDev = {
    pid: child.pid as number,
    nats: ready.nats,
    http: ready.http,
    ready: { ...ready },
    stdout: () => stdout,
    log: () => stderr,
    logged: (pattern, { from = 0, timeoutMs = 10_000 } = {}) =>
      new Promise((resolve, reject) => {
        const end = (settle: () => void): void => {
          clearTimeout(timer)
          watchers.delete(look)
          settle()
        }
        const look = (): void => {
          const found = pattern.exec(stderr.slice(from))
          if (found) end(() => resolve(found[0]))
        }
        const timer = setTimeout(() => end(() => reject(new Error(`waited ${timeoutMs} ms for ${pattern} in:\n${stderr}`))), timeoutMs)
        watchers.add(look)
        look()
      }),
    signal: (signal) => void child.process.kill(signal),
    exited: child.exited,
    [Symbol.asyncDispose]: async () => {
      child.process.kill("SIGINT")
      await child.terminate({ graceMs: 15_000 })
    },
  }
  return dev
}

/** Starts the command without waiting for anything. */
export function spawnFn(args: readonly string[], options: FnOptions): Child {
  return spawnChild({
    command: process.execPath,
    args: [MAIN, ...args],
    cwd: options.cwd,
    env: testEnvironment(options.cwd, options.env),
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  })
}

async function readAll(stream: NodeJS.ReadableStream | null): Promise<string> {
  return stream === null ? "" : text(stream as NodeJS.ReadableStream & AsyncIterable<Buffer>)
}
