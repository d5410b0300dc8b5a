/** PL-3: plugins written in Go with the Go SDK, that is, with the real hashicorp/go-plugin. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { FunctionDefinition } from "@fn/registry"
import { afterAll, afterEach, beforeAll, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { go, runGo } from "../../../test/plugin/go-program.js"
import { fixture, rememberingLogger, specOf } from "../../../test/plugin/support.js"
import type { Instance } from "../instance.js"
import { createPluginStarter } from "./plugin-starter.js"

const folder = mkdtempSync(join(tmpdir(), "fn-go-plugin-"))
const program = join(folder, "go-everything")
const { logger, lines } = rememberingLogger()
const started: Instance[] = []

async function start(overrides: Partial<FunctionDefinition> = {}): Promise<Instance> {
  const starter = createPluginStarter({ logger, startTimeoutMs: 8_000 })
  const instance = await starter.start(specOf([program], { language: "go", ...overrides }, logger), new AbortController().signal)
  started.push(instance)
  return instance
}

if (!go) {
  test("the Go toolchain is needed", () => {
    console.warn("SKIPPED: needs go: plugins written in Go were neither built nor run")
  })
} else {
  beforeAll(() => runGo(["build", "-trimpath", "-o", program, "."], fixture("go-everything")), 240_000)
  afterEach(async () => {
    for (const instance of started.splice(0)) await instance.close({ graceMs: 2_000 })
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  pluginContract("written in Go (PL-3)", { start, lines, panicExitCode: 2 })

  test("the Go SDK's own tests pass", () => runGo(["test", "-trimpath", "./..."], fixture("../../../../../sdk/go")), 240_000)
}
