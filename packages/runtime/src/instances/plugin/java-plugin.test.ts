/** PL-3: plugins written in Java with the Java SDK, over grpc-java. */
import { FnError, INSTANCE_STREAM_WINDOW, type WireEvent } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { findJava, type Java, javaNeeds, type TempDir, tempDir } from "@fn/testing"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { dataOf, executionOf, failure, fixture, rememberingLogger, specOf, until } from "../../../test/plugin/support.js"
import type { Instance } from "../instance.js"
import { createPluginStarter } from "./plugin-starter.js"

const java = findJava()
const { logger, lines } = rememberingLogger()
const started: Instance[] = []
let classes: TempDir

async function startWith(
  args: readonly string[],
  overrides: Partial<FunctionDefinition> = {},
  mainClass: string = "Everything",
): Promise<Instance> {
  const starter = createPluginStarter({ logger, startTimeoutMs: 30_000 })
  const command = (java as Java).command(classes.path, mainClass, ...args)
  const instance = await starter.start(specOf(command, { language: "java", ...overrides }, logger), new AbortController().signal)
  started.push(instance)
  return instance
}

/** A sink that takes no second event before it is released. */
function slowSink(): { sink: { write(): Promise<void> }; release: () => void } {
  let release: () => void = () => undefined
  const taken = new Promise<void>((resolve) => {
    release = resolve
  })
  return { sink: { write: () => taken }, release }
}

if (!java) {
  test("a JDK, Maven and the packages of the Java SDK are needed", () => {
    console.warn(`SKIPPED: needs ${javaNeeds()}: plugins written in Java were not run (npm run setup)`)
  })
} else {
  beforeAll(async () => {
    classes = await tempDir("fn-java-")
    await java.compile(fixture("java-everything/src/main/java"), classes.path)
  }, 120_000)
  afterEach(async () => {
    for (const instance of started.splice(0)) await instance.close({ graceMs: 2_000 })
  })
  afterAll(async () => await classes?.[Symbol.asyncDispose]())

  pluginContract("written in Java (PL-3)", { start: (overrides = {}) => startWith([], overrides), lines, panicExitCode: 1 })
  test("PL-3: a handler that answers later keeps no thread, is cancelled, and fails like any other", async () => {
    const instance = await startWith(["async"])
    // More than there are threads.
    const waiting = Array.from({ length: 40 }, () => executionOf("wait"))
    const pending = waiting.map((execution) => failure(instance.execute(execution)))
    const calls = Array.from({ length: 500 }, async (_, n) => await instance.execute(executionOf(n % 3 === 0 ? "later" : "echo", n)))
    const answers = await Promise.all(calls)
    expect(answers.map(([event]) => dataOf(event))).toEqual(Array.from({ length: 500 }, (_, n) => n))
    expect(await failure(instance.execute(executionOf("terminal")))).toMatchObject({ reason: "CARD_DECLINED", details: { order: 7 } })
    expect(await failure(instance.execute(executionOf("throw")))).toMatchObject({ reason: "FUNCTION_THREW", message: "a mistake" })
    expect(await failure(instance.execute(executionOf("wait", undefined, { deadline: Date.now() + 60 })))).toMatchObject({
      reason: "FUNCTION_TIMEOUT",
    })
    for (const execution of waiting) execution.cancel?.(FnError.of("CANCELLED", "enough"))
    for (const error of await Promise.all(pending)) expect(error).toMatchObject({ code: "cancelled", reason: "CANCELLED" })
    const last = instance.execute(executionOf("later", "kept"))
    await instance.close({ graceMs: 2_000 })
    expect(dataOf((await last)[0])).toBe("kept")
  })

  describe.each([
    ["a handler that emits", []],
    ["an iterable", ["iterable"]],
  ])("R-IV-5: %s", (_kind, args) => {
    const ended = (invocationId: string): unknown =>
      lines.find(({ message, fields }) => message === "ended" && fields.invocationId === invocationId)?.fields.asked

    test("gives each event as it comes, and is asked for no more than are wanted", async () => {
      const instance = await startWith(args, {}, "Streams")
      const written: WireEvent[] = []
      const { sink: held, release } = slowSink()
      const sink = { write: (event: WireEvent) => (written.push(event) === 1 ? held.write() : undefined) }
      const execution = executionOf("yields", 500, { sink })
      const pending = instance.execute(execution)
      await until(() => written.length === 1, { name: "the first event" })
      // Another call is answered meanwhile: a stream that nobody reads holds up itself alone.
      expect(await instance.execute(executionOf("yields", 3))).toHaveLength(3)
      expect(written).toHaveLength(1)
      expect(ended(execution.invocationId)).toBeUndefined()
      release()
      const rest = await pending
      expect([...written, ...rest].map(dataOf)).toEqual(Array.from({ length: 500 }, (_, n) => n + 1))
      expect(rest).toHaveLength(0)
    })

    test("whoever has enough ends it, within the window; so does its deadline", async () => {
      const instance = await startWith(args, {}, "Streams")
      const { sink, release } = slowSink()
      const enough = executionOf("yields", 1_000_000, { sink })
      const late = executionOf("yields", 1_000_000, { sink, deadline: Date.now() + 200 })
      const failures = [enough, late].map((execution) => failure(instance.execute(execution)))
      await instance.execute(executionOf("yields", 1))
      enough.cancel?.(FnError.of("CANCELLED", "enough"))
      await until(() => [enough, late].every(({ invocationId }) => ended(invocationId) !== undefined), { name: "both to end" })
      release()
      expect((await Promise.all(failures)).map(({ reason }) => reason)).toEqual(["CANCELLED", "FUNCTION_TIMEOUT"])
      expect(ended(enough.invocationId)).toBeLessThanOrEqual(INSTANCE_STREAM_WINDOW)
    })

    test("fails after what it gave; without a stream all comes at the end", async () => {
      const instance = await startWith(args, {}, "Streams")
      const written: unknown[] = []
      const sink = { write: (event: WireEvent) => void written.push(dataOf(event)) }
      expect(await failure(instance.execute(executionOf("fails", 3, { sink })))).toMatchObject({ reason: "ENOUGH" })
      expect(written).toEqual([1, 2, 3])
      expect((await instance.execute(executionOf("yields", 200))).map(dataOf)).toHaveLength(200)
    })
  })
}
