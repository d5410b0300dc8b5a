/** What functions get on a strict host, whatever their kind: nothing but what they were granted, and an answer that says which limit ended them. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isAlive, processesWith, until, watchChildren } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { failure, header } from "../test-host.js"
import { assemble, program } from "../wasm/support.js"
import { buildGoPlugin, buildJavaPlugin, bundle, canIsolate, type IsolatedHost, startIsolatedHost } from "./support.js"

jest.setTimeout(120_000)

const ready = canIsolate("functions on a strict host")
const granted = mkdtempSync(join(tmpdir(), "fn-granted-"))
let host: IsolatedHost

beforeAll(async () => {
  if (!ready) return
  chmodSync(granted, 0o755)
  writeFileSync(join(granted, "model.txt"), "the model")
  host = await startIsolatedHost({ isolation: { policy: "strict", allowFiles: [granted], openedNetworks: ["127.0.0.1"] } })
})
afterAll(async () => {
  await host?.[Symbol.asyncDispose]()
  rmSync(granted, { recursive: true })
})

/** What a Node function can get hold of. */
const LOOK = `const fs = await import("node:fs"); const net = await import("node:net"); const out = { files: {}, env: Object.keys(process.env).sort() }
  for (const path of ["/etc/shadow", "/etc/passwd", "/root", "/var", "/proc/1/root/etc"]) { try { fs.readdirSync(path); out.files[path] = "seen" } catch (e) { try { fs.readFileSync(path); out.files[path] = "read" } catch (e) { out.files[path] = e.code } } }
  try { fs.writeFileSync("/usr/x", ""); out.write = "written" } catch (e) { out.write = e.code }
  out.nats = await new Promise((resolve) => net.connect(event.data.port, "127.0.0.1").on("connect", () => resolve("connected")).on("error", (e) => resolve(e.code)))
  out.pids = fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).length
  try { process.kill(event.data.host, 0); out.kill = "signalled" } catch (e) { out.kill = e.code }
  return out`
const SEES_NOTHING = {
  files: {
    "/etc/shadow": "ENOENT",
    "/etc/passwd": "ENOENT",
    "/root": "ENOENT",
    "/var": "ENOENT",
    "/proc/1/root/etc": expect.stringMatching(/EACCES|ENOENT/),
  },
  write: "EROFS",
  nats: "ECONNREFUSED",
  kill: "ESRCH",
}
const looked = async (name: string) => {
  const { port } = new URL(host.server.url)
  const reply = await host.call(name, { port: Number(port), host: process.pid })
  return JSON.parse(reply.string())
}

describe("R-PL-6: a function on a strict host sees nothing of it", () => {
  test("as a module", async () => {
    if (!ready) return
    await host.module("lookmodule", LOOK, { env: { GIVEN: "yes" } })
    const seen = await looked("lookmodule")
    expect(seen).toMatchObject(SEES_NOTHING)
    expect(seen.env).toEqual(["GIVEN", "HOME", "PATH", "PWD", "TMPDIR"])
    expect(seen.pids).toBe(2)
  })

  test("as a plugin of our SDK, whose socket only exists in its sandbox", async () => {
    if (!ready) return
    await host.plugin("lookplugin", LOOK)
    expect(await looked("lookplugin")).toMatchObject(SEES_NOTHING)
  })

  test("as a plugin in Go", async () => {
    if (!ready) return
    const plugin = await buildGoPlugin()
    if (!plugin) return void console.warn("SKIPPED: needs go: a sandboxed plugin in Go")
    try {
      const artifact = readFileSync(plugin.path)
      await host.deploy({ name: "goplugin", language: "go", runtime: "plugin", entry: "." }, { artifact, fileName: "everything" })
      const reply = await host.request(
        "function.go.goplugin",
        JSON.stringify({ id: "1", source: "/s", type: "echo", specversion: "1.0", data: { n: 1 } }),
        {
          "Content-Type": "application/cloudevents+json",
        },
      )
      expect([header(reply, "Fn-Error-Reason"), JSON.parse(reply.string())]).toMatchObject([undefined, { data: { n: 1 } }])
    } finally {
      await plugin.remove()
    }
  })

  test("as a plugin in Java, with the java of the machine", async () => {
    if (!ready) return
    const artifact = await buildJavaPlugin("a sandboxed plugin in Java")
    if (!artifact) return
    const command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx128m", "-jar", "{artifact}"]
    const manifest = { name: "javaplugin", language: "java", runtime: "plugin", command } as const
    await host.deploy({ ...manifest, instances: { min: 0, max: 1 } }, { artifact, fileName: "everything.jar" })
    const event = { id: "1", source: "/s", type: "echo", specversion: "1.0", data: { n: 1 } }
    const reply = await host.request("function.java.javaplugin", JSON.stringify(event), { "Content-Type": "application/cloudevents+json" })
    expect([header(reply, "Fn-Error-Reason"), JSON.parse(reply.string())]).toMatchObject([undefined, { data: { n: 1 } }])
  })

  test("as a command, with the programs of the machine and its event on stdin", async () => {
    if (!ready) return
    await host.script(
      "lookscript",
      `cat > /dev/null; cat /etc/shadow 2>/dev/null; (echo x > /usr/x) 2>/dev/null && echo written; ls /root 2>/dev/null; id -u; pwd; env | grep -c SECRET; head -c 3 /dev/stdin 2>/dev/null | wc -c`,
    )
    const reply = await host.call("lookscript")
    expect(reply.string().trim().split(/\s+/).slice(0, 3)).toEqual(["65534", "/tmp", "0"])
  })

  test("as WebAssembly", async () => {
    if (!ready) return
    const wat = program("(call $print (i32.const 1000) (call $read))")
    await host.deploy(
      { name: "wasmecho", language: "rust", runtime: "wasm", stdin: "data" },
      { artifact: await assemble(wat), fileName: "echo.wasm" },
    )
    expect((await host.request("function.rust.wasmecho", "hello")).string()).toBe("hello")
  })
})

describe("R-PL-6: limits on a strict host are answers", () => {
  const HOG = "const kept = []; for (;;) kept.push(Buffer.alloc(4 << 20, 1))"

  test.each([
    ["a module", (name: string, m: object) => host.module(name, HOG, m)],
    ["a plugin", (name: string, m: object) => host.plugin(name, HOG, m)],
    ["a command", (name: string, m: object) => host.script(name, "x=0123456789abcdef; while :; do x=$x$x; done", m)],
  ])("%s that fills memory is MEMORY_LIMIT, and its neighbour keeps answering", async (what, deploy) => {
    if (!ready) return
    const name = `hog${what.replaceAll(/\W/g, "")}`
    await host.module(`beside${name}`, "return event.data")
    await host.call(`beside${name}`)
    await deploy(name, { memoryMb: 96 })
    const pending = host.call(name)
    for (let n = 0; n < 20; n++) expect(JSON.parse((await host.call(`beside${name}`, { n })).string())).toEqual({ n })
    const reply = await pending
    expect([failure(reply), header(reply, "Nats-Service-Error")]).toEqual([
      "resource_exhausted MEMORY_LIMIT",
      expect.stringContaining("bytes of memory"),
    ])
  })

  test("a function that starts processes without end is PIDS_LIMIT when it fails of it", async () => {
    if (!ready) return
    await host.script("bomb", "n=0; while [ $n -lt 100 ]; do sleep 30 & n=$((n + 1)); done", { pids: 20 })
    expect(failure(await host.call("bomb"))).toBe("resource_exhausted PIDS_LIMIT")
    await until(() => processesWith("sleep 30").length === 0, { name: "the bomb to be gone" })
  })

  test("a loop is ended at its time-out, whatever it started", async () => {
    if (!ready) return
    await host.module("loop", "if (!event.data.loop) return; for (;;);")
    await host.call("loop")
    expect(failure(await host.call("loop", { loop: true }, 500))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await host.script("sloop", "setsid sleep 65 & while :; do :; done")
    expect(failure(await host.call("sloop", {}, 500))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await until(() => processesWith("sleep 65").length === 0, { name: "what it started to be gone" })
  })

  test("a function gets its share of a processor", async () => {
    if (!ready) return
    const spin =
      "const end = performance.now() + 400; const before = process.cpuUsage().user; while (performance.now() < end); return (process.cpuUsage().user - before) / 1000"
    await host.module("slow", spin, { cpu: 0.2 })
    await host.call("slow")
    expect(Number((await host.call("slow")).string())).toBeLessThan(300)
  })
})

describe("R-PL-6: what a strict host grants", () => {
  test("files its operator allows, read-only unless asked for", async () => {
    if (!ready) return
    const read = `const fs = await import("node:fs"); const text = fs.readFileSync("/models/model.txt", "utf8"); try { fs.writeFileSync("/models/model.txt", "") } catch (e) { return [text, e.code] }`
    await host.module("reader", read, { isolation: { files: [{ path: granted, at: "/models" }] } })
    expect(JSON.parse((await host.call("reader")).string())).toEqual(["the model", "EROFS"])
  })

  test("a way to the targets it names", async () => {
    if (!ready) return
    const { port } = new URL(host.server.url)
    const ask = `const http = await import("node:http"); const ask = (path) => new Promise((resolve) => http.request({ socketPath: "/run/fn/egress.sock", method: "CONNECT", path }).on("connect", (r, s) => { s.destroy(); resolve(r.statusCode) }).on("error", (e) => resolve(e.code)).end())
      return [await ask("127.0.0.1:${port}"), await ask("127.0.0.1:1")]`
    await host.module("caller", ask, { isolation: { network: [`127.0.0.1:${port}`] } })
    expect(JSON.parse((await host.call("caller")).string())).toEqual([200, 403])
  })

  test.each([
    ["level process", { isolation: { level: "process" as const } }, "isolation.level"],
    ["the full network", { isolation: { network: "full" as const } }, "isolation.network"],
    ["files its operator did not allow", { isolation: { files: [{ path: "/etc" }] } }, "isolation.files"],
    ["a folder whose name only begins like an allowed one", { isolation: { files: [{ path: `${granted}-other` }] } }, "isolation.files"],
  ])("not %s", async (what, manifest, named) => {
    if (!ready) return
    const name = `refused${what.replaceAll(/\W/g, "")}`
    await host.module(name, "return 1", manifest)
    expect(host.runtime.status().functions).toContainEqual(
      expect.objectContaining({
        function: `default/${name}`,
        served: false,
        error: expect.objectContaining({ reason: "ISOLATION_UNAVAILABLE", message: expect.stringContaining(named) }),
      }),
    )
    await expect(host.call(name, {}, 2_000)).rejects.toMatchObject({ message: expect.stringMatching(/no responders/i) })
  })

  test("what is too much for a record is refused when it is called", async () => {
    if (!ready) return
    const files = Array.from({ length: 20 }, (_, n) => ({ path: `/etc/${"x".repeat(60)}${n}` }))
    await host.module("longlist", "return 1", { isolation: { files } })
    const reply = await host.call("longlist")
    expect([failure(reply), header(reply, "Nats-Service-Error")]).toEqual([
      "failed_precondition ISOLATION_UNAVAILABLE",
      expect.stringContaining("isolation.files"),
    ])
  })

  test("a version that asks for less takes the place of one that was refused, and the other way round", async () => {
    if (!ready) return
    const served = (): boolean | undefined => host.runtime.status().functions.find((fn) => fn.function === "default/changing")?.served
    await host.module("changing", "return 1", { version: "1.0.0" })
    await host.module("changing", "return 2", { version: "2.0.0", isolation: { level: "process" } })
    await until(() => served() === false, { name: "the new version to be refused" })
    await host.module("changing", "return 3", { version: "3.0.0" })
    await until(() => served() === true, { name: "the newest version to be served" })
    expect((await host.call("changing")).string()).toBe("3")
  })

  test("level process and the full network where its operator allows them", async () => {
    if (!ready) return
    await using lenient = await startIsolatedHost({ isolation: { policy: "strict", allowProcess: true, allowFullNetwork: true } })
    const who = `const fs = await import("node:fs"); const net = await import("node:net"); return { uid: process.getuid(), etc: fs.existsSync("/etc/passwd"), nats: await new Promise((resolve) => net.connect(event.data.port, "127.0.0.1").on("connect", function () { this.destroy(); resolve("connected") }).on("error", (e) => resolve(e.code))) }`
    const port = Number(new URL(lenient.server.url).port)
    await lenient.module("asprocess", who, { isolation: { level: "process" } })
    const seen = JSON.parse((await lenient.call("asprocess", { port })).string())
    expect(seen).toMatchObject({ etc: true, nats: "connected" })
    expect(seen.uid).toBeGreaterThan(1_000_000_000)
    await lenient.module("online", who, { isolation: { network: "full" } })
    expect(JSON.parse((await lenient.call("online", { port })).string())).toMatchObject({ uid: 65_534, etc: false, nats: "connected" })
    await lenient.plugin("processplugin", "return process.getuid()", { isolation: { level: "process" } })
    expect(Number((await lenient.call("processplugin")).string())).toBeGreaterThan(1_000_000_000)
  })
})

describe("R-PL-6: a host that cannot isolate", () => {
  test("serves no function of others, and says why; builtins it has", async () => {
    if (!ready) return
    await using bare = await startIsolatedHost({
      isolation: { policy: "strict", bubblewrap: "/nonexistent/bwrap" },
      builtins: { here: () => ({ type: "answer", data: "here" }) },
    })
    await bare.module("elsewhere", "return 1")
    await bare.deployBuiltin("here")
    await expect(bare.call("elsewhere", {}, 2_000)).rejects.toMatchObject({ message: expect.stringMatching(/no responders/i) })
    expect(bare.runtime.status().functions).toContainEqual(
      expect.objectContaining({
        function: "default/elsewhere",
        served: false,
        error: expect.objectContaining({ reason: "ISOLATION_UNAVAILABLE", message: expect.stringContaining("/nonexistent/bwrap") }),
      }),
    )
    expect((await bare.request("function.js.here", "{}")).string()).toBe('"here"')
  })
})

describe("R-PL-6: policy dev", () => {
  test("runs what asks for nothing as a plain process, and keeps what is asked for", async () => {
    if (!ready) return
    await using dev = await startIsolatedHost({ isolation: { policy: "dev" } })
    await dev.module("plain", "return process.getuid()")
    expect((await dev.call("plain")).string()).toBe("0")
    await dev.script("limited", "x=0123456789abcdef; while :; do x=$x$x; done", { memoryMb: 32 })
    expect(failure(await dev.call("limited"))).toBe("resource_exhausted MEMORY_LIMIT")
    await dev.module("boxed", LOOK, { isolation: { level: "sandbox" } })
    const seen = JSON.parse((await dev.call("boxed", { port: Number(new URL(dev.server.url).port), host: process.pid })).string())
    expect(seen).toMatchObject(SEES_NOTHING)
  })
})

test("R-PL-6: nothing is left of a strict host and its functions", async () => {
  if (!ready) return
  await bundle("") // what makes bundles stays
  const children = watchChildren()
  const folders = () => readdirSync(tmpdir()).filter((name) => /^fn-(isolation-|\w{6}$)/.test(name))
  const before = folders()
  const strict = await startIsolatedHost()
  await strict.module("one", "return process.pid")
  await strict.plugin("two", "return process.pid")
  await strict.script("three", "setsid sleep 66 & exit 0")
  for (const name of ["one", "two", "three"]) await strict.call(name)
  const pids = children.added().map(({ pid }) => pid)
  expect(pids.length).toBeGreaterThan(3)
  await strict[Symbol.asyncDispose]()
  await children.settled()
  expect(pids.filter(isAlive)).toEqual([])
  // Others make such folders meanwhile, and remove them.
  const fresh = folders().filter((name) => !before.includes(name))
  await until(() => fresh.every((name) => !folders().includes(name)), { name: `${fresh} to be gone`, timeoutMs: 60_000 })
})
