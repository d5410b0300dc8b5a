import { FnError } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { describe, expect, test } from "@jest/globals"
import type { Instance } from "../../src/instances/instance.js"
import { dataOf, executionOf, failure, isAlive, type LogLine, until } from "./support.js"

/** A plugin of one language, ready to be started. */
export interface PluginUnderTest {
  /** Starts an instance that the test file ends. */
  start(overrides?: Partial<FunctionDefinition>): Promise<Instance>
  /** Everything logged so far. */
  readonly lines: readonly LogLine[]
  /** Exit code of the language's runtime when nobody caught what was thrown. */
  readonly panicExitCode: number
}

const THROWN: readonly [type: string, expected: Record<string, unknown>][] = [
  ["terminal", { code: "failed_precondition", reason: "CARD_DECLINED", message: "no money", details: { order: 7 }, retryable: false }],
  ["retry-after", { code: "unavailable", reason: "RETRY_AFTER", retryAfterMs: 1_500, retryable: true }],
  ["throw", { code: "unknown", reason: "FUNCTION_THREW", message: "a mistake" }],
  ["bad-output", { code: "failed_precondition", reason: "BAD_OUTPUT" }],
]

/** What every plugin instance must do, whatever language it is written in; the fixtures `everything` do the same in each. */
export function pluginContract(name: string, { start, lines, panicExitCode }: PluginUnderTest): void {
  describe(`a plugin ${name}`, () => {
    test("FN-1: runs events: none, one, many out", async () => {
      const instance = await start()
      const [echoed] = await instance.execute(executionOf("echo", { a: 1 }))
      expect(echoed?.attributes).toMatchObject({ type: "echoed", subject: "s", source: "/functions/default/everything" })
      expect(dataOf(echoed)).toEqual({ a: 1 })
      expect(await instance.execute(executionOf("nothing"))).toEqual([])
      const several = await instance.execute(executionOf("later", [1]))
      expect(several.map(({ attributes }) => attributes.type)).toEqual(["first", "second"])
    })

    test("the handler knows its function, config, attempt and deadline; its environment is the definition's alone", async () => {
      const instance = await start({ config: { a: { b: [1, "x", null] } }, env: { GREETING: "hi" } })
      const execution = executionOf("about", undefined, { attempt: 3, deadline: Date.now() + 5_000 })
      const about = dataOf((await instance.execute(execution))[0]) as Record<string, unknown>
      expect(about).toMatchObject({
        fn: { namespace: "default", name: "everything", version: "1.2.3", instance: instance.id },
        config: { a: { b: [1, "x", null] } },
        attempt: 3,
        invocationId: execution.invocationId,
        env: { GREETING: "hi" },
      })
      expect(Object.keys(about.env as object)).toEqual(["GREETING"])
      expect(about.leftMs).toBeGreaterThan(3_000)
      expect(about.leftMs).toBeLessThanOrEqual(5_000)
    })

    test("what the handler throws arrives whole", async () => {
      const instance = await start()
      for (const [type, expected] of THROWN) expect(await failure(instance.execute(executionOf(type)))).toMatchObject(expected)
    })

    test("many calls at once each get their own answer", async () => {
      const instance = await start()
      const calls = Array.from({ length: 3_000 }, async (_, n) => await instance.execute(executionOf(n % 3 === 0 ? "later" : "echo", n)))
      const answers = await Promise.all(calls)
      expect(answers.map(([event]) => dataOf(event))).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
    })

    test("a cancelled call ends by the function's own hand, with the reason", async () => {
      const instance = await start()
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
      const instance = await start()
      const pending = instance.execute(executionOf("wait", undefined, { deadline: Date.now() + 60 }))
      expect(await failure(pending)).toMatchObject({ code: "deadline_exceeded", reason: "FUNCTION_TIMEOUT" })
    })

    test("log lines carry their invocation; console output is the function's, too", async () => {
      const instance = await start()
      const execution = executionOf("log")
      await instance.execute(execution)
      const said = (text: string): boolean => lines.some(({ message }) => message === text)
      await until(() => said("printed") && said("complained"), { name: "console output" })
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
        const instance = await start()
        const waiting = [executionOf("wait"), executionOf("wait")].map((execution) => failure(instance.execute(execution)))
        const errors = await Promise.all([failure(instance.execute(executionOf(type))), ...waiting])
        for (const error of errors) expect(error).toMatchObject({ code: "unavailable", reason: "FUNCTION_CRASHED" })
        expect(errors[0]?.details?.exit).toBe(type === "panic" ? `exit code ${panicExitCode}` : "exit code 7")
        if (type === "panic") expect(errors[0]?.details?.stderr).toContain("out of the blue")
        expect(await instance.exited).toMatchObject({ reason: "FUNCTION_CRASHED" })
        expect(await failure(instance.execute(executionOf("nothing")))).toMatchObject({ reason: "FUNCTION_CRASHED" })
      },
    )

    test("SIGKILL is a crash like any other", async () => {
      const instance = await start()
      process.kill(instance.pid as number, "SIGKILL")
      expect(await instance.exited).toMatchObject({ reason: "FUNCTION_CRASHED", details: { exit: "signal SIGKILL" } })
    })

    test("close runs the function's shutdown, leaves no process, and is not a crash", async () => {
      const instance = await start()
      const before = lines.length
      await Promise.all([instance.close({ graceMs: 2_000 }), instance.close({ graceMs: 2_000 })])
      expect(lines.slice(before).map(({ message }) => message)).toContain("disposed")
      expect(await instance.exited).toBeUndefined()
      expect(isAlive(instance.pid as number)).toBe(false)
      expect(await failure(instance.execute(executionOf("nothing")))).toBeInstanceOf(Error)
    })

    test("close lets running executions finish within the grace", async () => {
      const instance = await start()
      const pending = instance.execute(executionOf("later", "kept"))
      await instance.close({ graceMs: 2_000 })
      expect(dataOf((await pending)[0])).toBe("kept")
    })

    test("close without a grace kills at once, and what ran fails", async () => {
      const instance = await start()
      const pending = failure(instance.execute(executionOf("wait")))
      await instance.close({ graceMs: 0 })
      expect(await pending).toMatchObject({ code: "unavailable" })
      expect(isAlive(instance.pid as number)).toBe(false)
    })

    test("setup that throws is INIT_FAILED", async () => {
      const error = await failure(start({ config: { failSetup: true } }))
      expect(error).toMatchObject({ code: "failed_precondition", reason: "INIT_FAILED", message: "setup says no" })
    })
  })
}
