/** The rules of ExecuteStream that a well-behaved host never meets, over a real gRPC connection. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FnError, type FunctionModule, noopLogger } from "@fn/core"
import { plugin } from "@fn/proto"
import { credentials, Server, ServerCredentials, type ServiceError, status } from "@grpc/grpc-js"
import { afterEach, describe, expect, test } from "@jest/globals"
import { createFunctionServer, type FunctionServer } from "./function-server.js"

type Frame = plugin.PluginFrame
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

async function serve(
  module: FunctionModule,
  maxConcurrency = 0,
): Promise<{ client: plugin.FunctionClient; functionServer: FunctionServer }> {
  const folder = mkdtempSync(join(tmpdir(), "fn-stream-"))
  const server = new Server()
  const functionServer = createFunctionServer(module, { name: "f", version: "1.0.0", maxConcurrency, log: noopLogger })
  server.addService(plugin.FunctionService, functionServer.service)
  const address = `unix:${join(folder, "socket")}`
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
  )
  const client = new plugin.FunctionClient(address, credentials.createInsecure())
  cleanups.push(() => {
    client.close()
    server.forceShutdown()
    rmSync(folder, { recursive: true, force: true })
  })
  return { client, functionServer }
}

async function initialized(module: FunctionModule, maxConcurrency = 0): Promise<{ host: Host; functionServer: FunctionServer }> {
  const { client, functionServer } = await serve(module, maxConcurrency)
  await new Promise<void>((resolve, reject) =>
    client.initialize({ secrets: {}, instanceId: "i", logLevel: 0, workDir: "", hostMetadata: {} }, (error) =>
      error ? reject(error) : resolve(),
    ),
  )
  return { host: new Host(client), functionServer }
}

/** A host that says what it likes. */
class Host {
  readonly stream: ReturnType<plugin.FunctionClient["executeStream"]>
  readonly failed: Promise<ServiceError>
  readonly ended: Promise<void>
  readonly #frames: Frame[] = []
  #waiting: ((frame: Frame) => void) | undefined

  constructor(client: plugin.FunctionClient) {
    this.stream = client.executeStream()
    this.failed = new Promise((resolve) => this.stream.on("error", (error) => resolve(error as ServiceError)))
    this.ended = new Promise((resolve) => this.stream.on("end", resolve))
    this.stream.on("data", ({ frames }: plugin.PluginEnvelope) => {
      for (const frame of frames) {
        const take = this.#waiting
        this.#waiting = undefined
        if (take) take(frame)
        else this.#frames.push(frame)
      }
    })
  }

  send(...frames: plugin.HostFrame[]): void {
    this.stream.write({ frames })
  }

  next(): Promise<Frame> {
    const ready = this.#frames.shift()
    if (ready) return Promise.resolve(ready)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  async open(logLevel = plugin.LogLevel.LOG_LEVEL_INFO): Promise<this> {
    this.send({ callId: 0n, frame: { $case: "open", value: { streamId: "s", outputCredit: 1, logLevel } } })
    expect((await this.next()).frame?.$case).toBe("accepted")
    return this
  }
}

function start(callId: bigint, options: { type?: string; outputWindow?: number; timeoutMs?: number } = {}): plugin.HostFrame {
  const { type = "x", outputWindow = 0, timeoutMs } = options
  const event = { id: "1", source: "/t", specVersion: "1.0", type, attributes: {} }
  const timeout = timeoutMs === undefined ? {} : { timeout: { seconds: 0n, nanos: timeoutMs * 1e6 } }
  const value = { event, context: { invocationId: `i${callId}`, attempt: 1, metadata: {} }, outputWindow, ...timeout }
  return { callId, frame: { $case: "start", value } }
}
const credit = (callId: bigint, outputEvents: number): plugin.HostFrame => ({
  callId,
  frame: { $case: "credit", value: { calls: 0, outputEvents } },
})
const cancel = (callId: bigint): plugin.HostFrame => ({ callId, frame: { $case: "cancel", value: { reason: 1 } } })
const drain: plugin.HostFrame = { callId: 0n, frame: { $case: "drain", value: {} } }

function codeOf({ frame }: Frame): number | undefined {
  return frame?.$case === "result" ? (frame.value.status?.code ?? 0) : undefined
}

/** A module whose handlers wait until they are let go. */
function gate(): { module: FunctionModule; release: () => void; signals: AbortSignal[] } {
  const signals: AbortSignal[] = []
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const execute: FunctionModule["execute"] = async (_event, ctx) => {
    signals.push(ctx.signal)
    await released
    return { type: "done" }
  }
  return { module: { execute }, release, signals }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe("ExecuteStream", () => {
  test("is refused before Initialize", async () => {
    const { client } = await serve({ execute: () => undefined })
    expect((await new Host(client).failed).code).toBe(status.FAILED_PRECONDITION)
  })

  test("must begin with open", async () => {
    const { host } = await initialized({ execute: () => undefined })
    host.send(start(1n))
    expect((await host.failed).code).toBe(status.FAILED_PRECONDITION)
  })

  test("ignores frames it does not know, calls without an id, and a call id that is in use", async () => {
    const { module, release } = gate()
    const { host } = await initialized(module)
    await host.open()
    host.send({ callId: 7n }, start(0n), start(1n), start(1n), { callId: 99n, frame: { $case: "cancel", value: { reason: 1 } } }, drain)
    release()
    expect(codeOf(await host.next())).toBe(0)
    expect((await host.next()).frame).toEqual({ $case: "drained", value: { callsCompleted: 1n } })
  })

  test("refuses calls past the credit, and calls after a drain; ends when the host has half-closed", async () => {
    const { module, release } = gate()
    const { host } = await initialized(module, 1)
    await host.open()
    host.send(start(1n), start(2n))
    expect(codeOf(await host.next())).toBe(status.RESOURCE_EXHAUSTED)
    host.send(drain, start(3n))
    expect(codeOf(await host.next())).toBe(status.UNAVAILABLE)
    release()
    expect(codeOf(await host.next())).toBe(0)
    expect((await host.next()).frame?.$case).toBe("drained")
    host.stream.end()
    await host.ended
  })

  test("a half-close alone lets running calls finish", async () => {
    const { module, release } = gate()
    const { host } = await initialized(module)
    await host.open()
    host.send(start(1n))
    host.stream.end()
    release()
    expect(codeOf(await host.next())).toBe(0)
    await host.ended
  })

  test("a host that goes away cancels its calls", async () => {
    const { module, signals } = gate()
    const { host } = await initialized(module)
    await host.open()
    const failed = host.failed
    host.send(start(1n))
    await until(() => signals.length === 1)
    const aborted = new Promise((resolve) => signals[0]?.addEventListener("abort", resolve))
    host.stream.cancel()
    await aborted
    expect((await failed).code).toBe(status.CANCELLED)
  })

  test("log lines below the level the host asked for stay away; those after the call, too", async () => {
    let late: (() => void) | undefined
    const { host } = await initialized({
      execute: (_event, ctx) => {
        late = () => ctx.log.error("late")
        ctx.log.debug("too quiet")
        ctx.log.warn("loud", { n: 1 })
      },
    })
    await host.open(plugin.LogLevel.LOG_LEVEL_WARN)
    host.send(start(1n))
    expect((await host.next()).frame).toMatchObject({ $case: "log", value: { message: "loud", attributes: { n: 1 } } })
    expect(codeOf(await host.next())).toBe(0)
    late?.()
    host.send(drain)
    expect((await host.next()).frame?.$case).toBe("drained")
  })

  test("an event that is none is the caller's mistake", async () => {
    const { host } = await initialized({ execute: () => undefined })
    await host.open()
    host.send({ callId: 1n, frame: { $case: "start", value: { outputWindow: 0 } } })
    expect(codeOf(await host.next())).toBe(status.INVALID_ARGUMENT)
    const noId = start(2n)
    if (noId.frame?.$case === "start" && noId.frame.value.event) noId.frame.value.event.id = ""
    host.send(noId)
    expect(codeOf(await host.next())).toBe(status.INVALID_ARGUMENT)
  })
})

describe("R-IV-5: a call that streams", () => {
  /** Yields until it is stopped, and counts. */
  function endless(): { module: FunctionModule; count: { yielded: number; cleaned: boolean } } {
    const count = { yielded: 0, cleaned: false }
    async function* execute() {
      try {
        for (;;) yield { type: `e${++count.yielded}` }
      } finally {
        count.cleaned = true
      }
    }
    return { module: { execute }, count }
  }
  /** Type of the one event in a frame of output. */
  const typeOf = ({ callId, frame }: Frame): string => {
    if (frame?.$case !== "output" || frame.value.events.length !== 1) throw new Error(`no output: ${frame?.$case}`)
    return `${callId}:${frame.value.events[0]?.type}`
  }
  const next = async (host: Host, count: number): Promise<string[]> => {
    const types: string[] = []
    while (types.length < count) types.push(typeOf(await host.next()))
    return types
  }

  test("sends each event as it comes, as far as it has credit, and ends when it is cancelled", async () => {
    const { module, count } = endless()
    const { host } = await initialized(module)
    await host.open()
    host.send(start(1n, { outputWindow: 3 }))
    expect(await next(host, 3)).toEqual(["1:e1", "1:e2", "1:e3"])
    // A round trip: there would be a fourth by now.
    host.send(start(2n, { outputWindow: 1 }))
    expect(await next(host, 1)).toEqual(["2:e4"])
    expect(count.yielded).toBe(4)
    host.send(credit(0n, 100), credit(9n, 100), credit(1n, 2))
    expect(await next(host, 2)).toEqual(["1:e5", "1:e6"])
    host.send(cancel(1n))
    expect(codeOf(await host.next())).toBe(status.CANCELLED)
    expect(count.cleaned).toBe(true)
  })

  test("its deadline passes also while it waits for credit", async () => {
    const { module } = endless()
    const { host } = await initialized(module)
    await host.open()
    host.send(start(1n, { outputWindow: 1, timeoutMs: 30 }))
    await next(host, 1)
    expect(codeOf(await host.next())).toBe(status.DEADLINE_EXCEEDED)
  })

  test("what a handler returns at once is output, too; a failure ends it after what came before", async () => {
    const { host } = await initialized({
      execute: (event) => {
        if (event.type === "array") return [{ type: "one" }, { type: "two" }]
        return (async function* () {
          yield { type: "one" }
          throw FnError.terminal("MINE", "no")
        })()
      },
    })
    await host.open()
    host.send(start(1n, { type: "array", outputWindow: 8 }))
    expect(await next(host, 2)).toEqual(["1:one", "1:two"])
    expect((await host.next()).frame).toMatchObject({ $case: "result", value: { events: [] } })
    host.send(start(2n, { outputWindow: 8 }))
    expect(await next(host, 1)).toEqual(["2:one"])
    expect(codeOf(await host.next())).toBe(status.FAILED_PRECONDITION)
  })

  test("a host that goes away ends it", async () => {
    const { module, count } = endless()
    const { host } = await initialized(module)
    await host.open()
    const failed = host.failed
    host.send(start(1n, { outputWindow: 1 }))
    await next(host, 1)
    host.stream.cancel()
    await failed
    await until(() => count.cleaned)
  })
})

describe("Shutdown", () => {
  test("refuses calls, waits for those that run, runs the function's shutdown once", async () => {
    const { module, release, signals } = gate()
    let shutdowns = 0
    const { host, functionServer } = await initialized({
      ...module,
      shutdown: () => {
        shutdowns++
      },
    })
    await host.open()
    host.send(start(1n), start(2n))
    await until(() => signals.length === 2)
    const ended = Promise.all([functionServer.shutdown(5_000), functionServer.shutdown(5_000)])
    host.send(start(3n))
    expect(codeOf(await host.next())).toBe(status.UNAVAILABLE)
    expect(shutdowns).toBe(0)
    release()
    expect(await ended).toEqual([0, 0])
    expect(shutdowns).toBe(1)
  })

  test("tells how many calls it had to leave behind", async () => {
    const { module, signals } = gate()
    const { host, functionServer } = await initialized(module)
    await host.open()
    host.send(start(1n))
    await until(() => signals.length === 1)
    expect(await functionServer.shutdown(20)).toBe(1)
  })
})
