import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { afterAll, afterEach, describe, expect, test } from "@jest/globals"
import { dataOf, executionOf, fixture, isAlive, rememberingLogger, specOf, until } from "../../../test/plugin/support.js"
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

async function failure(work: Promise<unknown> | unknown): Promise<FnError> {
  try {
    await work
  } catch (thrown) {
    if (FnError.is(thrown)) return thrown
    throw thrown
  }
  throw new Error("it did not fail")
}

describe("a plugin instance", () => {
  test("PL-3, PL-4: a TypeScript plugin runs events: none, one, many out", async () => {
    const instance = await everything()
    const [echoed] = await instance.execute(executionOf("echo", { a: 1 }))
    expect(echoed?.attributes).toMatchObject({ type: "echoed", subject: "s", source: "/functions/default/everything" })
    expect(dataOf(echoed)).toEqual({ a: 1 })
    expect(await instance.execute(executionOf("nothing"))).toEqual([])
    const several = await instance.execute(executionOf("later", [1]))
    expect(several.map(({ attributes }) => attributes.type)).toEqual(["first", "second"])
  })

  test("the handler knows its function, config, attempt and deadline; its environment is the definition's alone", async () => {
    const instance = await everything({ config: { a: { b: [1, "x", null] } }, env: { GREETING: "hi" } })
    const execution = executionOf("about", undefined, { attempt: 3, deadline: Date.now() + 5_000 })
    const about = dataOf((await instance.execute(execution))[0]) as Record<string, unknown>
    expect(about).toMatchObject({
      fn: { namespace: "default", name: "everything", version: "1.2.3", instance: instance.id },
      config: { a: { b: [1, "x", null] } },
      attempt: 3,
      invocationId: execution.invocationId,
      env: { GREETING: "hi" },
      deps: { ready: true },
    })
    expect(Object.keys(about.env as object)).toEqual(["GREETING"])
    expect(about.leftMs).toBeGreaterThan(3_000)
    expect(about.leftMs).toBeLessThanOrEqual(5_000)
  })

  test.each([
    ["terminal", { code: "failed_precondition", reason: "CARD_DECLINED", message: "no money", details: { order: 7 }, retryable: false }],
    ["retry-after", { code: "unavailable", reason: "RETRY_AFTER", retryAfterMs: 1_500, retryable: true }],
    ["throw", { code: "unknown", reason: "FUNCTION_THREW", message: "a mistake" }],
    ["bad-output", { code: "failed_precondition", reason: "BAD_OUTPUT" }],
  ])("what the handler throws arrives whole: %s", async (type, expected) => {
    const instance = await everything()
    expect(await failure(instance.execute(executionOf(type)))).toMatchObject(expected)
  })

  test("many calls at once each get their own answer", async () => {
    const instance = await everything()
    const calls = Array.from({ length: 3_000 }, (_, n) => instance.execute(executionOf(n % 3 === 0 ? "later" : "echo", n)))
    const answers = await Promise.all(calls)
    expect(answers.map(([event]) => dataOf(event))).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
  })

  test("a cancelled call ends by the function's own hand, with the reason", async () => {
    const instance = await everything()
    const execution = executionOf("wait")
    const pending = failure(instance.execute(execution))
    await until(() => lines.some(({ message, fields }) => message === "waiting" && fields.invocationId === execution.invocationId), {
      name: "the handler to wait",
    })
    execution.cancel?.(FnError.of("CANCELLED", "the caller went away"))
    expect(await pending).toMatchObject({ code: "cancelled", reason: "CANCELLED" })
    expect(await instance.execute(executionOf("nothing"))).toEqual([])
  })

  test("a deadline fires in the plugin even if the host says nothing", async () => {
    const instance = await everything()
    const pending = instance.execute(executionOf("wait", undefined, { deadline: Date.now() + 60 }))
    expect(await failure(pending)).toMatchObject({ code: "deadline_exceeded", reason: "FUNCTION_TIMEOUT" })
  })

  test("log lines carry their invocation; console output is the function's, too", async () => {
    const instance = await everything()
    const execution = executionOf("log")
    await instance.execute(execution)
    await until(() => lines.some(({ message }) => message === "complained"), { name: "console output" })
    expect(lines).toContainEqual({
      level: "warn",
      message: "from the handler",
      fields: { answer: 42, big: "5", invocationId: execution.invocationId },
    })
    expect(lines).toContainEqual({ level: "info", message: "printed", fields: { channel: "stdout" } })
    expect(lines).toContainEqual({ level: "warn", message: "complained", fields: { channel: "stderr" } })
  })

  test.each(["crash", "crash-later", "panic"])(
    "PL-7: a plugin that dies (%s) fails every open execution with exit and stderr",
    async (type) => {
      const instance = await everything()
      const waiting = [executionOf("wait"), executionOf("wait")].map((execution) => failure(instance.execute(execution)))
      const errors = await Promise.all([failure(instance.execute(executionOf(type))), ...waiting])
      for (const error of errors) expect(error).toMatchObject({ code: "unavailable", reason: "FUNCTION_CRASHED" })
      expect(errors[0]?.details?.exit).toBe(type === "panic" ? "exit code 1" : "exit code 7")
      if (type === "panic") expect(errors[0]?.details?.stderr).toContain("out of the blue")
      expect(await instance.exited).toMatchObject({ reason: "FUNCTION_CRASHED" })
      expect(await failure(instance.execute(executionOf("nothing")))).toMatchObject({ reason: "FUNCTION_CRASHED" })
    },
  )

  test("SIGKILL is a crash like any other", async () => {
    const instance = await everything()
    process.kill(instance.pid as number, "SIGKILL")
    expect(await instance.exited).toMatchObject({ reason: "FUNCTION_CRASHED", details: { exit: "signal SIGKILL" } })
  })

  test("close runs the function's shutdown, leaves no process, and is not a crash", async () => {
    const instance = await everything()
    const before = lines.length
    await Promise.all([instance.close({ graceMs: 2_000 }), instance.close({ graceMs: 2_000 })])
    expect(lines.slice(before).map(({ message }) => message)).toContain("disposed")
    expect(await instance.exited).toBeUndefined()
    expect(isAlive(instance.pid as number)).toBe(false)
    expect(await failure(instance.execute(executionOf("nothing")))).toBeInstanceOf(Error)
  })

  test("close lets running executions finish within the grace", async () => {
    const instance = await everything()
    const pending = instance.execute(executionOf("later", "kept"))
    await instance.close({ graceMs: 2_000 })
    expect(dataOf((await pending)[0])).toBe("kept")
  })

  test("close without a grace kills at once, and what ran fails", async () => {
    const instance = await everything()
    const pending = failure(instance.execute(executionOf("wait")))
    await instance.close({ graceMs: 0 })
    expect(await pending).toMatchObject({ code: "unavailable" })
    expect(isAlive(instance.pid as number)).toBe(false)
  })

  test("an event larger than the plugin's limit is refused before it is sent", async () => {
    const instance = await faulty("unary")
    const error = await failure(instance.execute(executionOf("echo", "x".repeat(5 * 1024 * 1024))))
    expect(error).toMatchObject({ code: "resource_exhausted", reason: "PAYLOAD_TOO_LARGE", details: { maxBytes: 4_194_304 } })
    expect(await instance.execute(executionOf("echo", "small"))).toHaveLength(1)
  })

  test("a plugin written with the SDK takes 20 MB events", async () => {
    const instance = await everything()
    const text = "x".repeat(20 * 1024 * 1024)
    expect(dataOf((await instance.execute(executionOf("echo", text)))[0])).toBe(text)
  })
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

  test("never more calls are open than the plugin gave credit for, and one that waits can be cancelled", async () => {
    const instance = await faulty("counts-credit")
    const calls = Array.from({ length: 50 }, () => instance.execute(executionOf("go")))
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

  test("setup that throws is INIT_FAILED", async () => {
    const error = await failure(everything({ config: { failSetup: true } }))
    expect(error).toMatchObject({ code: "failed_precondition", reason: "INIT_FAILED", message: "setup says no" })
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

  test("PL-5: {artifact} stands for the verified file", async () => {
    const script = artifact("shell.sh", Buffer.from(`#!/bin/sh\nexec ${process.execPath} ${fixture("faulty.mjs")} unary\n`))
    const { command: _, ...spec } = specOf([], {}).definition
    const starter = createPluginStarter({ logger })
    const definition = { ...spec, artifact: script.artifact }
    const instance = await starter.start({ ...specOf([]), definition, artifactPath: script.path, logger }, NEVER)
    started.push(instance)
    expect(await instance.execute(executionOf("hello"))).toHaveLength(1)
  })

  test("PL-5: a flipped byte is noticed before anything runs", async () => {
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
