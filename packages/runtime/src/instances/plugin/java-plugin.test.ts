/** PL-3: plugins written in Java with the Java SDK, over grpc-java. */
import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { findJava, type Java, javaNeeds, type TempDir, tempDir } from "@fn/testing"
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { streamContract } from "../../../test/plugin/stream-contract.js"
import { dataOf, executionOf, failure, fixture, rememberingLogger, specOf } from "../../../test/plugin/support.js"
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

  streamContract("a handler that emits", { start: () => startWith([], {}, "Streams"), lines })
  streamContract("an iterable", { start: () => startWith(["iterable"], {}, "Streams"), lines })
}
