/** A strict host and the command line, as operators and authors have them: what is granted, what is not, and who says so. */
import { accessSync, constants } from "node:fs"
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { findOnPath, spawnChild } from "@fn/process"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { programOf } from "../support/app.mjs"
import { type Platform, startPlatform } from "../support/platform.mjs"

jest.setTimeout(120_000)

const need = [
  process.platform === "linux" ? [] : ["linux"],
  process.getuid?.() === 0 ? [] : ["root"],
  findOnPath("bwrap") === undefined ? ["bwrap"] : [],
].flat()
if (need.length > 0) console.warn(`SKIPPED: needs ${need.join(", ")}: functions on a strict host, deployed by fn`)
const strict = need.length === 0 ? describe : describe.skip

/** Tries to read files, to reach an address, and to reach another through the host's proxy. */
const LOOK = `
import { readFileSync } from "node:fs"
import { request } from "node:http"
import { connect } from "node:net"
const read = (path) => { try { return readFileSync(path, "utf8").length } catch (error) { return error.code } }
const reach = (port) => new Promise((resolve) => connect(port, "127.0.0.1").on("connect", function () { this.destroy(); resolve("reached") }).on("error", (error) => resolve(error.code)))
const tunnel = (path) => new Promise((resolve) => request({ socketPath: "/run/fn/egress.sock", method: "CONNECT", path }).on("connect", (response, socket) => {
  if (response.statusCode !== 200) { socket.destroy(); return resolve(response.statusCode) }
  socket.write("GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
  let text = ""; socket.on("data", (chunk) => { text += chunk }).on("end", () => resolve(text.split("\\r\\n\\r\\n")[1]))
}).on("error", (error) => resolve(error.code)).end())
export default async ({ data: { files, ports, targets = [] } }) => ({ type: "seen", data: {
  files: files.map(read), ports: await Promise.all(ports.map(reach)), targets: await Promise.all(targets.map(tunnel)),
} })
`

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

strict("R-PL-6: a strict host", () => {
  let platform: Platform
  let web: Server
  let secret: string

  beforeAll(async () => {
    platform = await startPlatform({ hostArgs: ["--isolation", "strict", "--isolation-open-networks", "127.0.0.1"] })
    web = createServer((_request, response) => response.end("welcome"))
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve))
    secret = platform.folder.file("secret.txt")
    await writeFile(secret, "for nobody")
    await chmod(platform.folder.path, 0o755)
  }, 60_000)
  afterAll(async () => {
    web?.close()
    await platform?.dispose()
  })

  const natsPort = (): number => Number(new URL(platform.server.url).port)
  const webPort = (): number => (web.address() as AddressInfo).port

  /** Runs the built command. */
  async function fn(...args: string[]): Promise<Ran> {
    const child = spawnChild({
      command: process.execPath,
      args: [programOf("cli"), ...args],
      cwd: platform.folder.path,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: platform.folder.path,
        FN_CACHE_DIR: platform.folder.file("cache"),
        FN_NATS_URL: platform.server.url,
      },
    })
    const [exit, stdout, stderr] = await Promise.all([
      child.exited,
      text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>),
      text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    ])
    return { code: exit.code, stdout, stderr }
  }

  /** Writes a function's folder and deploys it. */
  async function deploy(name: string, isolation: string): Promise<void> {
    const dir = platform.folder.file(name)
    await mkdir(dir, { recursive: true })
    await writeFile(join(dir, "index.mjs"), LOOK)
    await writeFile(join(dir, "fn.yaml"), `name: ${name}\nlanguage: js\nruntime: module\nentry: index.mjs\n${isolation}`)
    const deployed = await fn("deploy", name, "--json")
    expect([deployed.code, JSON.parse(deployed.stdout)]).toMatchObject([0, { status: "accepted", hosts: [{ served: true }] }])
  }

  async function look(name: string, targets: readonly string[] = []): Promise<unknown> {
    const data = JSON.stringify({ files: [secret, "/etc/shadow", "/etc/passwd"], ports: [natsPort()], targets })
    const called = await fn("invoke", name, "--data", data, "--timeout-ms", "60000", "--json")
    const { events, error } = JSON.parse(called.stdout) as { events?: { data: unknown }[]; error?: unknown }
    return events?.[0]?.data ?? error
  }

  test("says at its start what functions may do", async () => {
    const [host] = platform.hosts
    expect(host?.lines.filter(({ message }) => message.startsWith("isolation: "))).toEqual([
      expect.objectContaining({ level: "info", policy: "strict", process: "refused", fullNetwork: "refused", openNetworks: ["127.0.0.1"] }),
    ])
  })

  test("hides its files and NATS from a function that fn deploy brought", async () => {
    accessSync(secret, constants.R_OK)
    await deploy("look", "")
    expect(await look("look", [`127.0.0.1:${webPort()}`])).toEqual({
      files: ["ENOENT", "ENOENT", "ENOENT"],
      ports: ["ECONNREFUSED"],
      targets: ["ENOENT"],
    })
    expect((await fn("get", "look")).stdout).toMatch(/isolation: by the policy of its host(.|\n)*hosts:\n {2}✓ host-1: 1 instance/)
  })

  test("lets a function reach the host:port that its fn.yaml names, and nothing else", async () => {
    await deploy("online", `isolation:\n  network: ["127.0.0.1:${webPort()}"]\n`)
    expect(await look("online", [`127.0.0.1:${webPort()}`, `127.0.0.1:${natsPort()}`])).toEqual({
      files: ["ENOENT", "ENOENT", "ENOENT"],
      ports: ["ECONNREFUSED"],
      targets: ["welcome", 403],
    })
  })

  test.each([
    ["level process", "isolation: { level: process }", "isolation.level"],
    ["a folder of the host", "isolation: { files: [/etc] }", "isolation.files"],
  ])("refuses %s, with the setting and what to do", async (what, isolation, setting) => {
    const name = `refused-${what.split(" ").at(-1)}`
    const dir = platform.folder.file(name)
    await mkdir(dir, { recursive: true })
    await writeFile(join(dir, "index.mjs"), LOOK)
    await writeFile(join(dir, "fn.yaml"), `name: ${name}\nlanguage: js\nruntime: module\nentry: index.mjs\n${isolation}\n`)
    expect((await fn("deploy", name)).code).toBe(0)
    const refused = await fn("invoke", name, "--data", "{}")
    expect(refused.code).not.toBe(0)
    expect(refused.stderr).toContain("ISOLATION_UNAVAILABLE")
    expect(refused.stderr).toContain(setting)
    expect(refused.stderr).toContain("fn doctor")
  })

  test("is what fn doctor on its machine says it is", async () => {
    const { code, stdout, stderr } = await fn("doctor", "--json", "--require", "sandbox,nats")
    expect([code, stderr]).toEqual([0, ""])
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      isolation: { lacks: { sandbox: [] }, grades: { sandbox: { files: { grade: "hard" }, network: { grade: "hard" } } } },
      nats: { url: platform.server.url, setUp: true, hosts: ["host-1"] },
      required: [
        { name: "sandbox", met: true },
        { name: "nats", met: true },
      ],
    })
  })

  test("that cannot make sandboxes leaves functions to others, and fn deploy and fn get say why", async () => {
    const bare = await platform.startHost(["--isolation", "strict", "--isolation-bubblewrap", "/nonexistent/bwrap"])
    expect(await bare.logged("no function can be isolated here")).toMatchObject({ reason: expect.stringContaining("/nonexistent/bwrap") })
    await writeFile(
      join(platform.folder.file("look"), "fn.yaml"),
      "name: look\nlanguage: js\nruntime: module\nentry: index.mjs\nrecord: all\n",
    )
    const deployed = await fn("deploy", "look", "--json")
    expect(JSON.parse(deployed.stdout)).toMatchObject({
      status: "accepted",
      warnings: [expect.stringMatching(/^host host-2 does not serve it: ISOLATION_UNAVAILABLE: .*\/nonexistent\/bwrap/)],
    })
    expect(await look("look")).toMatchObject({ ports: ["ECONNREFUSED"] })
    const shown = await fn("get", "look")
    expect(shown.stdout).toMatch(/ {2}✓ host-1: .*\n {2}✗ host-2: ISOLATION_UNAVAILABLE: .*\/nonexistent\/bwrap/)
  })
})
