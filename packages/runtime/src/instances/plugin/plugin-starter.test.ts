import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FnError, type WireEvent } from "@fn/core"
import { MAX_PAYLOAD_BYTES } from "@fn/queue"
import type { FunctionDefinition } from "@fn/registry"
import { afterAll, afterEach, describe, expect, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { dataOf, executionOf, failure, fixture, isAlive, rememberingLogger, specOf, until } from "../../../test/plugin/support.js"
import type { Instance } from "../instance.js"
import { createPluginStarter } from "./plugin-starter.js"

const NEVER = new AbortController().signal
const folder = mkdtempSync(join(tmpdir(), "fn-plugin-test-"))
const started: Instance[] = []

afterEach(async () => {
  for (const instance of started.splice(0)) await instance.close({ graceMs: 2_000 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { logger, lines } = rememberingLogger()

async function start(
  command: string[],
  options: { overrides?: Partial<FunctionDefinition>; startTimeoutMs?: number } = {},
): Promise<Instance> {
  const starter = createPluginStarter({ logger, startTimeoutMs: options.startTimeoutMs ?? 8_000 })
  const instance = await starter.start(specOf(command, options.overrides, logger), NEVER)
  started.push(instance)
  return instance
}

const everything = (overrides?: Partial<FunctionDefinition>): Promise<Instance> =>
  start([process.execPath, fixture("everything.mjs")], overrides ? { overrides } : {})
const faulty = (personality: string, startTimeoutMs?: number): Promise<Instance> =>
  start([process.execPath, fixture("faulty.mjs"), personality], startTimeoutMs === undefined ? {} : { startTimeoutMs })

pluginContract("written in TypeScript (PL-4)", { start: everything, lines, panicExitCode: 1 })

describe("events of any size", () => {
  test("an event larger than the plugin's limit is refused before it is sent", async () => {
    const instance = await faulty("unary")
    const error = await failure(instance.execute(executionOf("echo", "x".repeat(5 * 1024 * 1024))))
    expect(error).toMatchObject({ code: "resource_exhausted", reason: "PAYLOAD_TOO_LARGE", details: { maxBytes: 4_194_304 } })
    expect(await instance.execute(executionOf("echo", "small"))).toHaveLength(1)
  })

  test("R-IV-9: a plugin written with the SDK takes and gives the largest events there are", async () => {
    const instance = await everything()
    // Two quotes are the rest of it.
    const text = "x".repeat(MAX_PAYLOAD_BYTES - 2)
    const [event] = await instance.execute(executionOf("echo", text))
    expect(event?.data?.length).toBe(MAX_PAYLOAD_BYTES)
    expect(dataOf(event)).toBe(text)
  }, 60_000)
})

describe("a plugin without ExecuteStream", () => {
  test("runs by unary calls", async () => {
    const instance = await faulty("unary")
    const [echoed] = await instance.execute(executionOf("hello", { a: 1 }))
    expect(echoed?.attributes.type).toBe("echoed")
    expect(dataOf(echoed)).toEqual({ a: 1 })
  })

  test("its bare gRPC status is understood", async () => {
    const instance = await faulty("unary")
    expect(await failure(instance.execute(executionOf("fail")))).toMatchObject({ code: "not_found", message: "nothing there" })
    expect(await failure(instance.execute(executionOf("fail-unavailable")))).toMatchObject({ code: "unavailable", retryable: true })
    expect(await failure(instance.execute(executionOf("junk")))).toMatchObject({ reason: "BAD_OUTPUT" })
  })

  test("deadline and cancellation are gRPC's own", async () => {
    const instance = await faulty("unary")
    const late = executionOf("wait", undefined, { deadline: Date.now() + 60 })
    expect(await failure(instance.execute(late))).toMatchObject({ reason: "FUNCTION_TIMEOUT" })
    const before = lines.length
    const execution = executionOf("wait")
    const pending = failure(instance.execute(execution))
    await instance.execute(executionOf("hello"))
    execution.cancel?.(FnError.of("CANCELLED", "the caller went away"))
    expect(await pending).toMatchObject({ reason: "CANCELLED", message: "the caller went away" })
    await until(() => lines.slice(before).some(({ message }) => message.includes("cancelled")), { name: "the plugin to hear of it" })
  })

  test("its death fails what runs", async () => {
    const instance = await faulty("unary")
    const waiting = failure(instance.execute(executionOf("wait")))
    expect(await failure(instance.execute(executionOf("crash")))).toMatchObject({
      reason: "FUNCTION_CRASHED",
      details: { exit: "exit code 3" },
    })
    expect(await waiting).toMatchObject({ reason: "FUNCTION_CRASHED" })
  })
})

describe("ExecuteStream", () => {
  test("partial outputs come before those of the result; unknown and late frames are ignored", async () => {
    const instance = await faulty("odd-frames")
    const execution = executionOf("go")
    const events = await instance.execute(execution)
    expect(events.map(({ attributes }) => attributes.type)).toEqual(["one", "two", "three"])
    expect(lines).toContainEqual({ level: "warn", message: "careful", fields: { a: 1, invocationId: execution.invocationId } })
  })

  test("R-IV-5: a plugin that cannot stream gives all events at the end, also to who streams", async () => {
    const written: string[] = []
    const sink = { write: ({ attributes }: WireEvent) => void written.push(attributes.type) }
    const stream = await (await faulty("odd-frames")).execute(executionOf("go", undefined, { sink }))
    expect(stream.map(({ attributes }) => attributes.type)).toEqual(["one", "two", "three"])
    const unary = await (await faulty("unary")).execute(executionOf("go", undefined, { sink }))
    expect(unary.map(({ attributes }) => attributes.type)).toEqual(["echoed"])
    expect(written).toEqual([])
  })

  test.each([
    ["over-output-credit", "PLUGIN_PROTOCOL"],
    ["bad-partial-output", "BAD_OUTPUT"],
  ])("R-IV-5: output against the rules (%s) fails its call with %s, and no other", async (personality, reason) => {
    const instance = await faulty(personality)
    const sink = { write: () => new Promise<void>(() => undefined) }
    expect(await failure(instance.execute(executionOf("go", undefined, { sink })))).toMatchObject({ reason })
    expect(await failure(instance.execute(executionOf("go", undefined, { sink })))).toMatchObject({ reason })
  })

  test("never more calls are open than the plugin gave credit for, and one that waits can be cancelled", async () => {
    const instance = await faulty("counts-credit")
    const calls = Array.from({ length: 50 }, async () => await instance.execute(executionOf("go")))
    const waiting = executionOf("go")
    const cancelled = failure(instance.execute(waiting))
    waiting.cancel?.(FnError.of("CANCELLED", "never mind"))
    expect(await cancelled).toMatchObject({ reason: "CANCELLED" })
    expect(await Promise.all(calls)).toEqual(calls.map(() => []))
  })

  test("a stream that breaks while the process lives ends the instance", async () => {
    const instance = await faulty("breaks-stream")
    const pid = instance.pid as number
    const error = await failure(instance.execute(executionOf("go")))
    expect(error).toMatchObject({ reason: "FUNCTION_CRASHED" })
    expect(error.message).toContain("lost the thread")
    expect(await instance.exited).toMatchObject({ reason: "FUNCTION_CRASHED" })
    expect(isAlive(pid)).toBe(false)
  })
})

describe("a plugin that does not start", () => {
  test.each([
    ["prints before its handshake", [fixture("garbage.sh")], "BAD_HANDSHAKE", /Welcome to my plugin/],
    ["never answers", [fixture("never-answers.sh")], "PLUGIN_START_TIMEOUT", /600 ms/],
    ["exits early", [fixture("exits-early.sh")], "PLUGIN_EXITED", /exit code 3.*libfoo/s],
    ["is not there", ["/nonexistent/plugin"], "PLUGIN_NOT_EXECUTABLE", /does not exist/],
    ["is not on PATH", ["no-such-program-anywhere"], "PLUGIN_NOT_EXECUTABLE", /PATH/],
    ["is no program", [fixture("faulty.mjs")], "PLUGIN_NOT_EXECUTABLE", /executable/],
    ["is a program, but no plugin", ["true"], "PLUGIN_EXITED", /exit code 0/],
  ])("%s", async (_what, command, reason, message) => {
    const startTimeoutMs = reason === "PLUGIN_START_TIMEOUT" ? 600 : 8_000
    const error = await failure(start(command, { startTimeoutMs }))
    expect(error.reason).toBe(reason)
    expect(error.message).toMatch(message)
  })

  test.each([
    ["wrong-version", "PLUGIN_PROTOCOL", /version 9/],
    ["no-such-service", "PLUGIN_PROTOCOL", /fn\.plugin\.v1\.Function/],
    ["other-type", "PLUGIN_PROTOCOL", /type/],
    ["exits-at-describe", "PLUGIN_EXITED", /exit code 4/],
    ["fails-at-initialize", "FUNCTION_THREW", /no database/],
    ["refuses-config", "INVALID_CONFIG", /\/bank\/url: must be a URL/],
    ["refuses-stream", "FAILED_PRECONDITION", /no streams today/],
  ])("%s", async (personality, reason, message) => {
    const error = await failure(faulty(personality))
    expect(error.reason).toBe(reason)
    expect(error.message).toMatch(message)
  })

  test.each(["silent-at-describe", "silent-at-initialize", "silent-stream"])("%s", async (personality) => {
    expect(await failure(faulty(personality, 1_500))).toMatchObject({ reason: "PLUGIN_START_TIMEOUT" })
  })

  test("warnings of its Initialize are logged and do not keep it from running", async () => {
    await faulty("warns-at-initialize")
    expect(lines).toContainEqual({ level: "warn", message: "old option", fields: { detail: "", configPath: "/a" } })
  })

  test("an aborted start leaves no process", async () => {
    const pids = (): number[] => lines.flatMap(({ fields }) => (typeof fields.pid === "number" ? [fields.pid] : []))
    const aborter = new AbortController()
    const starter = createPluginStarter({ logger })
    const pending = failure(
      starter.start(specOf([process.execPath, fixture("faulty.mjs"), "silent-at-initialize"], {}, logger), aborter.signal),
    )
    const before = lines.length
    await until(() => lines.slice(before).some(({ message }) => message.includes("stdio stream")), { name: "the plugin to be connected" })
    aborter.abort(FnError.of("HOST_DRAINING", "this host is shutting down"))
    expect(await pending).toMatchObject({ reason: "HOST_DRAINING" })
    expect(pids().filter(isAlive)).toEqual([])
  })
})

describe("artifacts", () => {
  function artifact(name: string, content: Buffer): { path: string; artifact: FunctionDefinition["artifact"] } {
    const path = join(folder, name)
    writeFileSync(path, content)
    chmodSync(path, 0o755)
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`
    return { path, artifact: { digest, sizeBytes: content.length, fileName: name, executable: true } }
  }

  test("R-PL-5: {artifact} stands for the verified file", async () => {
    const script = artifact("shell.sh", Buffer.from(`#!/bin/sh\nexec ${process.execPath} ${fixture("faulty.mjs")} unary\n`))
    const { command: _, ...spec } = specOf([], {}).definition
    const starter = createPluginStarter({ logger })
    const definition = { ...spec, artifact: script.artifact }
    const instance = await starter.start({ ...specOf([]), definition, artifactPath: script.path, logger }, NEVER)
    started.push(instance)
    expect(await instance.execute(executionOf("hello"))).toHaveLength(1)
  })

  test("R-PL-5: a flipped byte is noticed before anything runs", async () => {
    const script = artifact("flipped.sh", readFileSync(fixture("garbage.sh")))
    const bytes = readFileSync(script.path)
    bytes[bytes.length - 2] = (bytes[bytes.length - 2] as number) ^ 1
    writeFileSync(script.path, bytes)
    const spec = { ...specOf(["{artifact}"], { artifact: script.artifact }, logger), artifactPath: script.path }
    expect(await failure(createPluginStarter({ logger }).start(spec, NEVER))).toMatchObject({
      code: "data_loss",
      reason: "CHECKSUM_MISMATCH",
    })
  })

  test("a file without its executable bit says so", async () => {
    const path = join(folder, "plain.sh")
    copyFileSync(fixture("garbage.sh"), path)
    chmodSync(path, 0o644)
    expect(await failure(start([path]))).toMatchObject({ reason: "PLUGIN_NOT_EXECUTABLE" })
  })
})

describe("a plugin that misbehaves while it runs", () => {
  test("one that floods stdout still answers", async () => {
    const instance = await faulty("floods-stdout")
    for (let n = 0; n < 3; n++) expect(await instance.execute(executionOf("hello"))).toHaveLength(1)
  })

  test("one that ignores shutdown is killed within the grace", async () => {
    const instance = await faulty("ignores-shutdown")
    await instance.execute(executionOf("hello"))
    const from = performance.now()
    await instance.close({ graceMs: 500 })
    expect(performance.now() - from).toBeLessThan(2_000)
    expect(isAlive(instance.pid as number)).toBe(false)
  })

  test("one whose shutdown fails ends all the same, with a warning", async () => {
    const instance = await faulty("fails-at-shutdown")
    await instance.close({ graceMs: 2_000 })
    expect(lines).toContainEqual(expect.objectContaining({ level: "warn", message: "plugin failed at its shutdown" }))
    expect(isAlive(instance.pid as number)).toBe(false)
  })
})
