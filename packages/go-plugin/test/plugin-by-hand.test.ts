import { X509Certificate } from "node:crypto"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { connect as tlsConnect } from "node:tls"
import { goPluginBroker, goPluginController, health } from "@fn/proto"
import { Metadata, type ServiceError } from "@grpc/grpc-js"
import { describe, expect, test } from "@jest/globals"
import { parseHandshakeLine } from "../src/handshake/line.js"
import { createCertificate } from "../src/tls/certificate.js"
import type { PeerChannel } from "../src/wire/channel.js"
import { cookie, startByHand } from "./support/by-hand.js"
import { defer, kvOf, tempDir } from "./support/kv.js"
import { until } from "./support/until.js"

function check(channel: PeerChannel, service: string): Promise<number> {
  return new Promise((resolve, reject) =>
    channel
      .createClient(health.HealthClient)
      .check({ service }, new Metadata(), { deadline: Date.now() + 3_000 }, (error, reply) =>
        error ? reject(error) : resolve(reply.status),
      ),
  )
}

async function shutdown(channel: PeerChannel): Promise<ServiceError | null> {
  return await new Promise((resolve) =>
    channel.createClient(goPluginController.GRPCControllerClient).shutdown({}, (error) => resolve(error)),
  )
}

describe("R-PL-4: a TypeScript plugin, started by hand", () => {
  test.each([
    ["no cookie", {}],
    ["a wrong cookie", { KV_COOKIE: "wrong" }],
  ])("P1 with %s it says why on stderr, nothing on stdout, and exits with 1", async (_name, env) => {
    const plugin = startByHand(env)
    expect(await plugin.ended()).toEqual({ code: 1, signal: null })
    expect(plugin.stdout()).toBe("")
    expect(plugin.stderr()).toContain("This program is a plugin")
  })

  test("P2 P9 it prints exactly one line of six fields, and listens by then", async () => {
    const plugin = startByHand({ ...cookie, PLUGIN_PROTOCOL_VERSIONS: "3", PLUGIN_CLIENT_CERT: "" })
    expect(await plugin.line()).toMatch(/^1\|3\|unix\|\/[^|]+\|grpc\|\n$/)
    const channel = await plugin.connect()
    expect(await check(channel, "plugin")).toBe(1)
    await kvOf(channel).run("print more output")
    await shutdown(channel)
    expect(await plugin.ended()).toEqual({ code: 0, signal: null })
    expect(plugin.stdout().split("\n")).toHaveLength(2)
  })

  test.each([
    ["unset", undefined, 6],
    ["empty", "", 6],
    ["true", "true", 7],
    ["false", "false", 7],
  ])("P3 with PLUGIN_MULTIPLEX_GRPC %s the line has the right number of fields", async (_name, value, count) => {
    const line = await startByHand({ ...cookie, ...(value === undefined ? {} : { PLUGIN_MULTIPLEX_GRPC: value }) }).line()
    const fields = line.trimEnd().split("|")
    expect(fields).toHaveLength(count)
    expect(fields[6] ?? "true").toBe("true")
  })

  test("P4 the version chosen reaches the line", async () => {
    for (const [offered, chosen] of [
      ["x,1", 1],
      ["9", 1],
      ["1,3", 3],
    ] as const) {
      expect(parseHandshakeLine(await startByHand({ ...cookie, PLUGIN_PROTOCOL_VERSIONS: offered }).line()).protocolVersion).toBe(chosen)
    }
  })

  test("P8 P10 under AutoMTLS it serves the announced certificate, and refuses strangers and plaintext", async () => {
    const [host, stranger] = [createCertificate(), createCertificate()]
    const plugin = startByHand({ ...cookie, PLUGIN_CLIENT_CERT: host.certPem })
    const line = await plugin.line()
    expect(line).not.toContain("=")
    const { certificate, address } = parseHandshakeLine(line)
    const peerCertPem = new X509Certificate(certificate as Buffer).toString()
    const own = await plugin.connect({ ...host, peerCertPem })
    expect(await check(own, "plugin")).toBe(1)
    const socket = tlsConnect({
      path: address,
      cert: host.certPem,
      key: host.keyPem,
      ca: peerCertPem,
      servername: "localhost",
      ALPNProtocols: ["h2"],
    })
    await once(socket, "secureConnect")
    expect(socket.getPeerCertificate().raw.equals(certificate as Buffer)).toBe(true)
    socket.destroy()
    await expect(check(await plugin.connect({ ...stranger, peerCertPem }), "plugin")).rejects.toMatchObject({ code: 14 })
    await expect(check(await plugin.connect(), "plugin")).rejects.toMatchObject({ code: 14 })
    expect(await check(own, "plugin")).toBe(1)
  })

  test.each([
    ["P11 a host certificate that is none", { PLUGIN_CLIENT_CERT: "junk" }, "PLUGIN_CLIENT_CERT"],
    ["P13 an unknown socket group", { PLUGIN_UNIX_SOCKET_GROUP: "no-such-group" }, "no-such-group"],
    ["P13 P15 a socket folder whose paths would be too long", { PLUGIN_UNIX_SOCKET_DIR: `/tmp/${"d".repeat(110)}` }, "103 bytes"],
    ["P14 a port that is no number", { PLUGIN_MIN_PORT: "many" }, "PLUGIN_MIN_PORT"],
    ["P14 a port range upside down", { PLUGIN_MIN_PORT: "20", PLUGIN_MAX_PORT: "10" }, "greater than"],
  ])("%s is told on stderr with exit 1 and no line", async (_name, env, said) => {
    const plugin = startByHand({ ...cookie, ...env })
    expect(await plugin.ended()).toEqual({ code: 1, signal: null })
    expect(plugin.stdout()).toBe("")
    expect(plugin.stderr()).toContain(said)
  })

  test("P13 the socket folder and group are honoured for main and brokered sockets, by number and by name", async () => {
    const dir = tempDir()
    const gid = process.getgid?.() ?? 0
    const name = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((line) => line.split(":")[2] === String(gid))
      ?.split(":")[0]
    for (const group of [String(gid), name ?? String(gid)]) {
      const plugin = startByHand({ ...cookie, PLUGIN_UNIX_SOCKET_DIR: dir, PLUGIN_UNIX_SOCKET_GROUP: group })
      const channel = await plugin.connect()
      await kvOf(channel).run("accept")
      const sockets = readdirSync(dir).map((file) => statSync(join(dir, file)))
      expect(sockets.map(({ mode, gid }) => [mode & 0o777, gid])).toEqual([
        [0o660, gid],
        [0o660, gid],
      ])
      await shutdown(channel)
      await plugin.ended()
      expect(readdirSync(dir)).toEqual([])
    }
  })

  test("P14 on TCP it takes the first free port of the range, on 127.0.0.1", async () => {
    const taken = createServer()
    taken.listen(0, "127.0.0.1")
    await once(taken, "listening")
    defer(() => taken.close())
    const min = (taken.address() as { port: number }).port
    const { network, address } = parseHandshakeLine(
      await startByHand({ ...cookie, PLUGIN_MIN_PORT: String(min), PLUGIN_MAX_PORT: String(min + 50) }, "tcp").line(),
    )
    expect(network).toBe("tcp")
    const [host, port] = address.split(":")
    expect(host).toBe("127.0.0.1")
    expect(Number(port)).toBeGreaterThan(min)
    expect(Number(port)).toBeLessThanOrEqual(min + 50)
    const full = startByHand({ ...cookie, PLUGIN_MIN_PORT: String(min), PLUGIN_MAX_PORT: String(min) }, "tcp")
    expect((await full.ended()).code).toBe(1)
    expect(full.stderr()).toContain("no free port")
    expect(parseHandshakeLine(await startByHand(cookie, "tcp").line()).address).toMatch(/^127\.0\.0\.1:[1-9]/)
  })

  test("P15 where the temporary folder is too deep the socket is in /tmp", async () => {
    const deep = join(tempDir(), "d".repeat(110))
    mkdirSync(deep)
    const plugin = startByHand({ ...cookie, TMPDIR: deep })
    const channel = await plugin.connect()
    expect(parseHandshakeLine(await plugin.line()).address).toMatch(/^\/tmp\/plugin[0-9a-f]+$/)
    expect(await check(channel, "plugin")).toBe(1)
    expect(readdirSync(deep)).toEqual([])
  })

  test("P16 health knows `plugin` and the empty name, and watches", async () => {
    const channel = await startByHand(cookie).connect()
    expect([await check(channel, "plugin"), await check(channel, "")]).toEqual([1, 1])
    await expect(check(channel, "other")).rejects.toMatchObject({ code: 5 })
    const watch = channel.createClient(health.HealthClient).watch({ service: "plugin" })
    const [status] = (await once(watch, "data")) as [health.HealthCheckResponse]
    expect(status.status).toBe(1)
    watch.on("error", () => undefined)
    watch.cancel()
  })

  test("P17 P18 Shutdown ends it well within a host's two seconds with open streams and a handler that hangs, and removes the socket", async () => {
    const plugin = startByHand(cookie)
    const channel = await plugin.connect()
    const kv = kvOf(channel)
    const echo = kv.client.echo()
    echo.on("error", () => undefined)
    echo.write(Buffer.from("x"))
    await once(echo, "data")
    const hanging = Promise.allSettled([kv.run("sleep")])
    const begun = performance.now()
    expect(await shutdown(channel)).toBeNull()
    expect(await plugin.ended()).toEqual({ code: 0, signal: null })
    expect(performance.now() - begun).toBeLessThan(1_500)
    await hanging
    expect(existsSync(parseHandshakeLine(await plugin.line()).address)).toBe(false)
  })

  test("P18 P19 SIGINT is ignored, SIGTERM ends it cleanly", async () => {
    const plugin = startByHand(cookie)
    const channel = await plugin.connect()
    plugin.child.kill("SIGINT")
    await until(() => plugin.stderr().includes("SIGINT ignored"), { name: "the plugin to have seen SIGINT" })
    expect(await check(channel, "plugin")).toBe(1)
    plugin.child.kill("SIGTERM")
    expect(await plugin.ended()).toEqual({ code: 0, signal: null })
    expect(existsSync(parseHandshakeLine(await plugin.line()).address)).toBe(false)
  })

  test("P44 a service registered twice ends it with 1 before the line", async () => {
    const plugin = startByHand(cookie, "register-twice")
    expect((await plugin.ended()).code).toBe(1)
    expect(plugin.stdout()).toBe("")
    expect(plugin.stderr()).toContain("plugin cannot start")
  })

  test("P31 a host that never opens the broker, or ends it, is served all the same", async () => {
    const plugin = startByHand(cookie)
    const channel = await plugin.connect()
    const kv = kvOf(channel)
    expect(await kv.run("version")).toBe("1")
    const broker = channel.createClient(goPluginBroker.GRPCBrokerClient).startStream()
    const ended = once(broker, "end")
    broker.resume()
    broker.end()
    await ended
    expect(await kv.run("version")).toBe("1")
    await expect(kv.run("dial 5", 100)).rejects.toMatchObject({ code: 4 })
    expect(await check(channel, "plugin")).toBe(1)
    expect(await shutdown(channel)).toBeNull()
    expect(await plugin.ended()).toEqual({ code: 0, signal: null })
  })

  test("P32 a connection that sends nothing, or rubbish, is survived", async () => {
    const plugin = startByHand(cookie)
    const channel = await plugin.connect()
    const { address } = parseHandshakeLine(await plugin.line())
    for (const bytes of ["", "PRI * HTTP", "GET / HTTP/1.1\r\n\r\n"]) {
      const socket = connect(address)
      await once(socket, "connect")
      socket.on("error", () => undefined)
      socket.end(bytes)
      socket.resume()
      await once(socket, "close")
    }
    expect(await check(channel, "plugin")).toBe(1)
  })

  test("P21 closed pipes do not disturb it: what it logs then is lost, and nothing else", async () => {
    const plugin = startByHand(cookie)
    const channel = await plugin.connect()
    plugin.child.stdout?.destroy()
    plugin.child.stderr?.destroy()
    expect(await kvOf(channel).run("log")).toBe("")
    expect(await kvOf(channel).run("version")).toBe("1")
    await shutdown(channel)
    expect(await plugin.child.exited).toEqual({ code: 0, signal: null })
  })

  test("P36 several connections at once are served", async () => {
    const plugin = startByHand(cookie)
    const channels = await Promise.all([plugin.connect(), plugin.connect(), plugin.connect()])
    expect(await Promise.all(channels.map((channel) => check(channel, "plugin")))).toEqual([1, 1, 1])
  })

  test("P39 neither warnings nor debug output of the runtime reach stdout before the line", async () => {
    const env = {
      NODE_OPTIONS: "--trace-warnings --trace-deprecation",
      NODE_DEBUG: "http2,net",
      GRPC_TRACE: "all",
      GRPC_VERBOSITY: "DEBUG",
    }
    expect(await startByHand({ ...cookie, ...env }).line()).toMatch(/^1\|1\|unix\|[^\n]*\n/)
  })
})
