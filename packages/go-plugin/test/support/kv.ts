import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { createLogger, type Logger, type LogLevel } from "@fn/core"
import { Metadata, type Server } from "@grpc/grpc-js"
import { afterEach } from "@jest/globals"
import { type Broker, type LaunchOptions, launchPlugin, type PluginProcess } from "../../src/index.js"
import { KvClient, TellClient, TellService } from "../fixtures/kv.mjs"

export const handshake = { cookieKey: "KV_COOKIE", cookieValue: "hello", protocolVersions: [1, 3] }

/** The command of the TypeScript plugin; arguments are its faults. */
export const kvPluginFile: string = fileURLToPath(new URL("../fixtures/kv-plugin.mjs", import.meta.url))
/** The same service in Python, on grpcio alone. */
export const pythonKvFile: string = fileURLToPath(new URL("../fixtures/kv_plugin.py", import.meta.url))

export function tsKv(...faults: string[]): { command: string; args: string[] } {
  return { command: process.execPath, args: [kvPluginFile, ...faults] }
}

const cleanups: Array<() => unknown> = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Runs `cleanup` at the end of the test. */
export function defer(cleanup: () => unknown): void {
  cleanups.push(cleanup)
}

/** A folder of this test's own. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "gp-"))
  defer(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** An executable shell script: a plugin with a fault. */
export function script(body: string): string {
  const path = join(tempDir(), "fake-plugin")
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

/** One line of a plugin's log, as the host's logger got it. */
export interface LoggedLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A logger that keeps what it is told. */
export function keepingLogger(): { logger: Logger; lines: LoggedLine[] } {
  const lines: LoggedLine[] = []
  return { lines, logger: createLogger((level, message, fields) => lines.push({ level, message, fields })) }
}

/** Launches; what is still running at the end of the test is closed. */
export async function launch(
  options: Omit<LaunchOptions, "handshake"> & Partial<Pick<LaunchOptions, "handshake">>,
): Promise<PluginProcess> {
  const plugin = await launchPlugin({ handshake, ...options })
  defer(() => plugin.close({ shutdownTimeoutMs: 500, graceMs: 500 }))
  return plugin
}

/** Calls of the kv service. */
export interface Kv {
  run(text: string, timeoutMs?: number): Promise<string>
  put(key: string, value: Buffer): Promise<string>
  get(key: string): Promise<Buffer>
  readonly client: KvClient
}

export function kvOf(plugin: Pick<PluginProcess, "createClient">): Kv {
  const client = plugin.createClient(KvClient)
  const options = (timeoutMs: number) => ({ deadline: Date.now() + timeoutMs })
  return {
    client,
    run: (text, timeoutMs = 10_000) =>
      new Promise((resolve, reject) =>
        client.run(text, new Metadata(), options(timeoutMs), (error, reply) => (error ? reject(error) : resolve(reply ?? ""))),
      ),
    put: (key, value) => {
      const metadata = new Metadata()
      metadata.set("key", key)
      return new Promise((resolve, reject) =>
        client.put(value, metadata, options(10_000), (error, reply) => (error ? reject(error) : resolve(reply ?? ""))),
      )
    },
    get: (key) =>
      new Promise((resolve, reject) =>
        client.get(key, new Metadata(), options(10_000), (error, reply) => (error || !reply ? reject(error) : resolve(reply))),
      ),
  }
}

/** What each side offers the other through the broker. */
export function addTell(server: Server): void {
  server.addService(TellService, {
    tell: (call: { request: string }, reply: (error: null, text: string) => void) => reply(null, `told:${call.request}`),
  })
}

/** Dials what the plugin offers, and asks it. */
export async function tellThrough(broker: Broker, id: number): Promise<string> {
  const connection = await broker.dial(id)
  try {
    return await new Promise((resolve, reject) =>
      connection.createClient(TellClient).tell("y", new Metadata(), {}, (error, text) => (error ? reject(error) : resolve(text ?? ""))),
    )
  } finally {
    connection.close()
  }
}

/** What `work` rejects with. */
export async function rejectionOf(work: Promise<unknown>): Promise<{ code: string; reason: string; message: string; details?: unknown }> {
  try {
    await work
  } catch (thrown) {
    return thrown as { code: string; reason: string; message: string }
  }
  throw new Error("it should have been rejected, but it was not")
}
