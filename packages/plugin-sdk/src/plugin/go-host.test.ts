/** PL-4: a host built with the real hashicorp/go-plugin runs plugins written in TypeScript, in Python and in Java. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"
import { findJava, findPython, javaNeeds } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"

type Findings = Record<string, Record<string, unknown>>

const fixtures = fileURLToPath(new URL("../../test/fixtures/", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "fn-go-host-"))
const program = join(folder, "go-host")
const go = findOnPath("go")
const env = process.env as Record<string, string>

async function run(command: string, args: string[], options: { cwd?: string; env?: Record<string, string> } = {}): Promise<string> {
  const child = spawnChild({
    command,
    args,
    env: { ...env, CGO_ENABLED: "0", ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
  })
  const text = { stdout: "", stderr: "" }
  child.stdout?.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()))
  child.stderr?.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()))
  const exit = await child.exited
  if (exit.code !== 0) throw new Error(`${command}: ${text.stdout}${text.stderr}`)
  return text.stdout
}

async function host(plugin: readonly string[], config: unknown): Promise<Findings> {
  const output = await run(program, [...plugin], { env: { GOHOST_CONFIG: JSON.stringify(config) } })
  const lines = output.trim().split("\n")
  return Object.fromEntries(
    lines.map((line) => {
      const { name, ...finding } = JSON.parse(line) as { name: string }
      return [name, finding]
    }),
  )
}

if (!go) {
  test("the Go toolchain is needed", () => {
    console.warn("SKIPPED: needs go: a real Go host was not built to run plugins in TypeScript, Python and Java")
  })
} else {
  const python = findPython()
  if (!python) console.warn("SKIPPED: needs grpcio: a real Go host did not run a plugin in Python (npm run setup)")
  const java = findJava()
  if (!java) console.warn(`SKIPPED: needs ${javaNeeds()}: a real Go host did not run a plugin in Java (npm run setup)`)

  beforeAll(() => java?.compile(join(fixtures, "java-plugin"), folder), 120_000)
  beforeAll(() => run(go, ["build", "-trimpath", "-o", program, "."], { cwd: join(fixtures, "go-host") }), 240_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  describe.each([
    { language: "typescript", command: [process.execPath, join(fixtures, "plugin.mjs")] },
    ...(python ? [{ language: "python", command: python.command(join(fixtures, "plugin.py")) }] : []),
    ...(java ? [{ language: "java", command: java.command(folder, "HostedPlugin") }] : []),
  ])("R-PL-4: a real Go host runs a plugin in $language", ({ language, command }) => {
    let found: Findings

    beforeAll(async () => {
      found = await host(command, { greeting: "hello" })
    }, 60_000)

    test("it describes itself, and refuses calls until it is initialized, once", () => {
      expect(found.early).toEqual({ code: "FailedPrecondition" })
      expect(found.describe).toMatchObject({
        negotiated: 1,
        function: `from-${language}`,
        version: "1.2.3",
        accepts: ["echo", "fail", "wait", "log"],
        emits: ["echoed"],
        maxConcurrency: 500,
        schema: { type: "object", properties: { greeting: { type: "string" } } },
      })
      expect(found.initialize).toEqual({ diagnostics: [], again: "FailedPrecondition" })
    })

    test("a wrong configuration is a diagnostic that points at the key", async () => {
      expect((await host(command, { greeting: 7 })).initialize).toMatchObject({ diagnostics: ["/greeting INVALID_CONFIG"] })
    })

    test("unary calls: events, 5 MB, errors with their details, deadlines", () => {
      expect(found.unary).toEqual({ events: ['echoed "unary"'] })
      expect(found.large).toEqual({ bytes: 5 * 1024 * 1024 + 2 })
      expect(found.failure).toMatchObject({ code: "FailedPrecondition", message: "no money" })
      expect(JSON.stringify(found.failure?.details)).toContain("CARD_DECLINED")
      expect(found.deadline).toEqual({ code: "DeadlineExceeded" })
    })

    test("one stream: 200 calls at once, each with exactly one result, batched, cancelled, logged, drained", () => {
      expect(found.stream).toEqual({
        credit: 500,
        right: 200,
        results: 203,
        notOnce: 0,
        batched: true,
        cancelled: 1,
        failed: "no money",
        log: "3 LOG_LEVEL_WARN careful map[answer:42]",
        drained: 203,
      })
    })

    test("it shuts down when it is told to, long before the host would kill it, and its console reached the host", () => {
      expect(found.shutdown).toEqual({ abandoned: 0 })
      expect(found.exited?.exited).toBe(true)
      expect(found.exited?.killMs).toBeLessThan(1_900)
      expect(found.output?.stdout).toBe("hello k\ndisposed\n")
    })
  })
}
