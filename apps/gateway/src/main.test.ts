import { writeFile } from "node:fs/promises"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { type Child, spawnChild } from "@fn/process"
import { setupPlatform } from "@fn/registry"
import { startTestServer, tempDir, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url))

/** The built program, and the lines of its stderr. */
function startProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { child: Child; lines: string[] } & AsyncDisposable {
  const child = spawnChild({ command: process.execPath, args: [MAIN, ...args], env: { PATH: process.env.PATH ?? "", ...env } })
  const lines: string[] = []
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on("line", (line) => lines.push(line))
  return { child, lines, [Symbol.asyncDispose]: async () => void (await child.terminate({ graceMs: 0 })) }
}

/** Address that the program logged when it was ready. */
async function urlOf(program: { child: Child; lines: string[] }): Promise<string> {
  const line = await until(() => program.lines.find((text) => text.includes("gateway ready")), { name: "fn-gateway", timeoutMs: 20_000 })
  return (JSON.parse(line) as { url: string }).url
}

describe("fn-gateway", () => {
  test("R-DP-5: flag > environment > file > default; serves until SIGTERM, then exits 0", async () => {
    await using server = await startTestServer()
    await using folder = await tempDir()
    await setupPlatform(await server.connect())
    const file = folder.file("gateway.yaml")
    await writeFile(file, `httpPort: 1\nlogLevel: error\nbodyLimitBytes: 100\nnats:\n  servers: nats://127.0.0.1:1\n`)
    const env = { FN_CONFIG: file, FN_LOG_LEVEL: "info", FN_HTTP_PORT: "2", FN_NATS_URL: server.url, FN_HTTP_HOST: "" }
    await using program = startProgram(["--http-port", "0"], env)
    const url = await urlOf(program)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const missing = await fetch(`${url}/function/missing`, { method: "POST", body: "{}" })
    expect(await missing.json()).toMatchObject({ status: 404, reason: "FUNCTION_NOT_FOUND" })
    const large = await fetch(`${url}/function/missing`, { method: "POST", body: "a".repeat(101) })
    expect(await large.json()).toMatchObject({ status: 413, details: { limitBytes: 100 } })
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toContain("process_cpu_seconds_total")
    expect(metrics).toMatch(/not_found/)
    program.child.kill("SIGTERM")
    expect(await program.child.exited).toMatchObject({ code: 0 })
    expect(program.lines.map((line) => (JSON.parse(line) as { message: string }).message)).toContain("gateway closed")
  }, 30_000)

  test("all that is wrong with the configuration is said at once, with exit code 2", async () => {
    await using folder = await tempDir()
    const file = folder.file("gateway.yaml")
    await writeFile(file, "httpPort: 80000\ntypo: 1\nnats:\n  url: x\n")
    await using program = startProgram(["--config", file, "--log-level", "loud"], { FN_DRAIN_MS: "-1" })
    expect(await program.child.exited).toMatchObject({ code: 2 })
    const text = program.lines.join("\n")
    for (const part of [
      "httpPort (--http-port, FN_HTTP_PORT)",
      "unknown key typo",
      "nats",
      "logLevel (--log-level",
      "drainMs (--drain-ms, FN_DRAIN_MS)",
    ])
      expect(text).toContain(part)
  }, 20_000)

  test("without NATS it says so and exits 4", async () => {
    await using program = startProgram(["--nats-url", "nats://127.0.0.1:1", "--http-port", "0"])
    expect(await program.child.exited).toMatchObject({ code: 4 })
    expect(program.lines.join("\n")).toContain("NATS_UNREACHABLE")
  }, 20_000)

  test("an HTTP port that is taken is said, with exit code 4, and nothing is left open", async () => {
    await using server = await startTestServer()
    await setupPlatform(await server.connect())
    await using program = startProgram(["--nats-url", server.url, "--http-port", String(server.port)])
    expect(await program.child.exited).toMatchObject({ code: 4 })
    expect(program.lines.join("\n")).toContain("PORT_IN_USE")
  }, 20_000)
})
