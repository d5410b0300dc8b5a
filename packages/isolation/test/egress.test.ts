/** The way out of a sandbox without a network. */
import { once } from "node:events"
import { createServer as createHttpServer } from "node:http"
import { createServer, type Server } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { type EgressDecision, type Isolation, startIsolation } from "../src/index.js"
import { can, launchNode, outcomeOf, testHost } from "./support/host.js"

const host = testHost()
const ready = can("egress from a sandbox", "bwrap")

/** Asks the proxy for each target, and for a page behind it where it may; prints status lines and pages. */
const ASK = `const http = require("http"); const net = require("net")
const ask = (target) => new Promise((resolve) => {
  const request = http.request({ socketPath: "/run/fn/egress.sock", method: "CONNECT", path: target })
  request.on("connect", (response, socket) => {
    if (response.statusCode !== 200) return socket.destroy(), resolve(response.statusCode)
    let page = ""; socket.on("data", (chunk) => page += chunk); socket.on("end", () => resolve("200 " + page.split("\\r\\n\\r\\n")[1])); socket.write("GET / HTTP/1.0\\r\\n\\r\\n")
  })
  request.on("error", (e) => resolve(e.code)); request.end()
})
;(async () => { for (const target of JSON.parse(process.env.TARGETS)) console.log(target + " -> " + await ask(target)); process.exit() })()`

async function ask(
  isolation: Isolation,
  allow: readonly string[],
  targets: readonly string[],
): Promise<{ answers: string[]; decisions: EgressDecision[] }> {
  const decisions: EgressDecision[] = []
  const child = await launchNode({ isolation, node: host.node }, ASK, {
    network: { kind: "egress", allow },
    env: { TARGETS: JSON.stringify(targets) },
    onEgress: (decision) => decisions.push(decision),
  })
  const { stdout, stderr } = await outcomeOf(child)
  expect(stderr).toBe("")
  return { answers: stdout.trim().split("\n"), decisions }
}

describe("PL-6: egress", () => {
  let page: Server
  let port = 0
  let opened: Isolation
  beforeAll(async () => {
    page = createHttpServer((_request, response) => response.end("the page"))
    page.listen(0, "127.0.0.1")
    await once(page, "listening")
    port = (page.address() as { port: number }).port
    if (ready) opened = await startIsolation({ openedNetworks: ["127.0.0.1", "::1"] })
  })
  afterAll(async () => {
    await opened?.close()
    page.close()
  })

  test("an allowed target is reached, any other is refused, and each decision is told", async () => {
    if (!ready) return
    const allowed = `127.0.0.1:${port}`
    const { answers, decisions } = await ask(
      opened,
      [allowed],
      [allowed, `127.0.0.1:${port + 1}`, "example.com:443", "localhost:80", "nonsense"],
    )
    expect(answers).toEqual([
      `${allowed} -> 200 the page`,
      `127.0.0.1:${port + 1} -> 403`,
      "example.com:443 -> 403",
      "localhost:80 -> 403",
      "nonsense -> 403",
    ])
    expect(decisions.map(({ target, allowed }) => [target, allowed])).toEqual([
      [allowed, true],
      [`127.0.0.1:${port + 1}`, false],
      ["example.com:443", false],
      ["localhost:80", false],
      ["nonsense", false],
    ])
    expect(decisions[0]).toMatchObject({ address: "127.0.0.1" })
  })

  test("SEC-3: a listed name that leads to the host itself is refused after it was resolved", async () => {
    if (!ready) return
    const { answers, decisions } = await ask(
      host.isolation,
      [`localhost:${port}`, `127.0.0.1:${port}`],
      [`localhost:${port}`, `127.0.0.1:${port}`],
    )
    expect(answers).toEqual([`localhost:${port} -> 403`, `127.0.0.1:${port} -> 403`])
    expect(decisions.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/resolves to (127\.0\.0\.1|::1), which is not a public address/),
      "it resolves to 127.0.0.1, which is not a public address",
    ])
  })

  test("a target that does not answer is told apart from one that is refused", async () => {
    if (!ready) return
    const closed = createServer()
    closed.listen(0, "127.0.0.1")
    await once(closed, "listening")
    const target = `127.0.0.1:${(closed.address() as { port: number }).port}`
    await new Promise((resolve) => closed.close(resolve))
    const { answers, decisions } = await ask(opened, [target], [target])
    expect(answers).toEqual([`${target} -> 502`])
    expect(decisions).toEqual([{ target, allowed: true, address: "127.0.0.1", reason: expect.stringContaining("ECONNREFUSED") }])
  })

  test("the proxy is the only way: names are not resolved and nothing is dialled directly", async () => {
    if (!ready) return
    const script = `const net = require("net"); net.connect(${port}, "127.0.0.1").on("error", (e) => console.log(e.code)).on("connect", () => console.log("connected"))`
    const child = await launchNode({ isolation: opened, node: host.node }, script, {
      network: { kind: "egress", allow: [`127.0.0.1:${port}`] },
    })
    expect((await outcomeOf(child)).stdout.trim()).toBe("ECONNREFUSED")
  })

  test("other methods than CONNECT, and what is no HTTP at all, get nowhere", async () => {
    if (!ready) return
    const script = `const net = require("net"); const say = (text) => new Promise((resolve) => { let got = ""; const s = net.connect("/run/fn/egress.sock", () => s.write(text)); s.on("data", (d) => got += d); s.on("close", () => resolve(got.split("\\r\\n")[0])); s.on("error", () => {}) })
      ;(async () => { console.log(await say("GET http://127.0.0.1:${port}/ HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")); console.log(JSON.stringify(await say("SSH-2.0-x\\r\\n\\r\\n"))) })()`
    const child = await launchNode({ isolation: opened, node: host.node }, script, {
      network: { kind: "egress", allow: [`127.0.0.1:${port}`] },
    })
    expect((await outcomeOf(child)).stdout.trim().split("\n")).toEqual(["HTTP/1.1 405 Method Not Allowed", '""'])
  })

  test("a list with something else than host:port is refused", async () => {
    if (!ready) return
    const network = { kind: "egress", allow: ["https://example.com"] } as const
    await expect(launchNode(host, "", { network })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    await expect(startIsolation({ openedNetworks: ["nonsense/8"] })).rejects.toMatchObject({ reason: "INVALID_CONFIG" })
  })
})
