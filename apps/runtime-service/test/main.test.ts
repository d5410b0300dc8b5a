import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Header, headerLine } from "@fn/core"
import { publishLines } from "@fn/nats"
import { connectRegistry, setupPlatform } from "@fn/registry"
import { startTestServer, type TestServer, tempDir, until, watchChildren } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url))
const BUILTINS = fileURLToPath(new URL("builtins.fixture.mjs", import.meta.url))

async function start(server: TestServer, dataDir: string, ...more: string[]) {
  const args = ["--nats-url", server.url, "--data-dir", dataDir, "--health-port", "0", ...more]
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  const exited = once(child, "exit") as Promise<[number | null, string | null]>
  for await (const line of createInterface(child.stderr)) {
    const entry = JSON.parse(line) as { message: string; health?: string; host?: string }
    if (entry.message === "runtime-service ready") {
      child.stderr.resume()
      return { child, exited, health: entry.health as string, host: entry.host as string }
    }
  }
  throw new Error("the runtime-service ended before it was ready")
}

describe("fn-runtime-service", () => {
  test("R-OB-4: it serves builtins, answers health and metrics, and drains on SIGTERM with exit code 0", async () => {
    await using server = await startTestServer()
    await using dir = await tempDir()
    const nc = await server.connect()
    await setupPlatform(nc)
    const registry = await connectRegistry(nc)
    const children = watchChildren()
    const service = await start(server, dir.path, "--builtins", BUILTINS)
    await registry.deploy({ name: "shout-it", language: "js", runtime: "builtin" })
    expect((await nc.request("function.js.shout-it", '"hey"')).json()).toBe("HEY")
    expect((await fetch(`${service.health}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${service.health}/readyz`)).json()).toMatchObject({ status: "ready", host: service.host, functions: 1 })
    expect(await (await fetch(`${service.health}/metrics`)).text()).toMatch(/faas_invocations_total\{[^}]*\} 1/)
    expect((await fetch(`${service.health}/nothing`)).status).toBe(404)
    service.child.kill("SIGTERM")
    expect(await service.exited).toEqual([0, null])
    await registry.close()
    await children.settled()
  })

  test("SEC-1: results are posted to hosts that --callback-allow names, and to no other", async () => {
    await using server = await startTestServer()
    await using dir = await tempDir()
    const nc = await server.connect()
    await setupPlatform(nc)
    const registry = await connectRegistry(nc)
    const posted: string[] = []
    const receiver = createServer((request, response) => {
      posted.push(request.url ?? "")
      response.end()
    })
    receiver.listen(0, "127.0.0.1")
    await once(receiver, "listening")
    const { port } = receiver.address() as AddressInfo
    const refused = nc.subscribe("function.dlq.default.shout-it", { max: 1 })
    const allow = ["--callback-allow", `127.0.0.1:${port}`, "--callback-allow-private", "true"]
    const service = await start(server, dir.path, "--builtins", BUILTINS, ...allow)
    await registry.deploy({ name: "shout-it", language: "js", runtime: "builtin" })
    for (const host of ["127.0.0.1", "localhost"]) {
      const lines = headerLine(Header.callback, `http://${host}:${port}/${host}`)
      publishLines(nc, "function.queue.default.shout-it", lines, Buffer.from('"hey"'))
    }
    for await (const msg of refused) expect(msg.headers?.get("Fn-Dlq-Reason")).toBe("CALLBACK_REFUSED")
    await until(() => posted.length > 0, { name: "the callback", timeoutMs: 10_000 })
    expect(posted).toEqual(["/127.0.0.1"])
    service.child.kill("SIGTERM")
    expect(await service.exited).toEqual([0, null])
    await registry.close()
    receiver.closeAllConnections()
    receiver.close()
  }, 30_000)

  test("R-DP-5: bad configuration names every problem and exits 2", async () => {
    const args = [MAIN, "--health-port", "x", "--callback-allow", "http://a", "--log-level", "loud"]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] })
    const [[code], text] = await Promise.all([once(child, "exit"), collect(child.stderr)])
    expect(code).toBe(2)
    expect(text).toMatch(/healthPort \(--health-port, FN_HEALTH_PORT\).*--callback-allow.*logLevel/)
  })

  test("an account that was never set up is NOT_SET_UP", async () => {
    await using server = await startTestServer()
    await using dir = await tempDir()
    const child = spawn(process.execPath, [MAIN, "--nats-url", server.url, "--data-dir", dir.path], { stdio: ["ignore", "ignore", "pipe"] })
    const [[code], text] = await Promise.all([once(child, "exit"), collect(child.stderr)])
    expect(code).toBe(1)
    expect(text).toContain("NOT_SET_UP")
  })

  test("a NATS that is not there exits 4", async () => {
    const child = spawn(process.execPath, [MAIN, "--nats-url", "nats://127.0.0.1:1"], { stdio: ["ignore", "ignore", "pipe"] })
    const [[code], text] = await Promise.all([once(child, "exit"), collect(child.stderr)])
    expect(code).toBe(4)
    expect(text).toContain("NATS_UNREACHABLE")
  })
})

describe("R-PL-6: what a host says of isolation at its start", () => {
  test.each([
    ["strict", [], { level: "info", policy: "strict", process: "refused", fullNetwork: "refused" }],
    ["dev", ["--isolation", "dev"], { level: "warn", policy: "dev" }],
  ] as const)("is one line, under %s", async (policy, args, fields) => {
    await using server = await startTestServer()
    await using dir = await tempDir()
    const child = spawn(process.execPath, [MAIN, "--nats-url", server.url, "--data-dir", dir.path, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    })
    const [, text] = await Promise.all([once(child, "exit"), collect(child.stderr)])
    const lines = text.split("\n").filter((line) => line.includes("isolation: "))
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ ...fields, message: expect.stringContaining(`isolation: ${policy}, `) })
  })
})

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ""
  for await (const chunk of stream) text += String(chunk)
  return text
}
