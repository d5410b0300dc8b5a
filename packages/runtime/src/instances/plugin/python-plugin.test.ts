/** PL-3: plugins written in Python with the Python SDK, over grpcio. */
import { FnError, INSTANCE_STREAM_WINDOW, type WireEvent } from "@fn/core"
import { spawnChild } from "@fn/process"
import type { FunctionDefinition } from "@fn/registry"
import { findPython, type Python } from "@fn/testing"
import { afterEach, describe, expect, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { dataOf, executionOf, failure, fixture, rememberingLogger, specOf, until } from "../../../test/plugin/support.js"
import type { Instance } from "../instance.js"
import { createPluginStarter } from "./plugin-starter.js"

const python = findPython()
const { logger, lines } = rememberingLogger()
const started: Instance[] = []

async function startWith(
  args: readonly string[],
  overrides: Partial<FunctionDefinition> = {},
  program: string = "everything.py",
): Promise<Instance> {
  const starter = createPluginStarter({ logger, startTimeoutMs: 30_000 })
  const command = (python as Python).command(fixture(program), ...args)
  const instance = await starter.start(specOf(command, { language: "python", ...overrides }, logger), new AbortController().signal)
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

if (!python) {
  test("Python and the packages of its SDK are needed", () => {
    console.warn("SKIPPED: needs python3 with grpcio (npm run setup): plugins written in Python were not run")
  })
} else {
  afterEach(async () => {
    for (const instance of started.splice(0)) await instance.close({ graceMs: 2_000 })
  })

  pluginContract("written in Python (PL-3)", { start: (overrides = {}) => startWith([], overrides), lines, panicExitCode: 1 })
  pluginContract("written in Python without async (PL-3)", {
    start: (overrides = {}) => startWith(["blocking"], overrides),
    lines,
    panicExitCode: 1,
  })

  describe.each([
    ["an async generator", []],
    ["a generator that is not async", ["blocking"]],
  ])("R-IV-5: %s", (_kind, args) => {
    const ended = (invocationId: string): unknown =>
      lines.find(({ message, fields }) => message === "ended" && fields.invocationId === invocationId)?.fields.asked

    test("gives each event as it is yielded, and is asked for no more than are wanted", async () => {
      const instance = await startWith(args, {}, "streams.py")
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

    test("whoever has enough ends it, within the window", async () => {
      const instance = await startWith(args, {}, "streams.py")
      const { sink, release } = slowSink()
      const execution = executionOf("yields", 1_000_000, { sink })
      const pending = failure(instance.execute(execution))
      await instance.execute(executionOf("yields", 1))
      execution.cancel?.(FnError.of("CANCELLED", "enough"))
      await until(() => ended(execution.invocationId) !== undefined, { name: "the generator to end" })
      release()
      expect(await pending).toMatchObject({ reason: "CANCELLED" })
      expect(ended(execution.invocationId)).toBeLessThanOrEqual(INSTANCE_STREAM_WINDOW)
    })

    test("its deadline ends it, too, though nobody takes its events", async () => {
      const instance = await startWith(args, {}, "streams.py")
      const { sink, release } = slowSink()
      const execution = executionOf("yields", 1_000_000, { sink, deadline: Date.now() + 200 })
      const pending = failure(instance.execute(execution))
      await until(() => ended(execution.invocationId) !== undefined, { name: "the generator to end" })
      release()
      expect(await pending).toMatchObject({ reason: "FUNCTION_TIMEOUT" })
    })

    test("fails after what it gave; without a stream all comes at the end", async () => {
      const instance = await startWith(args, {}, "streams.py")
      const written: unknown[] = []
      const sink = { write: (event: WireEvent) => void written.push(dataOf(event)) }
      expect(await failure(instance.execute(executionOf("fails", 3, { sink })))).toMatchObject({ reason: "ENOUGH" })
      expect(written).toEqual([1, 2, 3])
      expect((await instance.execute(executionOf("yields", 200))).map(dataOf)).toHaveLength(200)
    })
  })

  test.each([
    ["tests", ["-m", "unittest", "discover", "-s", "tests"]],
    ["types", ["-m", "mypy"]],
  ])(
    "the Python SDK's own %s pass",
    async (_what, args) => {
      const cwd = fixture("../../../../../sdk/python")
      const child = spawnChild({ command: (python as Python).executable, args, cwd, env: {} })
      const output: string[] = []
      for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
      const { code } = await child.exited
      if (code !== 0) throw new Error(output.join(""))
    },
    120_000,
  )
}
