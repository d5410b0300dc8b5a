import type { Readable } from "node:stream"
import { type Child, type ExitInfo, spawnChild } from "@fn/process"
import { parseHandshakeLine } from "../../src/handshake/line.js"
import { channelCredentials, PeerChannel, type PeerTls } from "../../src/wire/channel.js"
import { defer, kvPluginFile } from "./kv.js"
import { until } from "./until.js"

/** A plugin started as a shell would: nothing but what the test says. */
export interface StartedByHand {
  readonly child: Child
  stdout(): string
  stderr(): string
  /** The handshake line, once it came. */
  line(): Promise<string>
  /** A channel to where the line says. */
  connect(tls?: PeerTls): Promise<PeerChannel>
  /** Ended, with all output read. */
  ended(): Promise<ExitInfo>
}

export const cookie = { KV_COOKIE: "hello" }

export function startByHand(env: Record<string, string>, ...faults: string[]): StartedByHand {
  const child = spawnChild({ command: process.execPath, args: [kvPluginFile, ...faults], env })
  // SIGTERM: it removes its socket then.
  defer(() => child.terminate({ graceMs: 2_000 }))
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const line = () =>
    until(() => (stdout.text().includes("\n") && stdout.text()) || child.exit !== undefined, { name: "the handshake line" })
  return {
    child,
    stdout: stdout.text,
    stderr: stderr.text,
    line: async () => {
      const text = await line()
      if (typeof text !== "string") throw new Error(`the plugin ended without a line: ${stderr.text()}`)
      return text
    },
    connect: async (tls) => {
      const channel = new PeerChannel(parseHandshakeLine(String(await line())), channelCredentials(tls))
      defer(() => channel.close())
      return channel
    },
    ended: async () => {
      const exit = await child.exited
      await Promise.all([stdout.ended, stderr.ended])
      return exit
    },
  }
}

function collect(stream: Readable | null): { text(): string; ended: Promise<void> } {
  const chunks: Buffer[] = []
  stream?.on("data", (chunk: Buffer) => chunks.push(chunk))
  return {
    text: () => Buffer.concat(chunks).toString(),
    ended: new Promise((resolve) => stream?.once("close", resolve)),
  }
}
