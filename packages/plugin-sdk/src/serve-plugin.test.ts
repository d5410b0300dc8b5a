import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { PLUGIN_HANDSHAKE } from "@fn/core"
import { launchPlugin, type PluginProcess } from "@fn/go-plugin"
import { spawnChild } from "@fn/process"
import { plugin } from "@fn/proto"
import { afterAll, describe, expect, test } from "@jest/globals"
import { FnError, servePlugin } from "./index.js"

// Inside the package, so that the fixtures' imports resolve.
const folder = mkdtempSync(fileURLToPath(new URL("../test/fixtures/tmp-", import.meta.url)))
const fixture = fileURLToPath(new URL("../test/fixtures/plugin.mjs", import.meta.url))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function runNode(args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawnChild({ command: process.execPath, args, env: {} })
  const text = { stdout: "", stderr: "" }
  child.stdout?.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()))
  child.stderr?.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()))
  const { code } = await child.exited
  return { code, ...text }
}

function script(name: string, source: string): string {
  const path = join(folder, name)
  writeFileSync(path, source)
  return path
}

function launch(path: string, onStdout: (text: string) => void = () => undefined): Promise<PluginProcess> {
  return launchPlugin({
    command: process.execPath,
    args: [path],
    handshake: { ...PLUGIN_HANDSHAKE, protocolVersions: [1] },
    startTimeoutMs: 8_000,
    onStdout: (bytes) => onStdout(bytes.toString()),
  })
}

describe("servePlugin", () => {
  test("started by hand it says what it is, and prints nothing on stdout", async () => {
    const { code, stdout, stderr } = await runNode([fixture])
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toMatch(/plugin/)
  })

  test("what is no function is refused", async () => {
    await expect(servePlugin({} as never)).rejects.toMatchObject({ reason: "LOAD_FAILED" })
    await expect(servePlugin("hello" as never)).rejects.toBeInstanceOf(FnError)
  })

  test("a bare handler is a plugin, too; its name and version are the options'", async () => {
    const path = script(
      "bare.mjs",
      `import { servePlugin } from "@fn/plugin-sdk"\nawait servePlugin(() => undefined, { name: "bare", version: "2.0.0" })`,
    )
    const launched = await launch(path)
    try {
      const client = launched.createClient(plugin.FunctionClient)
      const about = await new Promise<plugin.DescribeResponse>((resolve, reject) =>
        client.describe({ hostName: "", hostVersion: "", hostProtocolMinor: 0 }, (error, response) =>
          error ? reject(error) : resolve(response),
        ),
      )
      expect(about).toMatchObject({ name: "bare", version: "2.0.0", accepts: [], emits: [], configSchemaJson: "", maxConcurrency: 0 })
    } finally {
      await launched.close()
    }
  })

  test("a host that only knows go-plugin's Shutdown still gets the function's", async () => {
    let printed = ""
    const launched = await launch(fixture, (text) => {
      printed += text
    })
    const client = launched.createClient(plugin.FunctionClient)
    await new Promise<void>((resolve, reject) =>
      client.initialize(
        {
          config: { greeting: "hello" },
          secrets: { key: "k" },
          instanceId: "i",
          logLevel: plugin.LogLevel.LOG_LEVEL_INFO,
          workDir: "",
          hostMetadata: {},
        },
        (error) => (error ? reject(error) : resolve()),
      ),
    )
    expect(await launched.close()).toMatchObject({ code: 0 })
    expect(printed).toBe("hello k\ndisposed\n")
  })

  test("gRPC is loaded by servePlugin, not by importing the SDK", async () => {
    const path = script(
      "lazy.mjs",
      `import { createRequire } from "node:module"
       import { defineFunction } from "@fn/plugin-sdk"
       defineFunction({ name: "x", handler: () => undefined })
       const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes("grpc-js"))
       const before = loaded()
       await import("@fn/go-plugin")
       console.log(JSON.stringify({ before, after: loaded() }))`,
    )
    expect(JSON.parse((await runNode([path])).stdout)).toEqual({ before: false, after: true })
  })
})
