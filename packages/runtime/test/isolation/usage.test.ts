/** What a host tells of the instances of functions: what they use, and which limits ended their executions. */
import type { FunctionStatus, FunctionUsage, InstanceStatus } from "@fn/core"
import { noopInstruments } from "@fn/core"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { failure } from "../test-host.js"
import { assemble, program } from "../wasm/support.js"
import { canIsolate, type IsolatedHost, startIsolatedHost } from "./support.js"

jest.setTimeout(120_000)

const MIB = 1024 * 1024
/** Keeps 64 MiB, and spins until 50 ms of a processor are used. */
const BUSY = `globalThis.kept ??= Buffer.alloc(64 << 20, 1); const before = process.cpuUsage().user
  while (process.cpuUsage().user - before < 50_000); return globalThis.kept.length`
const ready = canIsolate("what instances on a strict host use")

async function statusOf(host: IsolatedHost, name: string, question: object = { usage: true }): Promise<FunctionStatus> {
  const asked = JSON.stringify({ function: `default/${name}`, ...question })
  const { functions } = (await host.request(`function.status.${host.runtime.host}`, asked)).json<{ functions: FunctionStatus[] }>()
  return functions[0] as FunctionStatus
}

async function instanceOf(host: IsolatedHost, name: string): Promise<InstanceStatus> {
  const { usage } = await statusOf(host, name)
  expect(usage).toHaveLength(1)
  return usage?.[0] as InstanceStatus
}

describe.each(ready ? (["strict", "dev"] as const) : (["dev"] as const))("R-PL-7: what instances use, policy %s", (policy) => {
  const source = policy === "strict" ? "group" : "process"
  let read: () => Promise<readonly FunctionUsage[]> = async () => []
  let host: IsolatedHost

  beforeAll(async () => {
    const take = (reader: typeof read): void => {
      read = reader
    }
    const instruments = { ...noopInstruments, usage: take }
    host = await startIsolatedHost({ isolation: { policy }, instruments })
  })
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]()
  })

  test.each(["module", "plugin"] as const)("of a %s: memory, and processor time that only grows", async (kind) => {
    await host[kind](`busy${kind}`, BUSY)
    await host.call(`busy${kind}`)
    const first = await instanceOf(host, `busy${kind}`)
    expect(first).toMatchObject({ version: "0.0.1", source, pid: expect.any(Number) })
    expect(first.memoryBytes).toBeGreaterThan(64 * MIB)
    expect(first.memoryBytes).toBeLessThan(512 * MIB)
    expect(first.cpuMs).toBeGreaterThanOrEqual(40)
    await host.call(`busy${kind}`)
    const second = await instanceOf(host, `busy${kind}`)
    expect(second.id).toBe(first.id)
    expect(second.cpuMs).toBeGreaterThanOrEqual((first.cpuMs as number) + 40)
    if (policy === "strict") expect(second.memoryPeakBytes).toBeGreaterThanOrEqual(64 * MIB)
  })

  test("of a WebAssembly program", async () => {
    const wat = program("(call $print (i32.const 1000) (call $read))")
    await host.deploy(
      { name: "busywasm", language: "rust", runtime: "wasm", stdin: "data" },
      { artifact: await assemble(wat), fileName: "echo.wasm" },
    )
    await host.request("function.rust.busywasm", "hello")
    const { memoryBytes, cpuMs } = await instanceOf(host, "busywasm")
    expect(memoryBytes).toBeGreaterThan(4 * MIB)
    expect(cpuMs).toBeGreaterThan(0)
  })

  test("of a command while it runs; under limits also what it has used", async () => {
    await host.script("waits", `n=0; while [ $n -lt 100000 ]; do n=$((n + 1)); done; echo ready >&2; exec sleep 60`)
    const pending = host.call("waits")
    await until(() => host.lines.some(({ message }) => message === "ready"), { name: "the command to run" })
    const running = await instanceOf(host, "waits")
    expect(running).toMatchObject({ source, pid: expect.any(Number) })
    expect(running.memoryBytes).toBeGreaterThan(0)
    expect(running.cpuMs).toBeGreaterThan(10)
    process.kill(running.pid as number, "SIGKILL")
    expect(failure(await pending)).toBe("unavailable FUNCTION_CRASHED")
    const after = await instanceOf(host, "waits")
    expect(after.pid).toBeUndefined()
    if (policy === "strict") expect(after.cpuMs).toBeGreaterThanOrEqual(running.cpuMs as number)
  })

  test("is not read for who does not ask", async () => {
    expect(await statusOf(host, "busymodule", {})).not.toHaveProperty("usage")
    expect(host.runtime.status().functions[0]).not.toHaveProperty("usage")
  })

  test("adds up for metrics, and what ended instances used stays counted", async () => {
    const of = async (name: string) => (await read()).find(({ fn }) => fn.name === name)
    const before = (await of("busymodule")) as FunctionUsage
    expect(before).toMatchObject({ fn: { namespace: "default", version: "0.0.1", runtime: "module" }, instances: 1 })
    expect(before.memoryBytes).toBeGreaterThan(64 * MIB)
    expect(before.cpuMs).toBeGreaterThanOrEqual(80)
    process.kill((await instanceOf(host, "busymodule")).pid as number, "SIGKILL")
    await until(() => host.lines.some(({ message }) => message === "instance crashed"), { name: "the crash to be noticed" })
    const after = (await of("busymodule")) as FunctionUsage
    expect(after).toMatchObject({ instances: 0, memoryBytes: undefined })
    expect(after.cpuMs).toBeGreaterThanOrEqual(before.cpuMs as number)
  })
})

describe("R-IV-8: a limit that ended an execution", () => {
  test("is counted in the host's status by its reason, and in its log with the invocation", async () => {
    if (!ready) return
    await using host = await startIsolatedHost({ limits: { outputBytes: 1 << 20 } })
    await host.module("hog", "const kept = []; for (;;) kept.push(Buffer.alloc(4 << 20, 1))", { memoryMb: 96 })
    await host.script("flood", "yes")
    await host.script("spinner", "while :; do :; done", { cpuTimeMs: 200 })
    await host.script("bomb", "n=0; while [ $n -lt 100 ]; do sleep 30 & n=$((n + 1)); done", { pids: 20 })
    const reasons = { hog: "MEMORY_LIMIT", flood: "OUTPUT_LIMIT", spinner: "CPU_LIMIT", bomb: "PIDS_LIMIT" }
    for (const [name, reason] of Object.entries(reasons)) {
      const reply = await host.call(name)
      expect([name, failure(reply)]).toEqual([name, `resource_exhausted ${reason}`])
      expect(await statusOf(host, name, {})).toMatchObject({ errors: 1, limits: { [reason]: 1 } })
      expect(host.lines).toContainEqual(
        expect.objectContaining({
          level: "warn",
          message: "execution ended by a limit",
          fields: expect.objectContaining({ functionName: name, reason, invocationId: reply.headers?.get("Fn-Invocation-Id") }),
        }),
      )
    }
    expect(await statusOf(host, "hog", {})).toMatchObject({ crashes: 1 })
  })
})
