/** Functions of every kind, under each policy, through the host: called, streamed, cancelled, replaced, crashed. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { FunctionStatus } from "@fn/core"
import { findRust, isAlive, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import type { Msg } from "@nats-io/transport-node"
import { StreamCall } from "../streaming/stream-caller.js"
import { failure, header } from "../test-host.js"
import { assemble, program } from "../wasm/support.js"
import { buildGoPlugin, bundle, canIsolate, copyPython, type IsolatedHost, type SystemPython, startIsolatedHost } from "./support.js"

jest.setTimeout(180_000)

const fixture = (name: string): string => fileURLToPath(new URL(`../plugin/fixtures/${name}`, import.meta.url))
const MODULE = `const cases = {
  echo: (event) => ({ type: "echoed", data: event.data }),
  later: async function* (event) { yield { type: "first", data: event.data }; yield { type: "second", data: event.data } },
  about: (event, context) => ({ type: "about", data: { fn: context.fn } }),
  wait: (event, context) => new Promise((resolve, reject) => {
    context.log.info("waiting"); context.signal.addEventListener("abort", () => reject(context.signal.reason)) }),
  crash: () => process.exit(7),
}
export default (event, context) => cases[event.type](event, context)`
const SCRIPT = `#!/bin/sh
read -r event
case "$event" in
*'"type":"echo"'*) echo '{"type":"echoed","data":{"n":1}}' ;;
*'"type":"later"'*) echo '{"type":"first","data":{"n":1}}'; echo '{"type":"second","data":{"n":1}}' ;;
*'"type":"about"'*) echo "{\\"type\\":\\"about\\",\\"data\\":{\\"fn\\":{\\"version\\":\\"$FN_VERSION\\"}}}" ;;
*'"type":"wait"'*) echo waiting >&2; exec sleep 60 ;;
*'"type":"crash"'*) kill -9 $$ ;;
esac
`

const ready = canIsolate("functions of every kind under policy strict")
const go = await buildGoPlugin()
if (!go) console.warn("SKIPPED: needs go: isolated plugins in Go")
const rust = await findRust()?.build(fixture("rust-everything"), "rust-everything")
if (!rust) console.warn("SKIPPED: needs cargo: isolated plugins in Rust")
const python: SystemPython | undefined = await copyPython("isolated plugins in Python")
afterAll(async () => {
  await go?.remove()
  await python?.remove()
})

interface Kind {
  readonly name: string
  readonly language: "js" | "go" | "python" | "rust" | "shell"
  /** Deploys version `1.0.${patch}`. */
  deploy(host: IsolatedHost, patch: number): Promise<void>
}

function kindsFor(policy: "strict" | "dev"): Kind[] {
  const kind = (
    name: string,
    language: Kind["language"],
    runtime: "module" | "plugin" | "command",
    more: object,
    fileName: string,
    code: () => Promise<Buffer> | Buffer,
  ): Kind => ({
    name,
    language,
    deploy: async (host, patch) =>
      host.deploy({ name, language, runtime, version: `1.0.${patch}`, concurrency: 10, ...more }, { artifact: await code(), fileName }),
  })
  const everything = `await import(${JSON.stringify(fixture("everything.mjs"))})`
  return [
    kind("a-module", "js", "module", {}, "main.mjs", () => Buffer.from(MODULE)),
    kind("a-typescript-plugin", "js", "plugin", { entry: "main.mjs" }, "everything.mjs", () => bundle(everything)),
    ...(go ? [kind("a-go-plugin", "go", "plugin", { entry: "." }, "everything", () => readFileSync(go.path))] : []),
    ...(rust ? [kind("a-rust-plugin", "rust", "plugin", { entry: "." }, "everything", () => readFileSync(rust))] : []),
    ...(python
      ? [
          kind("a-python-plugin", "python", "plugin", pythonOptions(python, policy), "everything.py", () =>
            readFileSync(fixture("everything.py")),
          ),
        ]
      : []),
    kind("a-command", "shell", "command", { entry: "main.sh" }, "main.sh", () => Buffer.from(SCRIPT)),
  ]
}

function pythonOptions({ packages, pythonPath }: SystemPython, policy: "strict" | "dev"): object {
  const env = { PYTHONPATH: pythonPath.join(":"), PYTHONDONTWRITEBYTECODE: "1" }
  return { command: ["python3", "{artifact}"], env, ...(policy === "strict" ? { isolation: { files: [{ path: packages }] } } : {}) }
}

describe.each(ready ? (["strict", "dev"] as const) : (["dev"] as const))("R-PL-6: under policy %s", (policy) => {
  let host: IsolatedHost

  beforeAll(async () => {
    const allowFiles = python ? [python.packages] : []
    host = await startIsolatedHost({
      isolation: policy === "strict" ? { policy, allowFiles } : { policy },
      limits: { pluginStartTimeoutMs: 30_000 },
    })
  })
  afterAll(async () => {
    await host[Symbol.asyncDispose]()
  })

  const status = (name: string): FunctionStatus =>
    host.runtime.status().functions.find((entry) => entry.function === `default/${name}`) as FunctionStatus
  const waits = (): number => host.lines.filter(({ message }) => message === "waiting").length

  describe.each(kindsFor(policy))("$name", ({ name, language, deploy }) => {
    const subject = `function.${language}.${name}`
    const ask = (type: string, more: Record<string, string> = {}): Promise<Msg> =>
      host.request(subject, '{"n":1}', { "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/test", "ce-type": type, ...more }, 40_000)
    const pids = (): Promise<number[]> =>
      host
        .request(`function.status.${host.runtime.host}`, JSON.stringify({ function: `default/${name}`, usage: true }))
        .then((msg) => (msg.json<{ functions: FunctionStatus[] }>().functions[0]?.usage ?? []).flatMap(({ pid }) => pid ?? []))

    test("answers, one event and several, and streams them", async () => {
      await deploy(host, 1)
      const reply = await ask("echo")
      expect([failure(reply), header(reply, "ce-type"), reply.json()]).toEqual(["undefined undefined", "echoed", { n: 1 }])
      using stream = new StreamCall(host.nc, subject, { type: "later", data: { n: 1 } })
      expect((await stream.ended()).end).toBe("ok")
      expect(stream.events.map(({ type, data }) => [type, data])).toEqual([
        ["first", { n: 1 }],
        ["second", { n: 1 }],
      ])
    })

    test("ends an execution that is cancelled, or whose time is up, and answers the next", async () => {
      const before = waits()
      const [cancelled, late] = [ask("wait", { "Fn-Invocation-Id": `cancel-${policy}-${name}` }), ask("wait", { "Fn-Timeout-Ms": "1000" })]
      await until(() => waits() >= before + (language === "shell" ? 1 : 2), { name: "it to wait", timeoutMs: 30_000 })
      host.nc.publish(`function.cancel.default.cancel-${policy}-${name}`)
      expect([failure(await cancelled), failure(await late)]).toEqual(["cancelled CANCELLED", "deadline_exceeded FUNCTION_TIMEOUT"])
      await until(() => host.runtime.status().running === 0, { name: "both to have let go", timeoutMs: 30_000 })
      expect(header(await ask("echo"), "ce-type")).toBe("echoed")
    })

    test("is replaced by its next version, and nothing of the old one stays", async () => {
      const old = await pids()
      await deploy(host, 2)
      await until(async () => (await ask("about")).json<{ fn: { version: string } }>().fn.version === "1.0.2", {
        name: "the new version",
        timeoutMs: 30_000,
      })
      await until(() => !old.some(isAlive), { name: "the old instances to be gone", timeoutMs: 30_000 })
    })

    test("crashes alone: the next call finds another instance, and calls that waited lose nothing", async () => {
      await deploy(host, 3)
      await ask("echo")
      const { crashes } = status(name)
      expect(failure(await ask("crash"))).toMatch(/^unavailable (FUNCTION_CRASHED|PLUGIN_EXITED)$/)
      const after = await Promise.all([ask("echo"), ask("echo"), ask("echo")])
      expect(after.map((reply) => header(reply, "ce-type") ?? failure(reply))).toEqual(["echoed", "echoed", "echoed"])
      expect(status(name).crashes - crashes).toBe(language === "shell" ? 0 : 1)
      const alive = await pids()
      expect(alive).toHaveLength(language === "shell" ? 0 : 1)
      await host.registry.deleteFunction({ namespace: "default", name })
      await until(() => !alive.some(isAlive), { name: "its last instance to be gone", timeoutMs: 30_000 })
    })
  })

  test("a WebAssembly program answers, is stopped, is replaced, and traps alone", async () => {
    const wat = (reply: string): string =>
      program(
        `(local $n i32) (local.set $n (call $read))
        (if (i32.eq (local.get $n) (i32.const 4)) (then (call $log (i32.const 600) (i32.const 8)) (loop $on (br $on))))
        (if (i32.eq (local.get $n) (i32.const 5)) (then unreachable))
        (call $print (i32.const 500) (i32.const 3))`,
        { texts: { 500: reply, 600: "waiting\n" } },
      )
    const deploy = async (version: string, reply: string): Promise<void> =>
      host.deploy(
        { name: "wasm", language: "rust", runtime: "wasm", stdin: "data", version },
        { artifact: await assemble(wat(reply)), fileName: "f.wasm" },
      )
    const call = (text: string, more: Record<string, string> = {}): Promise<Msg> => host.request("function.rust.wasm", text, more, 40_000)
    await deploy("1.0.0", "one")
    expect((await call("")).string()).toBe("one")
    const before = waits()
    const pending = call("loop", { "Fn-Invocation-Id": `cancel-${policy}-wasm` })
    await until(() => waits() > before, { name: "it to loop", timeoutMs: 30_000 })
    host.nc.publish(`function.cancel.default.cancel-${policy}-wasm`)
    expect(failure(await pending)).toBe("cancelled CANCELLED")
    expect(failure(await call("loop", { "Fn-Timeout-Ms": "500" }))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    expect(failure(await call("crash"))).toBe("unavailable FUNCTION_CRASHED")
    expect((await call("")).string()).toBe("one")
    await deploy("2.0.0", "two")
    await until(async () => (await call("")).string() === "two", { name: "the new version", timeoutMs: 30_000 })
  })
})
