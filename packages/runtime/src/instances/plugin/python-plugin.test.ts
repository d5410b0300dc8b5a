/** PL-3: plugins written in Python with the Python SDK, over grpcio. */
import { spawnChild } from "@fn/process"
import type { FunctionDefinition } from "@fn/registry"
import { findPython, type Python } from "@fn/testing"
import { afterEach, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { streamContract } from "../../../test/plugin/stream-contract.js"
import { fixture, rememberingLogger, specOf } from "../../../test/plugin/support.js"
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

  streamContract("an async generator", { start: () => startWith([], {}, "streams.py"), lines })
  streamContract("a generator that is not async", { start: () => startWith(["blocking"], {}, "streams.py"), lines })

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
