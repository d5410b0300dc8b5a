import { createLogger, type FunctionModule, type WireEvent } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { connectRegistry, type FunctionManifest, type Registry, setupPlatform } from "@fn/registry"
import { startTestServer, type TestServer, tempDir } from "@fn/testing"
import { headers, type Msg, type Subscription } from "@nats-io/transport-node"
import { type RuntimeOptions, type RuntimeService, startRuntime } from "../../src/index.js"
import type { LogLine } from "../test-host.js"

/** One of several hosts. */
export interface Host {
  readonly runtime: RuntimeService
  readonly nc: NatsConnection
  readonly lines: LogLine[]
}

/** A server, set up, and as many hosts on it as a test starts. */
export interface TestHosts extends AsyncDisposable {
  readonly server: TestServer
  /** The caller's connection. */
  readonly nc: NatsConnection
  readonly registry: Registry
  /** Starts a host called `name`. Its connection is its own. */
  start(name: string, builtins: NonNullable<RuntimeOptions["builtins"]>, options?: Partial<RuntimeOptions>): Promise<Host>
  deploy(name: string, manifest?: Partial<FunctionManifest>): Promise<void>
}

/** Starts the server; use it as `await using hosts = await startTestHosts()`. With `setUp: false` there are no streams for invocations. */
export async function startTestHosts(options: { setUp?: boolean } = {}): Promise<TestHosts> {
  const folder = await tempDir("fn-hosts-")
  const server = await startTestServer()
  const nc = await server.connect()
  await setupPlatform(nc)
  if (options.setUp === false) await deleteQueue(nc)
  const registry = await connectRegistry(await server.connect())
  const hosts: Host[] = []
  return {
    server,
    nc,
    registry,
    start: async (name, builtins, more = {}) => {
      const hostNc = await server.connect()
      const lines: LogLine[] = []
      const runtime = await startRuntime({
        nc: hostNc,
        registry: await connectRegistry(hostNc),
        dataDir: folder.file(name),
        host: name,
        builtins,
        logger: createLogger((level, message, fields) => lines.push({ level, message, fields })),
        ...more,
        limits: { spares: false, ...more.limits },
      })
      const host = { runtime, nc: hostNc, lines }
      hosts.push(host)
      return host
    },
    deploy: async (name, manifest = {}) => {
      await registry.deploy({ name, language: "js", runtime: "builtin", ...manifest })
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(hosts.map(({ runtime }) => runtime.close()))
      await registry.close()
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function deleteQueue(nc: NatsConnection): Promise<void> {
  await nc.request("$JS.API.STREAM.DELETE.FUNCTION_QUEUE", "")
}

/** One call of somebody who knows nothing but NATS: every message that came to its inbox. */
export interface RawCall {
  readonly messages: Msg[]
  /** The reply: the first message that is neither a started nor a queued one. */
  readonly reply: Promise<Msg>
}

/** Publishes a call to `subject` and listens to its inbox until the reply. */
export function callOn(nc: NatsConnection, subject: string, lines: Record<string, string> = {}, payload: string = "{}"): RawCall {
  const messages: Msg[] = []
  const inbox = `_INBOX.test.${Math.random().toString(36).slice(2)}`
  let subscription: Subscription
  const reply = new Promise<Msg>((resolve) => {
    subscription = nc.subscribe(inbox, {
      callback: (_error, msg) => {
        messages.push(msg)
        if (msg.headers?.has("Fn-Started") || msg.headers?.has("Fn-Queued")) return
        subscription.unsubscribe()
        resolve(msg)
      },
    })
  })
  const block = headers()
  for (const [name, value] of Object.entries(lines)) block.set(name, value)
  nc.publish(subject, payload, { reply: inbox, headers: block })
  return { messages, reply }
}

/** A builtin whose executions end when the test says so. */
export class Gate {
  /** Host by execution, in order of start. */
  readonly started: string[] = []
  readonly ids: string[] = []
  #waiting: (() => void)[] = []
  #isOpen = false

  /** The builtin as `host` runs it. */
  on(host: string): FunctionModule["execute"] {
    return async (_event, context) => {
      this.started.push(host)
      this.ids.push(context.invocationId)
      if (!this.#isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve))
      return { type: "done", data: host } as unknown as WireEvent as never
    }
  }

  /** How many executions `host` started. */
  count(host: string): number {
    return this.started.filter((name) => name === host).length
  }

  /** Ends the executions that are under way. */
  release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Ends those, and lets later ones through. */
  open(): void {
    this.#isOpen = true
    this.release()
  }
}
