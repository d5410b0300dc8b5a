import { once } from "node:events"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { canTether, spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { attachPlugin, type ReattachConfig, serveGoPlugin } from "../src/index.js"
import { createCertificate } from "../src/tls/certificate.js"
import { KvService } from "./fixtures/kv.mjs"
import { defer, keepingLogger, kvOf, kvPluginFile, launch, rejectionOf, script, tempDir, tsKv } from "./support/kv.js"
import { isAlive, until } from "./support/until.js"

describe("R-PL-3 R-PL-4: our host and our plugin", () => {
  test.each([false, true])("H17 H22 a TCP plugin is reached whatever proxies are set (mTLS %s)", async (autoMtls) => {
    const names = ["http_proxy", "https_proxy", "grpc_proxy"]
    for (const name of names) process.env[name] = "http://127.0.0.1:9"
    defer(() => {
      for (const name of names) delete process.env[name]
    })
    const plugin = await launch({ ...tsKv("tcp"), autoMtls })
    expect(plugin.address.network).toBe("tcp")
    expect(await kvOf(plugin).run("version")).toBe("3")
  })

  test("AutoMTLS holds although NODE_TLS_REJECT_UNAUTHORIZED is 0", async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
    defer(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED)
    const stranger = createCertificate().der.toString("base64").replaceAll("/", "\\/")
    const command = script(`"${process.execPath}" "${kvPluginFile}" | sed -u '1s/|[^|]*$/|${stranger}/'`)
    expect(await rejectionOf(launch({ command }))).toMatchObject({ reason: "BAD_HANDSHAKE" })
  })

  test("H25 H31 one stdio and one broker stream are opened, and the broker ends before Shutdown", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ ...tsKv(), logger })
    await kvOf(plugin).run("version")
    await plugin.close()
    const told = lines.map(({ message }) => message).filter((message) => message.startsWith("host "))
    expect(told.slice(0, 2).sort()).toEqual(["host opened the broker stream", "host opened the stdio stream"])
    expect(told.slice(2)).toEqual(["host ended the broker stream", "host asked for shutdown"])
  })

  test("H26 a plugin without stdio service works", async () => {
    const plugin = await launch(tsKv("no-stdio"))
    expect(await kvOf(plugin).run("version")).toBe("3")
  })

  test("a plugin that says NOT_SERVING is reached, but its ping fails; one without health service is reached", async () => {
    const sick = await launch(tsKv("not-serving"))
    const error = await rejectionOf(sick.ping())
    expect(error.code).toBe("unavailable")
    expect(error.message).toContain("NOT_SERVING")
    const plain = await launch(tsKv("no-health"))
    expect(await kvOf(plain).run("version")).toBe("3")
    expect(await rejectionOf(plain.ping())).toMatchObject({ code: "unimplemented" })
  })

  test("H27 P22 what the plugin's code prints arrives on its channels, in order, and not on the real ones", async () => {
    const text = "ěščřžýáíé ".repeat(150)
    const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    const plugin = await launch({ ...tsKv(), onStdout: (b) => printed.stdout.push(b), onStderr: (b) => printed.stderr.push(b) })
    await kvOf(plugin).run(`print ${text}`)
    const expected = `${text}\n${text}`
    await until(() => Buffer.concat(printed.stdout).length >= Buffer.byteLength(expected), { name: "the printed text" })
    expect(Buffer.concat(printed.stdout).toString()).toBe(expected)
    expect(Buffer.concat(printed.stderr).toString()).toBe(`${text}\n`)
    expect(plugin.stderrTail()).not.toContain("ěščřž")
  })

  test("H30 dialling what nobody announced fails, and nothing else breaks", async () => {
    const plugin = await launch(tsKv())
    const error = await rejectionOf(plugin.broker.dial(77, { timeoutMs: 50 }))
    expect(error).toMatchObject({ code: "deadline_exceeded" })
    expect(error.message).toContain("77")
    expect(await kvOf(plugin).run("version")).toBe("3")
  })

  test("H33 a plugin without controller is killed after the grace", async () => {
    const plugin = await launch(tsKv("no-controller"))
    const begun = performance.now()
    expect(await plugin.close({ graceMs: 200 })).toEqual({ code: null, signal: "SIGKILL" })
    expect(performance.now() - begun).toBeGreaterThanOrEqual(190)
    expect(existsSync(plugin.address.address)).toBe(false)
  })

  test("H34 a plugin whose event loop is blocked cannot hang close()", async () => {
    const plugin = await launch(tsKv())
    const call = rejectionOf(kvOf(plugin).run("block"))
    const closing = plugin.close({ shutdownTimeoutMs: 300, graceMs: 5_000 })
    expect(plugin.close()).toBe(closing)
    const begun = performance.now()
    expect(await closing).toEqual({ code: null, signal: "SIGKILL" })
    expect(performance.now() - begun).toBeLessThan(1_500)
    expect(await call).toMatchObject({ code: 14 })
  })

  test("calls after close() fail as unavailable", async () => {
    const plugin = await launch(tsKv())
    const kv = kvOf(plugin)
    await plugin.close()
    expect(await rejectionOf(kv.run("version"))).toMatchObject({ code: "unavailable", reason: "PLUGIN_EXITED" })
    expect(await rejectionOf(plugin.ping())).toMatchObject({ reason: "PLUGIN_EXITED" })
    expect(await rejectionOf(plugin.broker.accept(() => undefined))).toMatchObject({ code: "unavailable" })
  })

  test("H35 a grandchild that holds the pipes, even from another process group, cannot hang close()", async () => {
    const pidFile = join(tempDir(), "pid")
    const command = script(`setsid sleep 60 & echo $! > "${pidFile}"; exec "${process.execPath}" "${kvPluginFile}"`)
    const plugin = await launch({ command })
    const grandchild = Number(readFileSync(pidFile, "utf8"))
    defer(() => process.kill(grandchild, "SIGKILL"))
    const begun = performance.now()
    expect(await plugin.close()).toEqual({ code: 0, signal: null })
    expect(performance.now() - begun).toBeLessThan(3_000)
    expect(isAlive(grandchild)).toBe(true)
  })

  test("H41 lines of 70 000 bytes on either stream neither stall the plugin nor lose later lines", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ ...tsKv(), logger })
    const kv = kvOf(plugin)
    await kv.run("raw 70000")
    await kv.run(`stderr ${"q".repeat(70_000)}\n`)
    await kv.run("log")
    await until(() => lines.some(({ message }) => message === "warned"), { name: "the line after the long one" })
    const pieces = lines.filter(({ message }) => message.startsWith("qq"))
    expect(pieces.map(({ level, message }) => [level, message.length])).toEqual([
      ["debug", 65_536],
      ["debug", 4_464],
    ])
  })

  test("H42 P25 stdout is drained for ever: a plugin and its children may write megabytes to the real one", async () => {
    const plugin = await launch(tsKv("flood-fd1"))
    const kv = kvOf(plugin)
    for (let i = 0; i < 20; i++) await kv.run("raw 100000")
    await kv.run("child")
    expect(await kv.run("version")).toBe("3")
  })

  test("P23 what was printed before the host listened is delivered; what did not fit is told", async () => {
    const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    const plugin = await launch({
      ...tsKv("print-at-start"),
      onStdout: (b) => printed.stdout.push(b),
      onStderr: (b) => printed.stderr.push(b),
    })
    await until(() => Buffer.concat(printed.stdout).includes("004999 "), { name: "the newest output" })
    expect(Buffer.concat(printed.stderr).toString()).toMatch(/^\[\d+ bytes of earlier output were dropped/)
    expect(Buffer.concat(printed.stdout).toString()).not.toContain("000000 ")
    expect(plugin.exit).toBeUndefined()
  })

  test("P26 P27 log lines arrive at their level; hostile values are made harmless", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ ...tsKv(), logger })
    await kvOf(plugin).run("log")
    await kvOf(plugin).run("hostile")
    const cyclic = await until(() => lines.find(({ message }) => message === "cyclic"), { name: "the last line" })
    expect(cyclic.level).toBe("error")
    expect(lines.find(({ message }) => message === "warned")).toMatchObject({ level: "warn", fields: { n: 1, module: "kv" } })
    expect(lines.find(({ message }) => message === "123")).toMatchObject({
      level: "warn",
      fields: { "_@level": "fatal", "_@message": 7, big: "10" },
    })
  })

  test("P28 an uncaught error is logged, shows its stack on stderr and ends the process with a code", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ ...tsKv(), logger })
    // The answer may or may not get out before the process ends.
    await Promise.allSettled([kvOf(plugin).run("throw")])
    expect((await plugin.exited).code).toBe(1)
    expect(lines.find(({ message }) => message === "plugin crashed")?.level).toBe("error")
    expect(plugin.stderrTail()).toMatch(/Error: asked to\n\s+at /)
    expect(existsSync(plugin.address.address)).toBe(false)
  })

  test("P33 20 MB of reply and 5 MB of request go through", async () => {
    const kv = kvOf(await launch(tsKv()))
    expect(await kv.run("big 20000000")).toHaveLength(20_000_000)
    expect(await kv.put("large", Buffer.alloc(5_000_000))).toBe("5000000")
  })

  test("P40 the protocol's variables and the cookie are gone from the plugin's environment", async () => {
    const env = await kvOf(await launch({ ...tsKv(), env: { OWN: "kept" } })).run("env")
    expect(env).toBe("OWN=kept")
  })
})

describe("H45 a host that dies leaves no plugin behind", () => {
  const hostFile = fileURLToPath(new URL("./fixtures/kv-host.mjs", import.meta.url))

  test.each([
    ["SIGTERM", "stay", "SIGTERM"],
    ["SIGKILL", "stay", "SIGKILL"],
    ["an uncaught exception", "throw", undefined],
    ["process.exit", "exit", undefined],
  ] as const)("%s", async (_name, ending, signal) => {
    if (!canTether()) return void console.warn("SKIPPED: needs setpriv: a plugin whose host is killed")
    const host = spawnChild({ command: process.execPath, args: [hostFile, ending, process.execPath, kvPluginFile], env: {} })
    defer(() => host.kill())
    const [line] = (await once(host.stdout as Readable, "data")) as [Buffer]
    const { pid, socket } = JSON.parse(line.toString()) as { pid: number; socket: string }
    // Where the kernel ends the plugin nobody is left to remove its socket.
    defer(() => rmSync(socket, { force: true }))
    if (signal) process.kill(host.pid as number, signal)
    await host.exited
    await until(() => !isAlive(pid), { name: "the plugin to be gone" })
    if (!signal) expect(existsSync(socket)).toBe(false)
  })
})

describe("H46 P41 reattach to a TypeScript plugin in test mode", () => {
  test("calls work, close() leaves it running, and its signal ends it", async () => {
    const stopping = new AbortController()
    let told: ((config: ReattachConfig) => void) | undefined
    const reattach = new Promise<ReattachConfig>((resolve) => {
      told = resolve
    })
    let hooks = 0
    const served = serveGoPlugin({
      handshake: { cookieKey: "ABSENT", cookieValue: "x" },
      versions: {
        2: (server) =>
          server.addService(KvService, {
            run: (_call: unknown, reply: (error: null, text: string) => void) => reply(null, "in process"),
            put: () => undefined,
            get: () => undefined,
            echo: () => undefined,
          }),
      },
      onShutdown: () => void hooks++,
      test: { signal: stopping.signal, onReattach: (config) => told?.(config) },
    })
    const config = JSON.parse(JSON.stringify(await reattach)) as ReattachConfig
    expect(config).toMatchObject({ Protocol: "grpc", ProtocolVersion: 2, Pid: process.pid, Test: true, Addr: { Network: "unix" } })
    const plugin = await attachPlugin(config)
    expect(plugin.negotiatedVersion).toBe(2)
    expect(await kvOf(plugin).run("anything")).toBe("in process")
    expect(await plugin.close()).toEqual({ code: null, signal: null })
    const again = await attachPlugin(config)
    expect(await kvOf(again).run("anything")).toBe("in process")
    await again.close()
    stopping.abort()
    await served
    expect(hooks).toBe(1)
    expect(existsSync(config.Addr.String)).toBe(false)
    expect((await rejectionOf(attachPlugin(config))).message).toContain("process not found")
  })
})
