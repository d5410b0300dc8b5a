import { once } from "node:events"
import { createInterface } from "node:readline"
import { spawnChild } from "@fn/process"
import { tempDir } from "./temp-dir.js"

/** Options of {@link startFnDev}. */
export interface FnDevOptions {
  /** Path of the command's program: `require.resolve("@fn/cli/package.json")` leads to it. */
  readonly program: string
  /** Folders of the functions. */
  readonly folders: readonly string[]
  /** How long everything may take until it answers, ms: a build may be part of it. Default 120 000. */
  readonly timeoutMs?: number
}

/** A whole platform in a process of its own, with functions built and deployed as their author would. */
export interface FnDev extends AsyncDisposable {
  readonly nats: string
  readonly http: string
  /** Everything it said on stderr so far: builds, deploys, executions, what functions log. */
  log(): string
}

/** Starts `fn dev` and resolves when the functions are live; use it as `await using fn = await startFnDev(…)`. Rejects with what it said. */
export async function startFnDev({ program, folders, timeoutMs = 120_000 }: FnDevOptions): Promise<FnDev> {
  const folder = await tempDir("fn-dev-")
  const child = spawnChild({
    command: process.execPath,
    args: [program, "dev", "--json", "--nats-port", "0", "--http-port", "0", "--data-dir", folder.file("data"), ...folders],
    cwd: folder.path,
    env: { ...ownEnvironment(), FN_CACHE_DIR: folder.file("cache"), NO_COLOR: "1" },
  })
  let log = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text
  })
  const dispose = async (): Promise<void> => {
    child.process.kill("SIGINT")
    await child.terminate({ graceMs: 15_000 })
    await folder[Symbol.asyncDispose]()
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs)
  try {
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    const first = await Promise.race([once(lines, "line").then(([line]) => String(line)), child.exited])
    if (typeof first !== "string") throw new Error(`fn dev ended before it was ready:\n${log}`)
    const { nats, http } = JSON.parse(first) as { nats: string; http: string }
    return { nats, http, log: () => log, [Symbol.asyncDispose]: dispose }
  } catch (thrown) {
    await dispose()
    throw thrown
  } finally {
    clearTimeout(timer)
  }
}

/** No FN_… variable of this run reaches it but the path of a server. */
function ownEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && (!entry[0].startsWith("FN_") || entry[0] === "FN_NATS_SERVER"),
    ),
  )
}
