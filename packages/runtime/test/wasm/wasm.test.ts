/** docs/wasm.md: each of its sentences through a real host. */
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { findOnPath } from "@fn/process"
import { processTree, tempDir, until, watchChildren } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { createWasmStarter } from "../../src/instances/wasm/wasm-starter.js"
import { executionOf, specOf } from "../plugin/support.js"
import { failure, header } from "../test-host.js"
import { assemble, program, startWasmHost, type WasmHost } from "./support.js"

jest.setTimeout(120_000)

const run = promisify(execFile)
const FIXTURES = fileURLToPath(new URL("./fixtures/", import.meta.url))
const ECHO = program("(call $print (i32.const 1000) (call $read))")
const DECLARED = { "ce-id": "e1", "ce-source": "/s", "ce-type": "t.asked", "ce-specversion": "1.0", "content-type": "text/plain" }

let host: WasmHost
let names = 0

beforeAll(async () => {
  host = await startWasmHost({ limits: { outputBytes: 8 * 1024 * 1024 } })
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

async function deploy(wat: string, manifest: object = {}): Promise<string> {
  const name = `wat${++names}`
  await host.deployWasm(name, await assemble(wat), manifest)
  return name
}

function message(reply: Awaited<ReturnType<WasmHost["call"]>>): string | undefined {
  return header(reply, "Nats-Service-Error")
}

describe("R-PL-8: a WASI program is a function", () => {
  test("its stdin is the event, its stdout is events", async () => {
    const reply = await host.call(await deploy(ECHO), "hello", DECLARED)
    expect([header(reply, "ce-id"), header(reply, "ce-type"), reply.string()]).toEqual(["e1", "t.asked", "hello"])
    const data = await host.call(await deploy(ECHO, { stdin: "data", emits: ["com.example.echoed"] }), "hello", DECLARED)
    expect([header(data, "ce-type"), header(data, "ce-datacontenttype"), data.string()]).toEqual([
      "com.example.echoed",
      "text/plain",
      "hello",
    ])
    expect(header(await host.call(await deploy(program(""))), "Fn-Events")).toBe("0")
  })

  test("nothing of one execution is seen by the next", async () => {
    // Prints what is at address 500 and then leaves a mark there.
    const name = await deploy(
      program("(call $print (i32.const 500) (i32.const 1)) (i32.store8 (i32.const 500) (i32.const 88))", { texts: { 500: "-" } }),
    )
    for (let i = 0; i < 3; i++) expect((await host.call(name)).string()).toBe("-")
  })

  test("calls reuse the process, one after the other; more instances run at once", async () => {
    const name = await deploy(ECHO, { stdin: "data", instances: { max: 2 } })
    const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => host.call(name, String(n))))
    expect(replies.map((reply) => reply.json())).toEqual(Array.from({ length: 20 }, (_, n) => n))
    const status = host.runtime.status().functions.find((entry) => entry.function === `default/${name}`)
    expect(status?.instances).toBeLessThanOrEqual(2)
    expect(status?.coldStarts).toBeLessThanOrEqual(2)
  })

  test("an exit code is what it is for a command", async () => {
    const exit = (code: number): string =>
      program(`(call $log (i32.const 500) (i32.const 7)) (call $exit (i32.const ${code}))`, { texts: { 500: "no luck" } })
    const threw = await host.call(await deploy(exit(3)))
    expect([failure(threw), message(threw)]).toEqual(["unknown FUNCTION_THREW", "no luck"])
    expect(failure(await host.call(await deploy(exit(65))))).toBe("invalid_argument INVALID_EVENT")
    expect(header(await host.call(await deploy(program("(call $exit (i32.const 0))"))), "Fn-Events")).toBe("0")
    const said = '{"error":{"reason":"NO_STOCK","message":"sold out","retryable":false}}'
    const own = await host.call(
      await deploy(
        program(`(call $print (i32.const 500) (i32.const ${said.length})) (call $exit (i32.const 1))`, { texts: { 500: said } }),
      ),
    )
    expect([failure(own), message(own)]).toEqual(["failed_precondition NO_STOCK", "sold out"])
  })

  test("stderr is its log, with the invocation, also while it runs", async () => {
    const forever = await deploy(program("(call $log (i32.const 500) (i32.const 6)) (loop $on (br $on))", { texts: { 500: "begun\n" } }))
    const pending = host.call(forever, "{}", { "Fn-Invocation-Id": "wasm-log", "Fn-Timeout-Ms": "20000" })
    await until(() => host.lines.some((line) => line.message === "begun" && line.fields.invocationId === "wasm-log"), {
      name: "the line",
      timeoutMs: 15_000,
    })
    host.nc.publish("function.cancel.default.wasm-log")
    expect(failure(await pending)).toBe("cancelled CANCELLED")
  })

  test("closing and moving its streams is its own business alone", async () => {
    const name = await deploy(
      program(
        "(drop (call $fd_close (i32.const 0))) (drop (call $fd_close (i32.const 1))) (drop (call $fd_close (i32.const 2))) (drop (call $fd_renumber (i32.const 0) (i32.const 2))) (call $print (i32.const 500) (i32.const 2))",
        { texts: { 500: "ok" } },
      ),
    )
    for (let i = 0; i < 50; i++) expect((await host.call(name)).string()).toBe("ok")
  })
})

describe("R-PL-7: what goes wrong inside", () => {
  test.each([
    ["unreachable", "unreachable", /unreachable/],
    ["a load beyond its memory", "(drop (i32.load (i32.const 10000000)))", /out of bounds/],
    ["a division by zero", "(drop (i32.div_s (i32.const 1) (call $read)))", /divide by zero/],
    ["endless recursion", "(call $again)", /call stack/],
  ])("%s is FUNCTION_CRASHED with the trap's text, and costs no process", async (_, body, text) => {
    const again = "(func $again (call $again) (call $again))"
    const name = await deploy(program(body, { more: again }), { stdin: "data" })
    for (let i = 0; i < 3; i++) {
      const reply = await host.call(name, "")
      expect([failure(reply), message(reply)]).toEqual(["unavailable FUNCTION_CRASHED", expect.stringMatching(text)])
    }
    expect(host.runtime.status().functions.find((entry) => entry.function === `default/${name}`)).toMatchObject({
      crashes: 0,
      coldStarts: 1,
    })
  })

  test("a trap in a module's start function is one, too", async () => {
    const reply = await host.call(await deploy(program("", { more: "(func $begin unreachable) (start $begin)" })))
    expect(failure(reply)).toBe("unavailable FUNCTION_CRASHED")
  })

  test("what it hands to WASI may point anywhere", async () => {
    const wild = `(drop (call $fd_write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 0)))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0)))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const -1)))
      (i32.store (i32.const 0) (i32.const -1)) (i32.store (i32.const 4) (i32.const -1))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $fd_write (i32.const 77) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $print (i32.const 500) (i32.const 5))`
    expect((await host.call(await deploy(program(wild, { texts: { 500: "alive" } })))).string()).toBe("alive")
  })

  test("endless output, to stdout or stderr, is OUTPUT_LIMIT; half an event is BAD_OUTPUT", async () => {
    const flood = (to: string): string => program(`(loop $on (call ${to} (i32.const 1000) (i32.const 60000)) (br $on))`)
    expect(failure(await host.call(await deploy(flood("$print"))))).toBe("resource_exhausted OUTPUT_LIMIT")
    expect(failure(await host.call(await deploy(flood("$log"))))).toBe("resource_exhausted OUTPUT_LIMIT")
    const half = program("(call $print (i32.const 500) (i32.const 4))", { texts: { 500: '{"a"' } })
    expect(failure(await host.call(await deploy(half)))).toBe("failed_precondition BAD_OUTPUT")
  })
})

describe("R-SEC-3: time", () => {
  test("a loop is FUNCTION_TIMEOUT; its process is killed and the next call finds another, while neighbours go on", async () => {
    const children = watchChildren()
    const neighbour = await deploy(ECHO, { stdin: "data" })
    const spins = await deploy(
      program("(if (call $read) (then (loop $on (br $on)))) (call $print (i32.const 500) (i32.const 2))", { texts: { 500: "ok" } }),
      { stdin: "data" },
    )
    await host.call(neighbour, "warm")
    expect((await host.call(spins, "")).string()).toBe("ok")
    let over = false
    const calls = (async () => {
      while (!over) expect((await host.call(neighbour, "still here")).string()).toBe("still here")
    })()
    for (let i = 0; i < 3; i++) {
      expect(failure(await host.call(spins, "loop", { "Fn-Timeout-Ms": "300" }))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
      expect((await host.call(spins, "")).string()).toBe("ok")
    }
    over = true
    await calls
    // No crash: it was ended, it did not end.
    expect(host.runtime.status().functions.find((entry) => entry.function === `default/${spins}`)).toMatchObject({
      crashes: 0,
      coldStarts: 1,
    })
    expect(children.added().filter(({ command }) => command.includes("wasm-host")).length).toBeLessThanOrEqual(3)
  })

  test("a sleep is no way out, nor is its own death", async () => {
    const sleeper = `(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 1000000000000))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))`
    expect(failure(await host.call(await deploy(sleeper), "{}", { "Fn-Timeout-Ms": "1500" }))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    const suicide = `(module
      (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start") (drop (call $raise (i32.const 9))) (loop $on (br $on))))`
    expect(failure(await host.call(await deploy(suicide), "{}", { "Fn-Timeout-Ms": "5000" }))).toBe("unavailable FUNCTION_CRASHED")
  })
})

describe("R-SEC-3: memory", () => {
  const grow = (pages: number): string => `(loop $on (br_if $on (i32.ne (memory.grow (i32.const ${pages})) (i32.const -1)))) unreachable`

  test.each([
    ["no maximum", '(memory (export "memory") 1)'],
    ["a larger maximum", '(memory (export "memory") 1 65536)'],
  ])("a bomb whose memory declares %s stops at memoryMb: MEMORY_LIMIT", async (_, memory) => {
    const children = watchChildren()
    const name = await deploy(program(grow(16), { memory }), { memoryMb: 32 })
    for (let i = 0; i < 5; i++) expect(failure(await host.call(name))).toBe("resource_exhausted MEMORY_LIMIT")
    for (const { pid, command } of children.added()) if (command.includes("wasm-host")) expect(await peakMb(pid)).toBeLessThan(32 * 3 + 150)
  })

  test("up to the limit it may grow, not a page further", async () => {
    // 512 pages are 32 MB, one of them is there already.
    const to = (pages: number): string =>
      program(
        `(if (i32.eq (memory.grow (i32.const ${pages})) (i32.const -1)) (then (call $exit (i32.const 9)))) (call $print (i32.const 500) (i32.const 2))`,
        { texts: { 500: "ok" }, memory: '(memory (export "memory") 1)' },
      )
    expect((await host.call(await deploy(to(511), { memoryMb: 32 }))).string()).toBe("ok")
    expect(failure(await host.call(await deploy(to(512), { memoryMb: 32 })))).toBe("unknown FUNCTION_THREW")
    // A maximum of its own that is smaller stays.
    const own = to(3).replace('(memory (export "memory") 1)', '(memory (export "memory") 1 3)')
    expect(failure(await host.call(await deploy(own, { memoryMb: 32 })))).toBe("unknown FUNCTION_THREW")
  })

  test("one that begins larger is refused at once", async () => {
    const reply = await host.call(await deploy(program("", { memory: '(memory (export "memory") 1024)' }), { memoryMb: 32 }))
    expect([failure(reply), message(reply)]).toEqual(["resource_exhausted MEMORY_LIMIT", expect.stringContaining("64 MB")])
  })

  test("a table is no way around it", async () => {
    const table = "(table $t 1 funcref)"
    const bomb = "(loop $on (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)))) unreachable"
    const name = await deploy(program(bomb, { more: table }), { memoryMb: 32 })
    expect(failure(await host.call(name))).toMatch(/MEMORY_LIMIT|FUNCTION_CRASHED/)
  })
})

describe("R-PL-5: what is no such program is refused when it loads", () => {
  test.each<[string, string, string, RegExp]>([
    [
      "an import from elsewhere",
      '(module (import "env" "system" (func (param i32))) (memory (export "memory") 1) (func (export "_start")))',
      "LOAD_FAILED",
      /env\.system/,
    ],
    ["an imported memory", '(module (import "env" "memory" (memory 1)) (func (export "_start")))', "LOAD_FAILED", /memory/],
    [
      "an unknown WASI function's kind",
      '(module (import "wasi_snapshot_preview1" "x" (global i32)) (memory (export "memory") 1) (func (export "_start")))',
      "LOAD_FAILED",
      /global/,
    ],
    ["a library", '(module (memory (export "memory") 1) (func (export "run")))', "LOAD_FAILED", /_start/],
    ["a memory that is not exported", '(module (memory 1) (func (export "_start")))', "LOAD_FAILED", /memory/],
    ["no memory", '(module (func (export "_start")))', "LOAD_FAILED", /memory/],
  ])("%s", async (_, wat, reason, why) => {
    const reply = await host.call(await deploy(wat))
    expect([header(reply, "Fn-Error-Reason"), message(reply)]).toEqual([reason, expect.stringMatching(why)])
  })

  test.each<[string, Uint8Array, RegExp]>([
    ["a text", Buffer.from("#!/bin/sh\necho hello\n"), /no WebAssembly module/],
    ["a component", Buffer.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]), /component/],
    ["a section that is longer than the file", Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 0x7f, 1]), /cut short/],
    ["a number without an end", Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), /no end/],
  ])("%s is INVALID_ARTIFACT", async (_, bytes, why) => {
    const name = `wat${++names}`
    await host.deployWasm(name, bytes)
    const reply = await host.call(name)
    expect([failure(reply), message(reply)]).toEqual(["invalid_argument INVALID_ARTIFACT", expect.stringMatching(why)])
  })

  test("two memories, a shared one and one of 64 bits", async () => {
    const memories: [string, Record<string, boolean>][] = [
      ['(memory (export "memory") 1 2 shared)', { threads: true }],
      ['(memory (export "memory") i64 1)', { memory64: true }],
    ]
    for (const [memory, features] of memories) {
      const name = `wat${++names}`
      await host.deployWasm(name, await assemble(`(module ${memory} (func (export "_start")))`, features))
      expect(failure(await host.call(name))).toBe("failed_precondition LOAD_FAILED")
    }
    const two = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 5, 2, 0, 1, 0, 1])
    const name = `wat${++names}`
    await host.deployWasm(name, two)
    expect(message(await host.call(name))).toContain("2 memories")
  })
})

describe("R-PL-8: Rust and Go without an SDK", () => {
  test("Rust: text in, text out; panics, exits, bombs and loops are what they are; no file, no network, no environment", async () => {
    if (!(await hasRustTarget())) return console.warn("SKIPPED: needs wasm32-wasip1: a Rust program as WebAssembly")
    await using folder = await tempDir()
    await run("rustc", ["-O", "--target", "wasm32-wasip1", `${FIXTURES}rust/main.rs`, "-o", folder.file("main.wasm")])
    const manifest = { stdin: "data", memoryMb: 64, env: { COLOUR: "blue" } } as const
    await host.deployWasm("rust", await readFile(folder.file("main.wasm")), manifest)
    const call = (subject: string, payload = "", more: Record<string, string> = {}) =>
      host.call("rust", payload, { ...DECLARED, "ce-subject": subject, ...more })
    expect((await call("upper", "grüezi")).string()).toBe("GRÜEZI")
    const panicked = await call("panic")
    expect([failure(panicked), panicked.string()]).toEqual(["unavailable FUNCTION_CRASHED", expect.stringContaining("out of the blue")])
    expect(failure(await call("exit"))).toBe("unknown FUNCTION_THREW")
    expect(failure(await call("bomb"))).toBe("resource_exhausted MEMORY_LIMIT")
    expect(failure(await call("recurse"))).toBe("unavailable FUNCTION_CRASHED")
    expect(failure(await call("loop", "", { "Fn-Timeout-Ms": "500" }))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    const seen = (await call("look")).json<{ file: string; socket: string; env: string[]; args: string[] }>()
    expect(seen).toMatchObject({ file: "refused", socket: "refused", args: ["rust"] })
    expect(seen.env.filter((name) => !/^(CE|FN)_/.test(name))).toEqual(["COLOUR"])
  })

  test("Go: GOOS=wasip1", async () => {
    const go = findOnPath("go")
    if (go === undefined) return console.warn("SKIPPED: needs go: a Go program as WebAssembly")
    await using folder = await tempDir()
    const env = { ...process.env, GOOS: "wasip1", GOARCH: "wasm", GO111MODULE: "off" }
    await run(go, ["build", "-trimpath", "-o", folder.file("main.wasm"), `${FIXTURES}go/main.go`], { env })
    await host.deployWasm("go", await readFile(folder.file("main.wasm")))
    const reply = await host.call("go", '{"name":"Ada"}')
    expect([header(reply, "ce-type"), reply.json()]).toEqual(["greeted", { text: "HELLO ADA" }])
    expect(failure(await host.call("go", '"no object"'))).toBe("invalid_argument INVALID_EVENT")
  })
})

describe("R-PL-7: twenty starts and stops", () => {
  test("leave no process and no descriptor behind", async () => {
    await using folder = await tempDir()
    const { writeFile, readdir } = await import("node:fs/promises")
    await writeFile(folder.file("echo.wasm"), await assemble(ECHO))
    const children = watchChildren()
    const before = (await readdir("/proc/self/fd")).length
    for (let n = 0; n < 20; n++) {
      const starter = createWasmStarter()
      const spec = { ...specOf([], { runtime: "wasm", language: "custom" }), artifactPath: folder.file("echo.wasm") }
      const instance = await starter.start(spec, new AbortController().signal)
      expect(await instance.execute(executionOf("go"))).toHaveLength(1)
      await Promise.all([instance.close({ graceMs: 2_000 }), instance.close({ graceMs: 2_000 })])
      expect(await instance.exited).toBeUndefined()
      await starter.close()
    }
    await children.settled()
    await until(async () => (await readdir("/proc/self/fd")).length <= before, { name: "its descriptors to be closed" })
  })

  test("a process that is killed from outside is a crash, and calls go on", async () => {
    const name = await deploy(ECHO, { stdin: "data" })
    await host.call(name, "x")
    const hosts = processTree().filter(({ command }) => command.includes("wasm-host"))
    for (const { pid } of hosts) process.kill(pid, "SIGKILL")
    await until(() => host.runtime.status().functions.find((entry) => entry.function === `default/${name}`)?.crashes === 1, {
      name: "the crash to be counted",
    })
    // The spare that was just starting was killed too; a call that waited for it hears so.
    await until(async () => (await host.call(name, "again")).string() === "again", { name: "a call to succeed", timeoutMs: 10_000 })
  })
})

async function hasRustTarget(): Promise<boolean> {
  if (findOnPath("rustc") === undefined) return false
  const { stdout } = await run("rustc", ["--print", "target-libdir", "--target", "wasm32-wasip1"]).catch(() => ({ stdout: "" }))
  const { existsSync } = await import("node:fs")
  return stdout.trim() !== "" && existsSync(stdout.trim())
}

/** The largest resident set a process ever had. */
async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "")
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024
}
