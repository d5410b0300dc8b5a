/** `fn dev` as a process of its own: what it prints, what it reloads, what it leaves behind. */
import { once } from "node:events"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { createServer, type Socket } from "node:net"
import { isAlive, processTree, startTestServer, until } from "@fn/testing"
import { describe, expect, jest, test } from "@jest/globals"
import { type FnDev, fn, spawnFn, startDev, watchDev } from "./support/fn.js"
import { temporaryFolder } from "./support/folder.js"
import { ECHO, moduleFunction } from "./support/functions.js"

jest.setTimeout(60_000)

const READY = /^\{"event":"ready","nats":"nats:\/\/127\.0\.0\.1:\d+","http":"http:\/\/127\.0\.0\.1:\d+","version":"\d+\.\d+\.\d+"\}\n$/
/** Runs until its call is cancelled. */
const STUCK = `await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))`

/** What a function gives back over HTTP. */
async function call(dev: FnDev, name: string, body: unknown = {}): Promise<{ status: number; body: unknown; version: string | null }> {
  const response = await fetch(`${dev.http}/function/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  return {
    status: response.status,
    body: text === "" ? undefined : (JSON.parse(text) as unknown),
    version: response.headers.get("fn-version"),
  }
}

/** Everything that `dev` runs, itself first. */
function processesOf(dev: FnDev): number[] {
  return [dev.pid, ...processTree(dev.pid).map(({ pid }) => pid)]
}

describe("fn dev", () => {
  test("prints one ready line on stdout when NATS, host and gateway answer, and one line per execution elsewhere", async () => {
    await using folder = await temporaryFolder(
      moduleFunction("hello", `return { type: "greeted", data: "hi " + event.data.name }`, "version: 1.2.0\n"),
    )
    await using dev = await startDev(["hello"], { cwd: folder.path })
    expect(await call(dev, "hello", { name: "Ada" })).toMatchObject({ status: 200, body: "hi Ada" })
    await dev.logged(/^○ \d\d:\d\d:\d\d hello 1\.2\.0 ok \d+(\.\d)? ms → 1 event$/m)
    expect(
      (await fn(["invoke", "hello", "--data", `{"name":"Bob"}`, "--json"], { cwd: folder.path, env: { FN_NATS_URL: dev.nats } })).code,
    ).toBe(0)
    await dev.logged(/hello 1\.2\.0 ok [^\n]*\n[\s\S]*hello 1\.2\.0 ok/)
    expect(dev.stdout()).toMatch(READY)
  })

  test("R-DP-2: a save is live as a development version, its undoing is the first version again, and a touch is no change", async () => {
    await using folder = await temporaryFolder(moduleFunction("hello", `return { type: "v", data: 1 }`, "version: 1.2.0\n"))
    await using dev = await startDev(["hello"], { cwd: folder.path })
    expect(await call(dev, "hello")).toMatchObject({ body: 1 })

    await folder.write(moduleFunction("hello", `return { type: "v", data: 2 }`, "version: 1.2.0\n"))
    await dev.logged(/✓ \S+ default\/hello@1\.2\.0-dev\.d?[0-9a-f]{8} hello/)
    expect(await call(dev, "hello")).toMatchObject({ body: 2 })

    let from = dev.log().length
    await folder.write(moduleFunction("hello", `return { type: "v", data: 1 }`, "version: 1.2.0\n"))
    await dev.logged(/✓ \S+ default\/hello@1\.2\.0 hello/, { from })
    expect(await call(dev, "hello")).toMatchObject({ body: 1 })

    from = dev.log().length
    await folder.write({ "hello/notes.md": "not part of it" })
    await dev.logged(/hello: no changes/, { from })

    // A setting is a change as much as code is.
    from = dev.log().length
    await folder.write({ "hello/fn.yaml": "name: hello\nlanguage: js\nruntime: module\nversion: 1.3.0\ntimeoutMs: 1000\n" })
    await dev.logged(/✓ \S+ default\/hello@1\.3\.0 hello/, { from })
  })

  test("a storm of saves is one reload, and what does not build leaves the last good version live", async () => {
    await using folder = await temporaryFolder(moduleFunction("hello", ECHO))
    await using dev = await startDev(["hello"], { cwd: folder.path })
    let from = dev.log().length
    for (let i = 0; i < 30; i++) await writeFile(folder.join("hello/index.ts"), `export default () => ({ type: "v", data: ${i} })\n`)
    await dev.logged(/✓/, { from })
    await until(async () => (await call(dev, "hello")).body === 29, { name: "the last save to be live" })
    expect(dev.log().slice(from).match(/[✓·✗]/gu)).toEqual(["✓"])

    from = dev.log().length
    await writeFile(folder.join("hello/index.ts"), "export default () => ({\n")
    await dev.logged(/✗ [\s\S]*index\.ts:\d+:\d+: error: [\s\S]*BUILD_FAILED/, { from })
    expect(await call(dev, "hello")).toMatchObject({ status: 200, body: 29 })

    from = dev.log().length
    await writeFile(folder.join("hello/index.ts"), `export default () => ({ type: "v", data: "mended" })\n`)
    await dev.logged(/✓/, { from })
    expect(await call(dev, "hello")).toMatchObject({ body: "mended" })
  })

  test("a function that is broken at the start does not keep the others back, and is live once it is mended", async () => {
    await using folder = await temporaryFolder({ ...moduleFunction("good", ECHO), "bad/fn.yaml": "name: bad\n" })
    await using dev = await startDev(["bad", "good"], { cwd: folder.path })
    expect(dev.log()).toMatch(/✗ [\s\S]*fn\.yaml:1:1: language[\s\S]*INVALID_DEFINITION/)
    expect(await call(dev, "good", 1)).toMatchObject({ body: 1 })
    const from = dev.log().length
    await folder.write(moduleFunction("bad", ECHO))
    await dev.logged(/✓ \S+ default\/bad@/, { from })
    expect(await call(dev, "bad", 2)).toMatchObject({ body: 2 })
  })

  test("R-FN-5: builtins run in its own process, in the namespace asked for", async () => {
    await using folder = await temporaryFolder({
      "builtins.mjs": `export const whoami = () => ({ type: "pid", data: process.pid })\nexport default { "drop-noise": () => undefined }\n`,
    })
    await using dev = await startDev(["--builtins", "builtins.mjs", "--namespace", "me"], { cwd: folder.path })
    expect(await call(dev, "me/whoami")).toMatchObject({ status: 200, body: dev.pid })
    expect(await call(dev, "me/drop-noise")).toMatchObject({ status: 204 })
  })

  test("failures and what functions log are shown with their function", async () => {
    await using folder = await temporaryFolder({
      ...moduleFunction("talks", `ctx.log.info("hello there", { n: 1 }); console.log("printed"); throw new Error("no luck")`),
    })
    await using dev = await startDev(["talks"], { cwd: folder.path })
    expect((await call(dev, "talks")).status).toBe(500)
    await dev.logged(/^● \S+ talks 0\.0\.1 FUNCTION_THREW .* no luck$/m)
    await dev.logged(/^│ \S+ talks hello there \{"n":1\}$/m)
    await dev.logged(/^│ \S+ talks printed$/m)
  })

  test("R-PL-6: without bubblewrap it works, and a function that asks for a sandbox is refused with the reason and the remedy, at once", async () => {
    await using folder = await temporaryFolder({
      ...moduleFunction("plain", ECHO, "version: 1.0.0\n"),
      ...moduleFunction("boxed", ECHO, "version: 1.0.0\nisolation: { level: sandbox }\n"),
    })
    const env = { FN_ISOLATION_BUBBLEWRAP: "/nonexistent/bwrap" }
    await using dev = await startDev(["plain", "boxed"], { cwd: folder.path, env })
    expect(dev.log()).toMatch(
      /! \S+ default\/boxed@1\.0\.0: its calls will be refused\n.*\/nonexistent\/bwrap.*apt-get install bubblewrap.*\n.*ISOLATION_UNAVAILABLE.*\n.*fn doctor/,
    )
    expect(dev.log()).not.toContain("plain@1.0.0: its calls")
    expect(await call(dev, "plain", { n: 1 })).toMatchObject({ status: 200, body: { n: 1 } })
    const body = { reason: "NO_HOST", detail: expect.stringContaining("ISOLATION_UNAVAILABLE") }
    expect(await call(dev, "boxed")).toMatchObject({ status: 503, body })
  })

  test("runs on a NATS that is there already, and leaves it running", async () => {
    await using server = await startTestServer()
    await using folder = await temporaryFolder(moduleFunction("hello", ECHO))
    const dev = await watchDev(spawnFn(["dev", "hello", "--json", "--http-port", "0", "--nats-url", server.url], { cwd: folder.path }))
    expect(dev.nats).toBe(server.url)
    expect(await call(dev, "hello", 5)).toMatchObject({ body: 5 })
    dev.signal("SIGINT")
    expect(await dev.exited).toMatchObject({ code: 0 })
    await (await server.connect()).flush()
  })
})

describe("the end of fn dev", () => {
  test("SIGINT lets running executions finish, exits 0, leaves no process, and keeps what was deployed", async () => {
    await using folder = await temporaryFolder(
      moduleFunction("slow", `if (event.data.wait) await fetch(event.data.wait); return { type: "done" , data: "finished" }`),
    )
    // The function waits for a server of the test's, so that "still running" is known and not guessed.
    const gate = createServer()
    const reached = once(gate, "connection").then(([socket]) => socket as Socket)
    await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve))
    const { port } = gate.address() as { port: number }
    try {
      const dev = await startDev(["slow"], { cwd: folder.path })
      const answer = call(dev, "slow", { wait: `http://127.0.0.1:${port}` })
      const socket = await reached
      const pids = processesOf(dev)
      dev.signal("SIGINT")
      await dev.logged(/finishing what runs/)
      socket.end("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
      expect(await answer).toMatchObject({ status: 200, body: "finished" })
      expect(await dev.exited).toEqual({ code: 0, signal: null })
      expect(pids.filter(isAlive)).toEqual([])
      expect(dev.stdout()).toMatch(READY)
    } finally {
      gate.close()
    }

    // Without the folder: what was deployed is in the data folder.
    await using again = await startDev([], { cwd: folder.path })
    expect(await call(again, "slow", {})).toMatchObject({ body: "finished" })
    expect(await readdir(folder.join(".fn"))).toEqual(expect.arrayContaining(["dev.lock", "host", "nats"]))
  })

  test("a second SIGINT ends it at once, in the middle of an execution, and leaves no process", async () => {
    await using folder = await temporaryFolder(moduleFunction("stuck", STUCK))
    const dev = await startDev(["stuck"], { cwd: folder.path })
    const answer = call(dev, "stuck").catch(() => "cut")
    await until(() => processTree(dev.pid).length >= 3, { name: "NATS, a spare and the function's process" })
    const pids = processesOf(dev)
    dev.signal("SIGINT")
    await dev.logged(/finishing what runs/)
    dev.signal("SIGINT")
    expect((await dev.exited).code).toBe(130)
    await until(() => pids.every((pid) => !isAlive(pid)), { name: "every process to be gone", timeoutMs: 2_000 })
    await answer
  })

  test("SIGKILL leaves no process after 2 s, and the next fn dev takes over the data folder", async () => {
    await using folder = await temporaryFolder(moduleFunction("hello", ECHO))
    const dev = await startDev(["hello"], { cwd: folder.path })
    await call(dev, "hello")
    const pids = processesOf(dev)
    expect(pids.length).toBeGreaterThan(2)
    dev.signal("SIGKILL")
    await dev.exited
    await until(() => pids.every((pid) => !isAlive(pid)), { name: "every process to be gone", timeoutMs: 2_000 })
    await using again = await startDev([], { cwd: folder.path })
    expect(await call(again, "hello", 3)).toMatchObject({ body: 3 })
  })

  test("SIGINT during the start leaves nothing either", async () => {
    await using folder = await temporaryFolder({
      "slow-build/fn.yaml": `name: slow-build\nlanguage: shell\nruntime: plugin\nentry: out\nbuild: [sh, -c, "sleep 600"]\n`,
    })
    const child = spawnFn(["dev", "slow-build", "--json", "--nats-port", "0", "--http-port", "0"], { cwd: folder.path })
    const compiling = await until(() => processTree(child.pid).find(({ command }) => command.startsWith("sh -c sleep 600")), {
      name: "the build to run",
      timeoutMs: 10_000,
    })
    const pids = processTree(child.pid).map(({ pid }) => pid)
    expect(pids).toContain(compiling.pid)
    child.process.kill("SIGINT")
    expect(await child.exited).toMatchObject({ code: 0 })
    await until(() => pids.every((pid) => !isAlive(pid)), { name: "every process to be gone", timeoutMs: 2_000 })
  })

  test("exit code 4 when its NATS dies under it", async () => {
    await using folder = await temporaryFolder()
    const dev = await startDev([], { cwd: folder.path })
    const nats = processTree(dev.pid).find(({ command }) => command.includes("--ports_file_dir"))
    process.kill(nats?.pid as number, "SIGKILL")
    expect(await dev.exited).toEqual({ code: 4, signal: null })
    expect(dev.log()).toContain("NATS_SERVER_EXITED")
  })
})

describe("fn dev refuses with exit code 4 and the way out", () => {
  async function withTakenPort(use: (port: number) => Promise<void>): Promise<void> {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
    try {
      await use((taken.address() as { port: number }).port)
    } finally {
      taken.close()
    }
  }

  test.each([
    ["--nats-port", "--http-port"],
    ["--http-port", "--nats-port"],
  ])("a taken port of %s", async (taken, free) => {
    await using folder = await temporaryFolder()
    await withTakenPort(async (port) => {
      const refused = await fn(["dev", taken, String(port), free, "0", "--json"], { cwd: folder.path })
      expect(refused).toMatchObject({ code: 4, stdout: "" })
      expect(JSON.parse(refused.stderr.trim().split("\n").at(-1) as string)).toMatchObject({
        error: { reason: "PORT_IN_USE", message: expect.stringContaining(`${taken} 0`) },
      })
      const plain = await fn(["dev", taken, String(port), free, "0"], { cwd: folder.path })
      expect(plain.stderr).toMatch(new RegExp(`^error: port ${port} is taken: ${taken} 0 takes a free one`))
    })
  })

  test("a data folder that another fn dev uses", async () => {
    await using folder = await temporaryFolder()
    await using dev = await startDev([], { cwd: folder.path })
    const refused = await fn(["dev", "--nats-port", "0", "--http-port", "0"], { cwd: folder.path })
    expect(refused).toMatchObject({ code: 4, stderr: expect.stringMatching(/DATA_DIR_IN_USE/) })
    expect(refused.stderr).toContain(String(dev.pid))
    expect(JSON.parse(await readFile(folder.join(".fn/dev.lock"), "utf8"))).toMatchObject({ pid: dev.pid })
  })

  test("builtins that do not load, and ports that make no sense, are the caller's fault", async () => {
    await using folder = await temporaryFolder({ "builtins.mjs": "export const x = 1\n" })
    expect(await fn(["dev", "--builtins", "builtins.mjs", "--nats-port", "0"], { cwd: folder.path })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("LOAD_FAILED"),
    })
    expect((await fn(["dev", "--nats-port", "99999"], { cwd: folder.path })).code).toBe(2)
    expect((await fn(["dev", "--nats-port", "0", "--nats-url", "nats://127.0.0.1:1"], { cwd: folder.path })).code).toBe(2)
  })
})
