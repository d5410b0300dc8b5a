/** PL-3: plugins written in Rust with the Rust SDK, over tonic. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { PLUGIN_HANDSHAKE } from "@fn/core"
import { type Child, spawnChild } from "@fn/process"
import type { FunctionDefinition } from "@fn/registry"
import { findRust, tempDir } from "@fn/testing"
import { afterEach, beforeAll, describe, expect, test } from "@jest/globals"
import { pluginContract } from "../../../test/plugin/contract.js"
import { go, runGo } from "../../../test/plugin/go-program.js"
import { streamContract } from "../../../test/plugin/stream-contract.js"
import { executionOf, failure, fixture, rememberingLogger, specOf, until } from "../../../test/plugin/support.js"
import type { Instance } from "../instance.js"
import { createPluginStarter } from "./plugin-starter.js"

const rust = findRust()
const { logger, lines } = rememberingLogger()
const started: Instance[] = []
let program: string

async function startWith(args: readonly string[], overrides: Partial<FunctionDefinition> = {}): Promise<Instance> {
  const starter = createPluginStarter({ logger, startTimeoutMs: 8_000 })
  const spec = specOf([program, ...args], { language: "rust", ...overrides }, logger)
  const instance = await starter.start(spec, new AbortController().signal)
  started.push(instance)
  return instance
}

if (!rust) {
  test("the Rust toolchain is needed", () => {
    console.warn("SKIPPED: needs cargo: plugins written in Rust were neither built nor run")
  })
} else {
  beforeAll(async () => {
    program = await rust.build(fixture("rust-everything"), "rust-everything")
  }, 480_000)
  afterEach(async () => {
    for (const instance of started.splice(0)) await instance.close({ graceMs: 2_000 })
  })

  pluginContract("written in Rust (PL-3)", { start: (overrides = {}) => startWith([], overrides), lines, panicExitCode: 101 })
  streamContract("a function in Rust that sends its events", { start: () => startWith(["streams"]), lines })

  test("a handler that panics fails its call alone, and the log says where", async () => {
    const instance = await startWith([])
    expect(await failure(instance.execute(executionOf("panic-inside")))).toMatchObject({
      code: "unknown",
      reason: "FUNCTION_THREW",
      message: "panic: a mistake of the handler",
    })
    expect(lines.find(({ message }) => message === "the function panicked")).toMatchObject({
      level: "error",
      fields: { panic: expect.stringContaining("main.rs") },
    })
    expect(await instance.execute(executionOf("nothing"))).toEqual([])
  })

  test("an answer that is too large for a message fails its call, and not those beside it", async () => {
    const instance = await startWith([])
    const beside = instance.execute(executionOf("wait", undefined, { deadline: Date.now() + 1_000 }))
    const [error, other] = await Promise.all([failure(instance.execute(executionOf("too-large"))), failure(beside)])
    expect([error.reason, other.reason]).toEqual(["PAYLOAD_TOO_LARGE", "FUNCTION_TIMEOUT"])
    expect(await instance.execute(executionOf("nothing"))).toEqual([])
  })

  describe("by hand", () => {
    const cookie = { FN_PLUGIN_COOKIE: PLUGIN_HANDSHAKE.cookieValue }

    /** Starts the program as a host does, whose words are `env`. */
    function launch(env: Record<string, string>): { child: Child; said: { stdout: string; stderr: string } } {
      const child = spawnChild({ command: program, env })
      const said = { stdout: "", stderr: "" }
      child.stdout?.on("data", (chunk: Buffer) => (said.stdout += chunk.toString()))
      child.stderr?.on("data", (chunk: Buffer) => (said.stderr += chunk.toString()))
      return { child, said }
    }

    test.each<[string, Record<string, string>, RegExp]>([
      ["its cookie", {}, /is a plugin of fn/],
      ["a certificate that is one", { ...cookie, PLUGIN_CLIENT_CERT: "junk" }, /PLUGIN_CLIENT_CERT is no certificate/],
      ["a group that there is", { ...cookie, PLUGIN_UNIX_SOCKET_GROUP: "no-such-group" }, /there is no group no-such-group/],
    ])("without %s it says so, prints nothing and ends with 1", async (_what, env, words) => {
      const { child, said } = launch(env)
      expect(await child.exited).toEqual({ code: 1, signal: null })
      expect(said).toEqual({ stdout: "", stderr: expect.stringMatching(words) })
    })

    test("it prints one line, does not mind SIGINT, and leaves no socket when it is told to end", async () => {
      await using folder = await tempDir("fn-rust-socket-")
      const { child, said } = launch({ ...cookie, PLUGIN_UNIX_SOCKET_DIR: folder.path, PLUGIN_PROTOCOL_VERSIONS: "3,1" })
      await until(() => said.stdout.endsWith("\n"), { name: "the handshake line" })
      expect(said.stdout).toMatch(new RegExp(`^1\\|1\\|unix\\|${folder.path}/plugin\\w+\\|grpc\\|\n$`))
      expect(await readdir(folder.path)).toHaveLength(1)
      child.kill("SIGINT")
      child.kill("SIGTERM")
      expect(await child.exited).toEqual({ code: 0, signal: null })
      expect(await readdir(folder.path)).toEqual([])
    })

    test("it prints a seventh field only for a host that asks for it", async () => {
      const { child, said } = launch({ ...cookie, PLUGIN_MULTIPLEX_GRPC: "true" })
      await until(() => said.stdout.endsWith("\n"), { name: "the handshake line" })
      expect(said.stdout).toMatch(/\|grpc\|\|false\n$/)
      child.kill("SIGTERM")
      expect(await child.exited).toEqual({ code: 0, signal: null })
    })
  })

  test("R-PL-3: a host made with hashicorp/go-plugin runs it with AutoMTLS, whose certificate is on P-521", async () => {
    if (!go) return console.warn("SKIPPED: needs go: a plugin in Rust under a host in Go")
    await using folder = await tempDir("fn-go-host-")
    const host = join(folder.path, "go-host")
    await runGo(["build", "-trimpath", "-o", host, "."], fixture("go-host"))
    const child = spawnChild({ command: host, args: [program], env: {} })
    const said: Buffer[] = []
    child.stdout?.on("data", (chunk: Buffer) => said.push(chunk))
    child.stderr?.resume()
    expect(await child.exited).toEqual({ code: 0, signal: null })
    const report = JSON.parse(Buffer.concat(said).toString()) as { killMs: number }
    expect(report).toMatchObject({ name: "everything", answer: "echoed", stdout: "printed\n", stderr: "complained\n" })
    // It went by itself: after two seconds the host would have killed it.
    expect(report.killMs).toBeLessThan(2_000)
  }, 240_000)

  test("the Rust SDK's own tests pass", async () => expect(await rust.test(rust.sdkFolder)).toContain("test result: ok"), 480_000)
}
