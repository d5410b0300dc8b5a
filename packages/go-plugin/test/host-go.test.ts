import { X509Certificate } from "node:crypto"
import { once } from "node:events"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { spawnChild } from "@fn/process"
import { credentials } from "@grpc/grpc-js"
import { beforeAll, expect, test } from "@jest/globals"
import { attachPlugin, launchPlugin, parseHandshakeLine } from "../src/index.js"
import { createCertificate } from "../src/tls/certificate.js"
import { describeWithGo, goKv } from "./support/go-kv.js"
import { addTell, defer, handshake, keepingLogger, kvOf, launch, rejectionOf, tellThrough, tempDir } from "./support/kv.js"
import { isAlive, until } from "./support/until.js"

describeWithGo("R-PL-3: our host and a plugin made with hashicorp/go-plugin", () => {
  let command: string
  const args = ["plugin"]
  beforeAll(() => {
    command = goKv()
  }, 120_000)

  async function envOf(plugin: Awaited<ReturnType<typeof launch>>): Promise<Map<string, string>> {
    const text = await kvOf(plugin).run("env")
    return new Map(text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]))
  }

  test("H1 a plain launch negotiates the highest common version and answers calls", async () => {
    const plugin = await launch({ command, args, autoMtls: false })
    expect(plugin.negotiatedVersion).toBe(3)
    await plugin.ping()
    const kv = kvOf(plugin)
    await kv.put("a", Buffer.from("value"))
    expect((await kv.get("a")).toString()).toBe("value")
    expect(await kv.run("version")).toBe("3")
  })

  test("H2 the plugin gets exactly the protocol's variables", async () => {
    const plain = await envOf(await launch({ command, args, autoMtls: false }))
    expect([...plain.keys()].sort()).toEqual(["KV_COOKIE", "PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS"])
    const secure = await envOf(await launch({ command, args }))
    expect(secure.get("PLUGIN_CLIENT_CERT")).toBe("-----BEGIN CERTIFICATE-----")
    expect(secure.has("PLUGIN_MULTIPLEX_GRPC")).toBe(false)
  })

  test("H3 protocol variables of a host that is itself a plugin do not leak", async () => {
    const inherited = {
      PLUGIN_CLIENT_CERT: "leaked",
      PLUGIN_MULTIPLEX_GRPC: "true",
      PLUGIN_UNIX_SOCKET_DIR: "/nonexistent",
      HOST_OWN: "yes",
    }
    Object.assign(process.env, inherited)
    defer(() => {
      for (const name of Object.keys(inherited)) delete process.env[name]
    })
    const env = await envOf(await launch({ command, args, autoMtls: false, inheritEnv: true }))
    expect(env.get("HOST_OWN")).toBe("yes")
    for (const name of ["PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC", "PLUGIN_UNIX_SOCKET_DIR"]) expect(env.has(name)).toBe(false)
  })

  test("H4 the application's variables beat the host's, the protocol's beat both", async () => {
    process.env.KV_X = "host"
    defer(() => delete process.env.KV_X)
    const env = await envOf(await launch({ command, args, inheritEnv: ["KV_X"], env: { KV_X: "app", PLUGIN_MIN_PORT: "1" } }))
    expect([env.get("KV_X"), env.get("PLUGIN_MIN_PORT")]).toEqual(["app", "10000"])
  })

  test("H5 the plugin's choice of version is honoured", async () => {
    const older = await launch({ command, args, handshake: { ...handshake, protocolVersions: [1, 2] } })
    const newer = await launch({ command, args, handshake: { ...handshake, protocolVersions: [9, 3, 1] } })
    expect([older.negotiatedVersion, newer.negotiatedVersion]).toEqual([1, 3])
  })

  test("H6 a version mismatch names both sides and leaves no process", async () => {
    const pidFile = join(tempDir(), "pid")
    const wrapped = { command: "/bin/sh", args: ["-c", `echo $$ > ${pidFile}; exec ${command} plugin`] }
    const error = await rejectionOf(launchPlugin({ ...wrapped, handshake: { ...handshake, protocolVersions: [9] } }))
    expect(error).toMatchObject({ reason: "PLUGIN_PROTOCOL", code: "failed_precondition" })
    expect(error.message).toMatch(/version 1\b.*speaks 9/)
    expect(isAlive(Number(readFileSync(pidFile, "utf8")))).toBe(false)
  })

  test("H13 a plugin that ends before its line is told with exit code and stderr, exit 0 too", async () => {
    const wrongCookie = await rejectionOf(launchPlugin({ command, args, handshake: { ...handshake, cookieValue: "wrong" } }))
    expect(wrongCookie).toMatchObject({ reason: "PLUGIN_EXITED", code: "unavailable", details: { exitCode: 1, signal: null } })
    expect(wrongCookie.message).toContain("This binary is a plugin")
    const longDir = `/tmp/${"d".repeat(110)}`
    const noSocket = await rejectionOf(launchPlugin({ command, args, handshake, env: { TMPDIR: longDir } }))
    expect(noSocket).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 0 } })
    expect(noSocket.message).toContain(longDir)
  })

  test("H16 AutoMTLS works over a unix socket", async () => {
    const plugin = await launch({ command, args, autoMtls: true })
    await plugin.ping()
    expect(plugin.address.network).toBe("unix")
    expect(await kvOf(plugin).run("version")).toBe("3")
  })

  test("the application's own TLS takes the place of AutoMTLS", async () => {
    const { certPem, keyPem } = createCertificate()
    const file = join(tempDir(), "pair.pem")
    writeFileSync(file, certPem + keyPem)
    const own = { command, args, env: { KV_TLS_PEM: file } }
    const plugin = await launch({ ...own, credentials: credentials.createSsl(Buffer.from(certPem)) })
    expect(await kvOf(plugin).run("version")).toBe("3")
    expect(await rejectionOf(plugin.broker.accept(addTell))).toMatchObject({ code: "unimplemented" })
    expect(await rejectionOf(launchPlugin({ ...own, handshake, autoMtls: false }))).toMatchObject({ reason: "BAD_HANDSHAKE" })
  })

  test("H18 the host's certificate is a P-256 end entity for localhost", async () => {
    const plugin = await launch({ command, args })
    const [pem] = /-----BEGIN.*END CERTIFICATE-----/s.exec(await kvOf(plugin).run("env")) ?? []
    const certificate = new X509Certificate(pem as string)
    expect(certificate).toMatchObject({ ca: false, subjectAltName: "DNS:localhost" })
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" })
  })

  test("H23 a reply of 20 MB is received", async () => {
    const plugin = await launch({ command, args })
    expect(await kvOf(plugin).run("big 20000000")).toHaveLength(20_000_000)
  })

  test("R-SEC-3: a reply beyond maxReceiveBytes fails as RESOURCE_EXHAUSTED and the connection stays usable", async () => {
    const plugin = await launch({ command, args, maxReceiveBytes: 1_000_000 })
    const kv = kvOf(plugin)
    await expect(kv.run("big 20000000")).rejects.toMatchObject({ code: 8 })
    expect(await kv.run("big 900000")).toHaveLength(900_000)
  })

  test("H24 a request over Go's 4 MiB fails as RESOURCE_EXHAUSTED and the connection stays usable", async () => {
    const plugin = await launch({ command, args })
    const kv = kvOf(plugin)
    await kv.put("small", Buffer.from("s"))
    await expect(kv.put("large", Buffer.alloc(5_000_000))).rejects.toMatchObject({ code: 8 })
    expect(await plugin.explain(await rejectionOf(kv.put("large", Buffer.alloc(5_000_000))))).toMatchObject({ code: "resource_exhausted" })
    expect((await kv.get("small")).toString()).toBe("s")
  })

  test("H25 half a megabyte printed in the first call does not block the plugin, and all of it arrives", async () => {
    let received = 0
    const plugin = await launch({ command, args, onStdout: (bytes) => (received += bytes.length) })
    const begun = performance.now()
    await kvOf(plugin).run("flood 500000")
    expect(performance.now() - begun).toBeLessThan(1_000)
    await until(() => received === 500_000, { name: "500 000 bytes of output" })
  })

  test("H27 printed text arrives unaltered, each stream on its own channel", async () => {
    const text = "žluťoučký 🐎 ".repeat(200)
    const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    const plugin = await launch({ command, args, onStdout: (b) => printed.stdout.push(b), onStderr: (b) => printed.stderr.push(b) })
    await kvOf(plugin).run(`print ${text}`)
    const sizeBytes = Buffer.byteLength(text)
    for (const channel of [printed.stdout, printed.stderr]) {
      await until(() => Buffer.concat(channel).length >= sizeBytes, { name: "the printed text" })
      expect(Buffer.concat(channel).toString()).toBe(text)
    }
  })

  test.each([false, true])("H28 H29 the broker connects both ways, with the same id in use in both (mTLS %s)", async (autoMtls) => {
    // A Go plugin leaves the sockets of what it offered behind.
    const plugin = await launch({ command, args, autoMtls, env: { TMPDIR: tempDir() } })
    const kv = kvOf(plugin)
    const ours = await plugin.broker.accept(addTell)
    const theirs = Number(await kv.run("accept"))
    expect([ours.id, theirs]).toEqual([1, 1])
    expect(await kv.run(`dial ${ours.id}`)).toBe("told:x")
    expect(await tellThrough(plugin.broker, theirs)).toBe("told:y")
    ours.close()
    expect(existsSync(ours.address?.address as string)).toBe(false)
  })

  test("H32 H36 a graceful close ends it with code 0, without SIGKILL and without its socket file", async () => {
    const plugin = await launch({ command, args })
    expect(existsSync(plugin.address.address)).toBe(true)
    const begun = performance.now()
    expect(await plugin.close()).toEqual({ code: 0, signal: null })
    expect(performance.now() - begun).toBeLessThan(1_000)
    expect(existsSync(plugin.address.address)).toBe(false)
    expect(await plugin.close()).toEqual({ code: 0, signal: null })
  })

  test("H34 a frozen plugin cannot hang close()", async () => {
    const plugin = await launch({ command, args })
    process.kill(plugin.pid, "SIGSTOP")
    const begun = performance.now()
    expect(await plugin.close({ shutdownTimeoutMs: 300, graceMs: 300 })).toEqual({ code: null, signal: "SIGKILL" })
    expect(performance.now() - begun).toBeLessThan(1_600)
    expect(existsSync(plugin.address.address)).toBe(false)
  })

  test("H37 H38 R-PL-7: a crash fails calls and streams at once and is told with exit code and panic", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ command, args, logger })
    const kv = kvOf(plugin)
    const stream = kv.client.echo()
    const streamFailed = new Promise<{ code: number }>((resolve) => stream.once("error", (error) => resolve(error as never)))
    stream.on("data", () => undefined)
    stream.write(Buffer.from("x"))
    const begun = performance.now()
    const failed = await rejectionOf(kv.run("panic"))
    expect(failed).toMatchObject({ code: 14 })
    expect(await streamFailed).toMatchObject({ code: 14 })
    const error = await plugin.explain(failed)
    expect(error).toMatchObject({ reason: "PLUGIN_EXITED", code: "unavailable", details: { exitCode: 2, signal: null } })
    expect(error.message).toContain("panic: asked to")
    await expect(kv.run("version")).rejects.toMatchObject({ code: 14 })
    expect(performance.now() - begun).toBeLessThan(2_000)
    expect(await plugin.exited).toEqual({ code: 2, signal: null })
    expect(plugin.stderrTail()).toContain("goroutine")
    expect(existsSync(plugin.address.address)).toBe(false)
    expect(lines.find((line) => line.message === "panic: asked to")?.level).toBe("error")
  })

  test("H37 an exit code of the plugin's own is told, and ping() then says the same", async () => {
    const plugin = await launch({ command, args })
    await rejectionOf(kvOf(plugin).run("exit 7"))
    expect(await plugin.exited).toEqual({ code: 7, signal: null })
    expect(plugin.exit).toEqual({ code: 7, signal: null })
    expect(await rejectionOf(plugin.ping())).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 7 } })
    expect(await plugin.close()).toEqual({ code: 7, signal: null })
  })

  test("H39 hclog lines keep their level, message, module and pairs", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ command, args, logger })
    await kvOf(plugin).run("log")
    const warned = await until(() => lines.find(({ message }) => message === "warned"), { name: "the plugin's warning" })
    expect(warned).toMatchObject({ level: "warn", fields: { module: "kv.sub", n: 1 } })
    expect(lines.find(({ message }) => message === "logged")).toMatchObject({ level: "info", fields: { k: "v" } })
  })

  test("H44 SIGINT to its process group does not end a Go plugin", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ command, args, logger })
    process.kill(-plugin.pid, "SIGINT")
    await until(() => lines.some(({ message }) => message.includes("interrupt")), { name: "the plugin to have seen SIGINT" })
    expect(await kvOf(plugin).run("version")).toBe("3")
    expect(await plugin.close()).toEqual({ code: 0, signal: null })
  })

  test("H48 a deadline reaches the plugin", async () => {
    const { logger, lines } = keepingLogger()
    const plugin = await launch({ command, args, logger })
    await expect(kvOf(plugin).run("sleep", 200)).rejects.toMatchObject({ code: 4 })
    await until(() => lines.some(({ message }) => message === "sleep cancelled"), { name: "the plugin to notice" })
  })

  test("H46 attaches to a Go plugin; without Test close() ends it", async () => {
    const child = spawnChild({ command, args, env: { KV_COOKIE: "hello", PLUGIN_PROTOCOL_VERSIONS: "3" } })
    defer(() => child.kill())
    const [bytes] = (await once(child.stdout as Readable, "data")) as [Buffer]
    const { protocolVersion, network, address } = parseHandshakeLine(bytes.toString())
    const found = {
      Protocol: "grpc",
      ProtocolVersion: protocolVersion,
      Pid: child.pid as number,
      Addr: { Network: network, String: address },
    } as const
    const guest = await attachPlugin({ ...found, Test: true })
    expect(guest.negotiatedVersion).toBe(3)
    expect(await kvOf(guest).run("version")).toBe("3")
    await guest.close()
    expect(isAlive(guest.pid)).toBe(true)
    const owner = await attachPlugin({ ...found, Test: false })
    await owner.close()
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(existsSync(address)).toBe(false)
    expect((await rejectionOf(attachPlugin({ ...found, Test: false }))).message).toContain("process not found")
    const nobodyThere = attachPlugin({ ...found, Pid: process.pid, Test: true })
    expect((await rejectionOf(nobodyThere)).message).toContain("process not found")
  })

  test("H49 ten launches, one after the other, leak no descriptor", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length
    await (await launch({ command, args })).close()
    const before = descriptors()
    for (let i = 0; i < 10; i++) await (await launch({ command, args })).close()
    await until(() => descriptors() <= before, { name: "the descriptors to be closed" })
  })
})
