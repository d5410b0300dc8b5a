/**
 * A nats-server of our own, as a child process.
 *
 * It says where it listens in a ports file, which is raced against its early exit. It dies with this process (SIGKILL included, on Linux),
 * and leaves nothing but its store, where its configuration and the ports file stand too.
 */
import { closeSync, openSync } from "node:fs"
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { FnError } from "@fn/core"
import { type Child, describeExit, type ExitInfo, removeAfterDeath, spawnChild } from "@fn/process"
import { findNatsServer } from "./find.js"
import { type LogTail, tailFile, tailStream } from "./log-tail.js"
import { lastLines } from "./run-tool.js"

/** How to start a server. */
export interface StartServerOptions {
  /** Default: what {@link findNatsServer} finds. */
  readonly binary?: string
  /** Default 0: a free one. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Folder for JetStream, the configuration and the ports file; made if need be. One server at a time. */
  readonly storeDir: string
  /** Default true. */
  readonly jetstream?: boolean
  /** Further settings in nats-server's configuration language: authorization, accounts, cluster, `jetstream { domain: hub }` … */
  readonly config?: string
  /** Gets stdout and stderr, appended. Default: only the end is kept, for {@link NatsServer.logTail}. */
  readonly logFile?: string
  /** Largest message in bytes. Default: the server's, 1 MiB. */
  readonly maxPayload?: number
  /** How long a server may take to be ready, recovering its streams. Default 60 000. */
  readonly startTimeoutMs?: number
  readonly signal?: AbortSignal
}

/** A running server. */
export interface NatsServer extends AsyncDisposable {
  /** `nats://127.0.0.1:4222`. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly pid: number
  /** Every URL it listens on, by kind: `nats`, and as configured `monitoring`, `cluster`, `websocket` … */
  readonly urls: Readonly<Record<string, readonly string[]>>
  /** Settles when it has ended, on purpose or not; never rejects. */
  readonly exited: Promise<ExitInfo>
  /** The last lines of its log. */
  logTail(): string
  /** SIGTERM, JetStream flushed; SIGKILL after `graceMs` (default 10 000). May be called twice. */
  stop(options?: { graceMs?: number }): Promise<ExitInfo>
  /** SIGKILL, as a crash. */
  kill(): Promise<ExitInfo>
}

const LOOK_EVERY_MS = 5
const STOP_GRACE_MS = 10_000
const START_TIMEOUT_MS = 60_000

/**
 * Starts a server; it takes connections once this resolves.
 * @throws {FnError} PORT_IN_USE, DATA_DIR_IN_USE, NATS_SERVER_EXITED with the end of its log, NATS_SERVER_MISSING; nothing is left running then
 */
export async function startNatsServer(options: StartServerOptions): Promise<NatsServer> {
  if (options.signal?.aborted) throw FnError.from(options.signal.reason, "cancelled")
  const binary = options.binary ?? (await findNatsServer()).path
  const storeDir = resolve(options.storeDir)
  const runDir = join(storeDir, "run")
  await mkdir(runDir, { recursive: true })
  await clearRunDir(runDir, storeDir)
  const configFile = join(storeDir, "nats-server.conf")
  await writeFile(configFile, configText(options), { mode: 0o600 })

  const { child, log } = spawnServer(binary, serverArgs(options, { storeDir, runDir, configFile }), options.logFile)
  const portsFile = join(runDir, `nats-server_${child.pid}.ports`)
  // A killed server leaves its file behind, and so do we if we are killed.
  const keeper = removeAfterDeath([{ path: portsFile }])
  const exited = child.exited.then(async (exit) => {
    await rm(portsFile, { force: true })
    await keeper.release()
    return exit
  })
  try {
    const urls = await readPorts(portsFile, child, log, options)
    return new RunningServer(child, exited, urls, log)
  } catch (thrown) {
    child.kill()
    await exited
    throw FnError.from(thrown, "unavailable", "NATS_SERVER_EXITED")
  }
}

class RunningServer implements NatsServer {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly pid: number
  readonly urls: Readonly<Record<string, readonly string[]>>
  readonly exited: Promise<ExitInfo>
  readonly #child: Child
  readonly #log: LogTail

  constructor(child: Child, exited: Promise<ExitInfo>, urls: Readonly<Record<string, readonly string[]>>, log: LogTail) {
    const all = urls.nats ?? []
    // On 0.0.0.0 it lists every address of the machine.
    this.url = all.find((url) => url.includes("//127.0.0.1:")) ?? all[0] ?? ""
    const { hostname, port } = new URL(this.url)
    this.host = hostname
    this.port = Number(port)
    this.pid = child.pid as number
    this.urls = urls
    this.exited = exited
    this.#child = child
    this.#log = log
  }

  logTail(): string {
    return this.#log.text()
  }

  async stop(options: { graceMs?: number } = {}): Promise<ExitInfo> {
    await this.#child.terminate({ graceMs: options.graceMs ?? STOP_GRACE_MS })
    return this.exited
  }

  kill(): Promise<ExitInfo> {
    this.#child.kill("SIGKILL")
    return this.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

function configText(options: StartServerOptions): string {
  const limit = options.maxPayload === undefined ? "" : `max_payload: ${options.maxPayload}\n`
  return `${limit}${options.config ?? ""}\n`
}

/** What is ours goes by flag, which wins over the configuration. */
function serverArgs(options: StartServerOptions, paths: { storeDir: string; runDir: string; configFile: string }): string[] {
  const port = options.port === undefined || options.port === 0 ? -1 : options.port
  const jetstream = (options.jetstream ?? true) ? ["-js", "-sd", paths.storeDir] : []
  const listen = ["-a", options.host ?? "127.0.0.1", "-p", String(port), "--ports_file_dir", paths.runDir]
  return ["-c", paths.configFile, ...listen, ...jetstream]
}

function spawnServer(binary: string, args: string[], logFile: string | undefined): { child: Child; log: LogTail } {
  if (logFile === undefined) {
    const child = spawnChild({ command: binary, args, env: {}, stdio: ["ignore", "ignore", "pipe"] })
    return { child, log: tailStream(child.stderr) }
  }
  const file = openSync(logFile, "a")
  try {
    const log = tailFile(logFile)
    return { child: spawnChild({ command: binary, args, env: {}, stdio: ["ignore", file, file] }), log }
  } finally {
    closeSync(file) // the child has its own
  }
}

async function readPorts(path: string, child: Child, log: LogTail, options: StartServerOptions): Promise<Record<string, string[]>> {
  const timeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS
  const end = performance.now() + timeoutMs
  for (;;) {
    if (child.exit) {
      await log.complete()
      throw exitError(child.exit, log.text(), options)
    }
    const urls = await parsePorts(path)
    if (urls) return urls
    if (performance.now() > end) {
      const tail = lastLines(log.text(), 4)
      throw FnError.of("NATS_SERVER_EXITED", `nats-server was not ready after ${timeoutMs} ms: ${tail}`)
    }
    await delay(LOOK_EVERY_MS, undefined, options.signal ? { signal: options.signal } : {})
  }
}

/** Undefined while the file is not there, or not wholly. */
async function parsePorts(path: string): Promise<Record<string, string[]> | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Record<string, string[]>
  } catch {
    return undefined
  }
}

function exitError(exit: ExitInfo, log: string, options: StartServerOptions): FnError {
  const tail = lastLines(log, 6)
  if (/address already in use/i.test(log)) {
    const where = `${options.host ?? "127.0.0.1"}:${options.port}`
    return FnError.of("PORT_IN_USE", `nats-server cannot listen on ${where}: something else does already`, { details: { log: tail } })
  }
  return FnError.of("NATS_SERVER_EXITED", `nats-server ended at once (${describeExit(exit)}): ${tail}`, { details: { log: tail } })
}

/** Removes what killed servers left. @throws {FnError} failed_precondition DATA_DIR_IN_USE: two servers on one store would ruin it */
async function clearRunDir(runDir: string, storeDir: string): Promise<void> {
  for (const file of await readdir(runDir)) {
    const pid = /^nats-server_(\d+)\.ports$/.exec(file)?.[1]
    if (pid === undefined) continue
    if ((await commandLineOf(pid)).includes(storeDir))
      throw FnError.of("DATA_DIR_IN_USE", `${storeDir} is the store of a nats-server that runs (process ${pid})`)
    await rm(join(runDir, file), { force: true })
  }
}

/** Empty when there is no such process, or where the system has no /proc. */
async function commandLineOf(pid: string): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " ")
  } catch {
    return ""
  }
}
