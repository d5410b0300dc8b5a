/**
 * Everything wrong that a caller, a deployer or a plugin can do: each is a clear error with a stable reason, the same through the client,
 * HTTP and bare NATS, and the host goes on serving others.
 */
import { fileURLToPath } from "node:url"
import { isAlive, processTree, until } from "@fn/testing"
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { jetstream, jetstreamManager } from "@nats-io/jetstream"
import { headers, type Msg, NoRespondersError, RequestError } from "@nats-io/transport-node"
import { type Platform, startPlatform } from "../support/platform.mjs"

jest.setTimeout(30_000)

const ECHO = `export default (event) => ({ type: "echoed", data: event.data ?? null })`
const BINARY = { "ce-id": "1", "ce-source": "/e2e", "ce-type": "asked", "ce-specversion": "1.0", "content-type": "application/json" }
/** Largest data of an event, docs/protocol.md#large-events. */
const MAX_PAYLOAD_BYTES = 67_108_864
const MAX_PAYLOAD = 1_048_576

/** What went wrong, as callers branch on it. */
interface Failure {
  readonly code: string
  readonly reason: string
  readonly message: string
}

interface Expected {
  readonly code: string
  readonly reason: string
  readonly message?: RegExp
}

const NO_PLUGINS: [name: string, command: string[], expected: Expected][] = [
  ["is-no-plugin", ["/bin/true"], { code: "unavailable", reason: "PLUGIN_EXITED", message: /exit code 0/ }],
  ["is-not-there", ["/nonexistent/plugin"], { code: "failed_precondition", reason: "PLUGIN_NOT_EXECUTABLE" }],
  ["other-protocol", faulty("wrong-version"), { code: "failed_precondition", reason: "PLUGIN_PROTOCOL", message: /version 9/ }],
  ["other-service", faulty("no-such-service"), { code: "failed_precondition", reason: "PLUGIN_PROTOCOL" }],
  ["garbage-first", ["/bin/sh", fixture("garbage.sh")], { code: "failed_precondition", reason: "BAD_HANDSHAKE", message: /Welcome/ }],
  ["exits-after-handshake", faulty("exits-at-describe"), { code: "unavailable", reason: "PLUGIN_EXITED", message: /exit code 4/ }],
  ["never-answers", ["/bin/sh", fixture("never-answers.sh")], { code: "unavailable", reason: "PLUGIN_START_TIMEOUT" }],
  ["silent-after-handshake", faulty("silent-at-describe"), { code: "unavailable", reason: "PLUGIN_START_TIMEOUT" }],
]

/** The binary-mode headers but one. */
function without(name: keyof typeof BINARY): Record<string, string> {
  const { [name]: _left, ...rest } = BINARY
  return rest
}

/** Plugins with a personality; the host's own tests have them too. */
function fixture(name: string): string {
  return fileURLToPath(new URL(`../../packages/runtime/test/plugin/fixtures/${name}`, import.meta.url))
}

function faulty(personality: string): string[] {
  return [process.execPath, fixture("faulty.mjs"), personality]
}

describe("bad input", () => {
  let platform: Platform
  let hostPid: number

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 1, gateway: true })
    hostPid = platform.hosts[0]?.pid as number
    await platform.deployModule("neighbour", ECHO)
    await platform.client.invoke("neighbour", {})
  }, 60_000)
  afterAll(() => platform.dispose())
  afterEach(async () => {
    expect(isAlive(hostPid)).toBe(true)
    expect((await platform.client.invoke("neighbour", { n: 1 }, { timeoutMs: 5_000 })).map(({ data }) => data)).toEqual([{ n: 1 }])
  })

  /** Why a call through the client failed. */
  async function byClient(name: string, event: unknown = {}): Promise<Failure> {
    const result = await platform.client.tryInvoke(name, event, { timeoutMs: 20_000 })
    if (result.ok) throw new Error(`${name} did not fail`)
    const { code, reason, message } = result.error
    return { code, reason, message }
  }

  /** Why a call through the gateway failed; the status and the type are checked here. */
  async function byHttp(
    path: string,
    body: string | Buffer = "{}",
    fields: Record<string, string> = {},
  ): Promise<Failure & { status: number }> {
    const response = await fetch(`${platform.http}/function/${path}`, { method: "POST", body, headers: fields })
    const problem = (await response.json()) as { code: string; reason: string; detail: string; status: number; title: string }
    expect(response.headers.get("content-type")).toBe("application/problem+json")
    expect(response.status).toBe(problem.status)
    expect(problem.title).not.toBe("")
    return { code: problem.code, reason: problem.reason, message: problem.detail, status: problem.status }
  }

  /** Why a bare NATS request failed. */
  async function byNats(subject: string, payload: string | Uint8Array = "{}", fields: Record<string, string> = {}): Promise<Failure> {
    const block = headers()
    for (const [name, value] of Object.entries(fields)) block.set(name, value)
    const reply: Msg = await platform.nc.request(subject, payload, { timeout: 20_000, headers: block })
    expect(reply.headers?.get("Nats-Service-Error-Code")).toMatch(/^[45]\d\d$/)
    return {
      code: reply.headers?.get("Fn-Error-Code") ?? "",
      reason: reply.headers?.get("Fn-Error-Reason") ?? "",
      message: reply.headers?.get("Nats-Service-Error") ?? "",
    }
  }

  /** Every way in says the same of a function that cannot run. */
  async function everyWay(name: string, expected: Expected, language = "js"): Promise<void> {
    // All at once: they wait for the same start.
    const failures = await Promise.all([byClient(name), byHttp(name), byNats(`function.${language}.${name}`)])
    const { message = /\S/, ...codeAndReason } = expected
    for (const failure of failures) {
      expect([name, failure]).toMatchObject([name, codeAndReason])
      expect(failure.message).toMatch(message)
    }
  }

  async function nobodyListens(subject: string): Promise<void> {
    const thrown: unknown = await platform.nc.request(subject, "{}", { timeout: 2_000 }).catch((error: unknown) => error)
    expect(thrown instanceof NoRespondersError || (thrown instanceof RequestError && thrown.isNoResponders())).toBe(true)
  }

  describe("what callers send", () => {
    test("an unknown function", async () => {
      expect(await byClient("nobody")).toMatchObject({ code: "not_found", reason: "FUNCTION_NOT_FOUND" })
      expect(await byHttp("nobody")).toMatchObject({ code: "not_found", reason: "FUNCTION_NOT_FOUND", status: 404 })
      await nobodyListens("function.js.nobody")
      expect(await envelope({ functionName: "nobody", event: { id: "1", source: "s", type: "t" } })).toMatchObject({
        errorType: "plugin_not_found",
      })
    })

    test("an unknown version", async () => {
      const expected = { code: "not_found", reason: "VERSION_NOT_FOUND" }
      expect(await byClient("neighbour@9.9.9")).toMatchObject(expected)
      expect(await byHttp("neighbour@9.9.9")).toMatchObject({ ...expected, status: 404 })
      expect(await byNats("function.js.neighbour", "{}", { "Fn-Version": "9.9.9" })).toMatchObject(expected)
    })

    test.each<[string, string, Record<string, string>]>([
      ["no JSON", "{oops", { "content-type": "application/cloudevents+json" }],
      ["no object", "[]", { "content-type": "application/cloudevents+json" }],
      ["no id, structured", `{"specversion":"1.0","source":"s","type":"t"}`, { "content-type": "application/cloudevents+json" }],
      ["ce-id missing", "{}", without("ce-id")],
      ["ce-source missing", "{}", without("ce-source")],
      ["ce-type missing", "{}", without("ce-type")],
      ["ce-specversion missing", "{}", without("ce-specversion")],
      ["a specversion of the past", "{}", { ...BINARY, "ce-specversion": "0.3" }],
      ["a time that is none", "{}", { ...BINARY, "ce-time": "yesterday" }],
      ["a bad attribute name", "{}", { ...BINARY, "ce-no_such": "x" }],
      ["data that is not the JSON it says", "{oops", BINARY],
    ])("a malformed event: %s", async (_what, payload, fields) => {
      const expected = { code: "invalid_argument", reason: "INVALID_EVENT" }
      expect(await byNats("function.js.neighbour", payload, fields)).toMatchObject(expected)
      expect(await byHttp("neighbour", payload, fields)).toMatchObject({ ...expected, status: 400 })
    })

    test("a malformed event through the client is refused before it is sent", async () => {
      const event = { specversion: "1.0", id: "1", source: "/e2e", type: "asked", data: {} }
      for (const bad of [{ id: "" }, { specversion: "0.3" }, { time: "yesterday" }, { Bad_name: "x" }, { type: "" }])
        expect(await byClient("neighbour", { ...event, ...bad })).toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT" })
    })

    test("a wrong content type", async () => {
      const xml = { "content-type": "application/cloudevents+xml" }
      expect(await byNats("function.js.neighbour", "<e/>", xml)).toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT" })
      expect(await byHttp("neighbour", "<e/>", xml)).toMatchObject({
        code: "invalid_argument",
        reason: "UNSUPPORTED_MEDIA_TYPE",
        status: 415,
        message: expect.stringContaining("application/cloudevents+json"),
      })
      const zipped = { "content-type": "application/json", "content-encoding": "gzip" }
      expect(await byHttp("neighbour", "x", zipped)).toMatchObject({ reason: "UNSUPPORTED_MEDIA_TYPE", status: 415 })
      const batch = { "content-type": "application/cloudevents-batch+json" }
      expect(await byNats("function.js.neighbour", "[]", batch)).toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT" })
      expect(await byHttp("neighbour", "[]", batch)).toMatchObject({ code: "invalid_argument", status: 400 })
    })

    test("2 MB over HTTP, 65 MiB from a client: the error names the limit", async () => {
      const tooLarge = (limit: number) => ({
        code: "resource_exhausted",
        reason: "PAYLOAD_TOO_LARGE",
        message: expect.stringContaining(String(limit)),
      })
      const body = JSON.stringify({ large: "x".repeat(2_000_000) })
      expect(await byHttp("neighbour", body)).toMatchObject({ ...tooLarge(MAX_PAYLOAD), status: 413 })
      const data = new Uint8Array(MAX_PAYLOAD_BYTES + 1)
      expect(await byClient("neighbour", { type: "asked", data })).toMatchObject(tooLarge(MAX_PAYLOAD_BYTES))
    })

    test.each([["a.b"], ["a b"], ["a*"], ["*"], [">"], ["a/b/c"], ["A"], ["../a"], ["a\n"], [""], ["x".repeat(64)], ["$KV"], ["süß"]])(
      "the name %j",
      async (name) => {
        const expected = { code: "invalid_argument", reason: "INVALID_NAME" }
        expect(await byClient(name)).toMatchObject(expected)
        expect(await envelope({ functionName: name, event: { id: "1", source: "s", type: "t" } })).toMatchObject({
          errorType: "invalid_request",
        })
        await expect(platform.registry.deploy({ name, language: "js", runtime: "builtin" })).rejects.toMatchObject({
          code: "invalid_argument",
          reason: "INVALID_DEFINITION",
        })
        // Without a name there is no such path.
        if (name !== "") expect(await byHttp(encodeURIComponent(name))).toMatchObject({ ...expected, status: 400 })
      },
    )

    test("a bare request to a subject that is no function's finds nobody", async () => {
      for (const subject of ["function.js.a.b.c", "function.js", "function.nope.neighbour", "function.js.NEIGHBOUR"])
        await nobodyListens(subject)
    })
  })

  describe("what functions do", () => {
    test("one that throws", async () => {
      await platform.deployModule("throws", `export default () => { throw new TypeError("a mistake") }`)
      await everyWay("throws", { code: "unknown", reason: "FUNCTION_THREW", message: /a mistake/ })
    })

    test("one that does not load, one that exports nothing, one whose process ends", async () => {
      await platform.deployModule("no-syntax", "export default (")
      await platform.deployModule("no-function", "export const x = 1")
      await platform.deployModule("exits", "export default () => process.exit(3)")
      await everyWay("no-syntax", { code: "failed_precondition", reason: "LOAD_FAILED" })
      await everyWay("no-function", { code: "failed_precondition", reason: "LOAD_FAILED" })
      await everyWay("exits", { code: "unavailable", reason: "FUNCTION_CRASHED", message: /exit code 3/ })
    })

    test("one that answers with no event", async () => {
      await platform.deployModule("bad-output", `export default () => "text"`)
      await everyWay("bad-output", { code: "failed_precondition", reason: "BAD_OUTPUT" })
    })
  })

  describe("what plugins do", () => {
    test("each that does not start says why", async () => {
      await Promise.all(NO_PLUGINS.map(([name, command]) => platform.deployPlugin(name, [...command])))
      // A file that is no program at all, as an artifact.
      const text = { artifact: Buffer.from("just text"), fileName: "text" }
      await platform.registry.deploy({ name: "is-no-program", language: "go", runtime: "plugin" }, text)
      await Promise.all([
        ...NO_PLUGINS.map(([name, , expected]) => everyWay(name, expected)),
        everyWay("is-no-program", { code: "failed_precondition", reason: "PLUGIN_NOT_EXECUTABLE" }, "go"),
      ])
      const left = (): string[] => processTree(hostPid).flatMap(({ command }) => (/fixtures|sleep 60/.test(command) ? [command] : []))
      await until(() => left().length === 0, { name: "the processes of plugins that did not start to be gone" })
    }, 40_000)

    test("one that keeps failing to start is held back, still with its reason", async () => {
      await platform.deployPlugin("fails-again", ["/bin/sh", fixture("garbage.sh")])
      for (let n = 0; n < 5; n++) expect(await byClient("fails-again")).toMatchObject({ reason: "BAD_HANDSHAKE" })
      // Its circuit is open: it takes no calls for a while.
      const held = async (): Promise<Failure | false> => {
        const failed = await byClient("fails-again")
        return failed.reason === "NO_HOST" && failed
      }
      expect((await until(held, { name: "it to be held back", timeoutMs: 10_000 })).message).toMatch(/CIRCUIT_OPEN: .*BAD_HANDSHAKE/)
    })

    test("one that crashes again and again is a crash loop, and a redeploy mends it", async () => {
      await platform.deployModule("crashes", "export default () => process.exit(3)")
      await until(async () => (await byClient("crashes")).reason === "CRASH_LOOP", { name: "the crash loop", timeoutMs: 10_000 })
      await platform.deployModule("crashes", ECHO)
      expect(await platform.client.invoke("crashes", {})).toHaveLength(1)
    })

    test("one that floods stdout still answers, and its host too", async () => {
      await platform.deployPlugin("floods", faulty("floods-stdout"))
      await platform.client.invoke("floods", {})
      const calls = [platform.client.invoke("floods", {}), platform.client.invoke("floods", {}), platform.client.invoke("neighbour", {})]
      expect((await Promise.all(calls)).map((events) => events.length)).toEqual([1, 1, 1])
    })

    test("one that ignores its shutdown is killed, and its host answers meanwhile", async () => {
      await platform.deployPlugin("ignores", faulty("ignores-shutdown"))
      await platform.client.invoke("ignores", {})
      const plugin = processTree(hostPid).find(({ command }) => command.endsWith("ignores-shutdown"))
      expect(plugin).toBeDefined()
      await platform.registry.deleteFunction({ namespace: "default", name: "ignores" })
      await until(async () => (await platform.client.tryInvoke("ignores", {})).ok === false, { name: "the function to be gone" })
      expect(await platform.client.invoke("neighbour", {})).toHaveLength(1)
      await until(() => !isAlive(plugin?.pid as number), { name: "the plugin to be killed", timeoutMs: 15_000 })
    }, 30_000)
  })

  describe("what lies in the stores", () => {
    test("an artifact with a flipped byte is refused, and deploying again mends it", async () => {
      await platform.deployModule("flipped", `${ECHO}\n// version of its own`)
      const stream = "OBJ_function-ARTIFACTS-default"
      const jsm = await jetstreamManager(platform.nc)
      const { seq, subject, data } = await lastChunk(stream)
      const bytes = Uint8Array.from(data)
      bytes[3] = (bytes[3] as number) ^ 1
      await jsm.streams.deleteMessage(stream, seq)
      await jetstream(platform.nc).publish(subject, bytes)
      await everyWay("flipped", { code: "data_loss", reason: "DIGEST_MISMATCH" })

      await platform.deployModule("flipped", `${ECHO}\n// version of its own`)
      expect(await platform.client.invoke("flipped", {})).toHaveLength(1)
    })

    test("keys written by hand with junk are reported, each with its reason, and a deploy mends what is corrupt", async () => {
      const js = jetstream(platform.nc)
      const junk: [name: string, value: string, reason: string][] = [
        ["junk-text", "no JSON", "RECORD_CORRUPT"],
        ["junk-bytes", "\u0000\u0001", "RECORD_CORRUPT"],
        ["junk-null", "null", "RECORD_CORRUPT"],
        ["junk-shape", `{"schema":1,"name":7}`, "RECORD_CORRUPT"],
        ["junk-other", JSON.stringify(await recordOf("neighbour")), "RECORD_CORRUPT"],
        ["junk-newer", `{"schema":99}`, "SCHEMA_TOO_NEW"],
      ]
      for (const [name, value] of junk) await js.publish(`$KV.functions.f.default.${name}`, value)
      for (const key of ["zzz", "f.x", "f.a.b.c", "f.default.UPPER", "v.x"]) await js.publish(`$KV.functions.${key}`, "junk")

      for (const [name, , reason] of junk) {
        expect([name, await byClient(name)]).toMatchObject([name, { reason }])
        expect([name, await byHttp(name)]).toMatchObject([name, { reason }])
        await nobodyListens(`function.js.${name}`)
      }
      const problems = async (): Promise<Record<string, string>> => {
        const status = (await platform.nc.request("function.status.host-1", "", { timeout: 5_000 })).json<{
          problems: { key: string; error: { reason: string } }[]
        }>()
        return Object.fromEntries(status.problems.map(({ key, error }) => [key, error.reason]))
      }
      expect(await problems()).toMatchObject(Object.fromEntries(junk.map(([name, , reason]) => [`f.default.${name}`, reason])))
      // A host that starts among all that serves the others.
      const second = await platform.startHost()
      await second.stop()

      await platform.deployModule("junk-text", ECHO)
      expect(await platform.client.invoke("junk-text", {})).toHaveLength(1)
      expect(await problems()).not.toHaveProperty(["f.default.junk-text"])
    }, 30_000)

    test("junk over the record of a function that is served stops it, with the reason; a deploy brings it back", async () => {
      await platform.deployModule("overwritten", ECHO)
      expect(await platform.client.invoke("overwritten", {})).toHaveLength(1)
      await jetstream(platform.nc).publish("$KV.functions.f.default.overwritten", "junk")
      await until(async () => (await byClient("overwritten")).reason === "RECORD_CORRUPT", { name: "the function to be refused" })
      await platform.deployModule("overwritten", ECHO)
      expect(await platform.client.invoke("overwritten", {})).toHaveLength(1)
    })

    test("a definition written by hand with junk", async () => {
      await platform.deployModule("bad-definition", ECHO)
      await jetstream(platform.nc).publish("$KV.functions.v.default.bad-definition.0_0_1", "junk")
      await everyWay("bad-definition", { code: "data_loss", reason: "RECORD_CORRUPT" })
    })
  })

  async function recordOf(name: string): Promise<unknown> {
    return (await platform.registry.getFunction({ namespace: "default", name })).record
  }

  /** The newest chunk in an object store. */
  async function lastChunk(stream: string): Promise<{ seq: number; subject: string; data: Uint8Array }> {
    const jsm = await jetstreamManager(platform.nc)
    const message = await jsm.streams.getMessage(stream, { last_by_subj: "$O.function-ARTIFACTS-default.C.>" })
    if (!message) throw new Error(`${stream} has no chunk`)
    return message
  }

  async function envelope(request: unknown): Promise<unknown> {
    return (await platform.nc.request("function.invoke", JSON.stringify(request), { timeout: 5_000 })).json()
  }
})
