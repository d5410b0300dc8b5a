/** Every verb but init and dev against the platform of one `fn dev`; as processes of their own unless that makes no difference. */
import { readFile } from "node:fs/promises"
import { createInterface } from "node:readline"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { type FnDev, type FnOptions, type FnResult, fn, spawnFn, startDev } from "./support/fn.js"
import { type TemporaryFolder, temporaryFolder } from "./support/folder.js"
import { ECHO, moduleFunction } from "./support/functions.js"
import { fnInProcess } from "./support/in-process.js"

jest.setTimeout(60_000)

let folder: TemporaryFolder
let dev: FnDev

beforeAll(async () => {
  folder = await temporaryFolder({
    ...moduleFunction("echo", ECHO, "version: 1.0.0\n"),
    ...moduleFunction("throws", `throw new Error("no luck")`),
    ...moduleFunction("slow", `await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))`),
    ...moduleFunction("silent", "return"),
    ...moduleFunction("bytes", `return { type: "bytes", datacontenttype: "application/octet-stream", data: new Uint8Array([1, 2, 3]) }`),
  })
  dev = await startDev([], { cwd: folder.path })
})

afterAll(async () => {
  await dev?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

/** Runs `fn` on the platform under test. */
function run(args: readonly string[], options: Partial<FnOptions> = {}): Promise<FnResult> {
  return fn(args, { cwd: folder.path, ...options, env: { FN_NATS_URL: dev.nats, ...options.env } })
}

/** As {@link run}, in this process. */
function runHere(args: readonly string[], options: Partial<FnOptions> = {}): Promise<FnResult> {
  return fnInProcess(args, { cwd: folder.path, ...options, env: { FN_NATS_URL: dev.nats, ...options.env } })
}

describe("R-DP-6: fn deploy", () => {
  test("ends in accepted, and a call reaches the version at once", async () => {
    const deployed = await run(["deploy", "echo", "--json"])
    expect(deployed).toMatchObject({ code: 0 })
    expect(deployed.json()).toMatchObject({
      status: "accepted",
      ref: "default/echo@1.0.0",
      unchanged: false,
      digest: expect.stringMatching(/^sha256:/),
      hosts: [{ served: true }],
    })
    const invoked = await run(["invoke", "echo", "--data", `{"n":1}`, "--json"])
    expect(invoked.code).toBe(0)
    expect(invoked.json<{ events: unknown[] }>().events).toEqual([expect.objectContaining({ type: "echoed", data: { n: 1 } })])

    const again = await run(["deploy", "echo"])
    expect(again).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^accepted default\/echo@1\.0\.0 \(unchanged, served by 1 of 1 host\)\n$/),
    })
    expect(again.stderr).toContain("bundling index.ts")
  })

  test("ends in rejected with the reason: another content under the same version, and the way out", async () => {
    await run(["deploy", "echo"])
    await folder.write({
      "other/fn.yaml": "name: echo\nversion: 1.0.0\nlanguage: js\nruntime: module\n",
      "other/index.js": "export default () => undefined\n",
    })
    const rejected = await run(["deploy", "other"])
    expect(rejected).toMatchObject({ code: 1, stdout: "" })
    expect(rejected.stderr).toMatch(/rejected other\nerror: [\s\S]*VERSION_EXISTS[\s\S]*next: Raise the version/)
    expect((await run(["deploy", "other", "--json"])).json()).toMatchObject({
      status: "rejected",
      dir: "other",
      error: { reason: "VERSION_EXISTS", todo: expect.any(String) },
    })
  })

  test("a bad fn.yaml is refused with every problem and its line, exit code 2", async () => {
    await folder.write({ "bad/fn.yaml": "name: Bad Name\nlanguage: js\nruntime: modul\nconcurency: 3\n" })
    const rejected = await run(["deploy", "bad", "--json"])
    expect(rejected.code).toBe(2)
    expect(rejected.json<{ error: { details: unknown } }>().error.details).toEqual({
      problems: [
        expect.stringMatching(/^fn\.yaml:1:7: name/),
        expect.stringMatching(/^fn\.yaml:3:10: runtime/),
        "fn.yaml:4:1: concurency: there is no such setting",
      ],
    })
  })

  test("several folders: each gets its line, and one that fails does not keep the others back", async () => {
    await folder.write({ "broken/fn.yaml": "name: broken\nlanguage: js\nruntime: module\n", "broken/index.ts": "export default (\n" })
    const deployed = await run(["deploy", "silent", "broken", "bytes", "nowhere", "--json"])
    expect(deployed.code).toBe(1)
    const lines = deployed.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { status: string; error?: { reason: string } })
    expect(lines.map(({ status, error }) => error?.reason ?? status)).toEqual([
      "accepted",
      "BUILD_FAILED",
      "accepted",
      "INVALID_DEFINITION",
    ])
  })

  test("a namespace keeps people apart", async () => {
    expect((await run(["deploy", "silent", "--namespace", "me", "--json"])).json()).toMatchObject({ ref: "me/silent@0.0.1" })
    expect((await run(["invoke", "silent", "--namespace", "me", "--json"])).json()).toEqual({ events: [] })
    expect((await run(["list", "--namespace", "me", "--json"])).json<{ name: string }[]>().map(({ name }) => name)).toEqual(["silent"])
  })
})

describe("R-DP-6: fn invoke", () => {
  beforeAll(async () => {
    const deployed = await run(["deploy", "echo", "throws", "slow", "silent", "bytes"])
    expect(deployed).toMatchObject({ code: 0 })
  })

  test("R-IV-3: with --broadcast prints what each host answers", async () => {
    const answered = await runHere(["invoke", "echo", "--broadcast", "--data", "1", "--json"])
    expect(answered.code).toBe(0)
    expect(answered.json()).toEqual({
      answers: [{ host: expect.any(String), ok: true, events: [expect.objectContaining({ type: "echoed", data: 1 })] }],
    })
    expect((await runHere(["invoke", "echo", "--broadcast"])).stdout).toMatch(/^\S+ {2}ok\n {2}\{.*"type":"echoed".*\}\n$/)
    const failed = await runHere(["invoke", "throws", "--broadcast"])
    expect(failed).toMatchObject({ code: 1, stdout: expect.stringMatching(/^\S+ {2}failed {2}FUNCTION_THREW: no luck\n$/) })
    expect((await runHere(["invoke", "echo", "--broadcast", "--async"])).code).toBe(2)
  })

  test("takes data from the command line, a file and stdin, JSON or plain text", async () => {
    await folder.write({ "data.json": `{"from":"file"}` })
    const results = await Promise.all([
      run(["invoke", "echo", "-d", `{"from":"flag"}`, "--json"]),
      run(["invoke", "echo", "-d", "@data.json", "--json"]),
      run(["invoke", "echo", "-d", "-", "--json"], { input: `{"from":"stdin"}` }),
      run(["invoke", "echo", "-d", "just words", "--json"]),
      run(["invoke", "echo", "--json"]),
    ])
    const data = results.map((result) => result.json<{ events: { data: unknown }[] }>().events[0]?.data)
    expect(data).toEqual([{ from: "flag" }, { from: "file" }, { from: "stdin" }, "just words", null])
    // A program that reads the data itself sees no quotes around text, and bytes as they are.
    await folder.write({
      "types/fn.yaml": "name: types\nlanguage: shell\nruntime: command\ncommand: [sh, -c, 'echo $CE_DATACONTENTTYPE; cat']\nstdin: data\n",
    })
    expect((await runHere(["deploy", "types"])).code).toBe(0)
    const { writeFile } = await import("node:fs/promises")
    await writeFile(folder.join("data.bin"), Buffer.from([0xff, 0x00]))
    const given = await Promise.all(["just words", "[1]", "@data.bin"].map((text) => runHere(["invoke", "types", "-d", text, "--json"])))
    const seen = given.map((result) => result.json<{ events: { data?: string; data_base64?: string }[] }>().events[0])
    expect([seen[0]?.data, seen[1]?.data]).toEqual(["text/plain\njust words", "application/json\n[1]"])
    expect(Buffer.from(seen[2]?.data_base64 ?? "", "base64")).toEqual(Buffer.from("application/octet-stream\n\u00ff\u0000", "latin1"))
  })

  test("takes a whole event from a file or stdin, and fills in what it leaves out", async () => {
    await folder.write({ "event.json": JSON.stringify({ type: "com.example.hello", data: 7 }) })
    const fromFile = await run(["invoke", "echo@1.0.0", "--event", "event.json", "--json"])
    expect(fromFile.json()).toMatchObject({ events: [{ data: 7, specversion: "1.0" }] })
    const fromStdin = await run(["invoke", "default/echo", "-e", "-", "--type", "other.type", "--json"], { input: `{"type":"x","data":8}` })
    expect(fromStdin.json()).toMatchObject({ events: [{ data: 8 }] })
  })

  test("off a terminal prints one event a line; bytes travel as data_base64; no event prints nothing", async () => {
    const echoed = await run(["invoke", "echo", "-d", "1"])
    expect(JSON.parse(echoed.stdout)).toMatchObject({ type: "echoed", data: 1 })
    expect(echoed.stdout.endsWith("}\n")).toBe(true)
    expect((await run(["invoke", "bytes", "--json"])).json()).toMatchObject({ events: [{ type: "bytes", data_base64: "AQID" }] })
    expect(await run(["invoke", "silent"])).toMatchObject({ code: 0, stdout: "" })
  })

  test("R-IV-5: --stream prints each event as it comes, and what ended it", async () => {
    await folder.write({
      "steps/fn.yaml": "name: steps\nlanguage: js\nruntime: module\n",
      "steps/index.ts": `let go = () => {}
        const gone = new Promise<void>((resolve) => { go = resolve })
        export default async function* (event: { data?: any }) {
          if (event.data === "go") return go()
          yield { type: "first", data: 1 }
          await gone
          yield { type: "second", data: 2 }
          if (event.data === "fail") throw new Error("no luck")
        }`,
    })
    await runHere(["deploy", "steps"])
    const child = spawnFn(["invoke", "steps", "--stream"], { cwd: folder.path, env: { FN_NATS_URL: dev.nats } })
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({ type: "first", data: 1 })
    // Only this lets it come to its second event.
    await runHere(["invoke", "steps", "-d", "go"])
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({ type: "second", data: 2 })
    expect((await child.exited).code).toBe(0)

    const failed = await runHere(["invoke", "steps", "--stream", "--json", "-d", "fail"])
    expect(failed.code).toBe(1)
    expect(
      failed.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([{ type: "first" }, { type: "second" }, { error: { reason: "FUNCTION_THREW" } }])
  })

  test("exit code 1: the function failed, in its own words", async () => {
    const failed = await run(["invoke", "throws", "--json"])
    expect(failed.code).toBe(1)
    expect(failed.json()).toMatchObject({
      error: { code: "unknown", reason: "FUNCTION_THREW", message: expect.stringContaining("no luck"), todo: expect.any(String) },
    })
  })

  test("exit code 2: what was asked makes no sense", async () => {
    await folder.write({ "list.json": "[1]", "junk.json": "{" })
    const asked: [string[], string][] = [
      [["invoke", "Not A Name"], "INVALID_NAME"],
      [["invoke", "echo", "--event", "list.json"], "INVALID_EVENT"],
      [["invoke", "echo", "--event", "junk.json"], "INVALID_EVENT"],
      [["invoke", "echo", "--event", "nowhere.json"], "INVALID_REQUEST"],
      [["invoke", "echo", "--event", "list.json", "--data", "1"], "INVALID_REQUEST"],
      [["invoke", "echo", "--timeout-ms", "soon"], "INVALID_REQUEST"],
      [["invoke", "echo", "--stream", "--async"], "INVALID_REQUEST"],
      [["invoke"], "INVALID_REQUEST"],
      [["promote", "echo"], "INVALID_REQUEST"],
      [["frobnicate"], "INVALID_REQUEST"],
    ]
    const results = await Promise.all(asked.map(([args]) => runHere([...args, "--json"])))
    expect(await run(["invoke", "echo", "--timeout-ms", "soon"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("--timeout-ms"),
    })
    expect(results.map((result) => [result.code, result.json<{ error: { reason: string } }>().error.reason])).toEqual(
      asked.map(([, reason]) => [2, reason]),
    )
  })

  test("exit code 3: no such function, no such version", async () => {
    expect(await run(["invoke", "nobody"])).toMatchObject({
      code: 3,
      stdout: "",
      stderr: expect.stringMatching(/why: {2}FUNCTION_NOT_FOUND[\s\S]*next: .*fn list/),
    })
    expect(await run(["invoke", "echo@9.9.9"])).toMatchObject({ code: 3, stderr: expect.stringContaining("VERSION_NOT_FOUND") })
    expect((await run(["get", "nobody"])).code).toBe(3)
  })

  test("exit code 4: nobody is there", async () => {
    const refused = await run(["invoke", "echo", "--json"], { env: { FN_NATS_URL: "nats://127.0.0.1:1" } })
    expect(refused.code).toBe(4)
    expect(refused.json()).toMatchObject({ error: { reason: "NATS_UNREACHABLE", message: expect.stringContaining("127.0.0.1:1") } })
    const elsewhere = await run(["list"], { env: { FN_PREFIX: "other" } })
    expect(elsewhere).toMatchObject({ code: 4, stderr: expect.stringMatching(/NOT_SET_UP[\s\S]*fn setup/) })
  })

  test("exit code 5: it took too long", async () => {
    expect((await run(["invoke", "slow", "--timeout-ms", "300", "--json"])).json()).toMatchObject({ error: { code: "deadline_exceeded" } })
    expect((await run(["invoke", "slow", "--timeout-ms", "300"])).code).toBe(5)
  })
})

describe("R-IV-5: stored invocations", () => {
  test("invoke --async prints the id, result waits for what it gave, status says how it ended", async () => {
    await runHere(["deploy", "echo"])
    const invoked = await run(["invoke", "echo", "--async", "--data", `{"n":2}`])
    expect(invoked).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^[A-Za-z0-9_-]{22}\n$/) })
    const id = invoked.stdout.trim()
    const result = await run(["result", id, "--json"])
    expect(result.code).toBe(0)
    expect(result.json<{ events: unknown[] }>().events).toEqual([expect.objectContaining({ type: "echoed", data: { n: 2 } })])
    expect(JSON.parse((await runHere(["result", id])).stdout)).toMatchObject({ type: "echoed" })
    expect((await runHere(["status", id, "--json"])).json()).toMatchObject({ invocationId: id, status: "succeeded", version: "1.0.0" })
    expect((await runHere(["status", id])).stdout).toMatch(new RegExp(`^succeeded ${id}\nversion: 1\\.0\\.0\n`))
    expect(await runHere(["cancel", id])).toMatchObject({ code: 0, stdout: "succeeded\n", stderr: "it had ended before\n" })
  })

  test("one that waits for its time is pending until it is cancelled", async () => {
    await runHere(["deploy", "echo"])
    const args = ["invoke", "echo", "--async", "--at", new Date(Date.now() + 3_600_000).toISOString(), "--max-age", "1h", "--json"]
    const { invocationId } = (await runHere(args)).json<{ invocationId: string }>()
    const status = await runHere(["status", invocationId, "--function", "echo"])
    expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/^pending .*\nqueued at: \d{4}-/) })
    expect(await runHere(["result", invocationId, "--timeout-ms", "100"])).toMatchObject({
      code: 5,
      stderr: expect.stringContaining("still pending"),
    })
    expect((await runHere(["cancel", invocationId, "--json"])).json()).toEqual({ invocationId, status: "cancelled" })
    expect((await runHere(["result", invocationId, "--json"])).json()).toMatchObject({ error: { code: "cancelled" } })
  })

  test("with a key both a sync and a stored call give the one result", async () => {
    await runHere(["deploy", "echo"])
    const first = (await runHere(["invoke", "echo", "--data", "1", "--idempotency-key", "k1", "--json"])).json()
    const again = (await runHere(["invoke", "echo", "--data", "2", "--idempotency-key", "k1", "--json"])).json()
    const { invocationId } = (await runHere(["invoke", "echo", "--async", "--idempotency-key", "k1", "--json"])).json<{
      invocationId: string
    }>()
    expect([again, (await runHere(["result", invocationId, "--json"])).json()]).toEqual([first, first])
  })

  test("a failure is the function's, an unknown id is not found, and what only --async has needs it", async () => {
    await runHere(["deploy", "throws"])
    const { stdout } = await runHere(["invoke", "throws", "--async"])
    expect(await runHere(["result", stdout.trim()])).toMatchObject({ code: 1, stderr: expect.stringContaining("no luck") })
    expect(await runHere(["status", stdout.trim()])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^failed [\s\S]*FUNCTION_THREW/),
    })
    expect(await runHere(["status", "AAAAAAAAAAAAAAAAAAAAAA"])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("EXECUTION_NOT_FOUND"),
    })
    expect((await runHere(["invoke", "nobody", "--async"])).code).toBe(3)
    for (const flags of [
      ["--delay", "1s"],
      ["--at", "2030-01-31T08:00:00Z"],
      ["--max-age", "1h"],
      ["--callback", "event:x"],
    ])
      expect(await runHere(["invoke", "echo", ...flags])).toMatchObject({ code: 2, stderr: expect.stringContaining("--async") })
    expect((await runHere(["invoke", "echo", "--async", "--delay", "soon"])).code).toBe(2)
    expect((await runHere(["invoke", "echo", "--async", "--callback", "ftp://x"])).code).toBe(2)
    expect((await runHere(["result", "not an id"])).code).toBe(2)
  })
})

describe("R-DP-6: looking at and changing what is deployed", () => {
  test("list, get and versions show it, for people and machines", async () => {
    await runHere(["deploy", "echo"])
    const listed = (await runHere(["list", "--json"])).json<{ name: string; activeVersion: string }[]>()
    expect(listed).toContainEqual(
      expect.objectContaining({
        namespace: "default",
        name: "echo",
        activeVersion: "1.0.0",
        language: "js",
        runtime: "module",
        revision: expect.any(Number),
      }),
    )
    expect((await runHere(["ls"])).stdout).toMatch(/^NAMESPACE +NAME +VERSION[\s\S]*default +echo +1\.0\.0 +module +js/)
    expect((await runHere(["get", "echo", "--json"])).json()).toMatchObject({
      name: "echo",
      activeVersion: "1.0.0",
      definition: { version: "1.0.0", timeoutMs: 30_000, artifact: { fileName: "echo.mjs" } },
    })
    expect((await runHere(["get", "echo"])).stdout).toMatch(/^default\/echo@1\.0\.0 \(active\)\nlanguage: js/)
    expect((await runHere(["versions", "echo", "--json"])).json()).toEqual([
      expect.objectContaining({ version: "1.0.0", active: true, aliases: [] }),
    ])
  })

  test("promote, aliases and rollback move between versions; delete takes one or all", async () => {
    for (const version of ["1.0.0", "1.1.0"]) {
      await folder.write(moduleFunction("moving", `return { type: "v", data: "${version}" }`, `version: ${version}\n`))
      expect((await runHere(["deploy", "moving"])).code).toBe(0)
    }
    const answer = async (ref: string): Promise<unknown> =>
      (await runHere(["invoke", ref, "--json"])).json<{ events: { data: unknown }[] }>().events[0]?.data
    expect(await answer("moving")).toBe("1.1.0")
    expect((await runHere(["rollback", "moving", "--json"])).json()).toMatchObject({ activeVersion: "1.0.0", from: "1.1.0" })
    expect(await answer("moving")).toBe("1.0.0")
    expect((await runHere(["promote", "moving@1.1.0", "--alias", "next", "--json"])).json()).toMatchObject({
      activeVersion: "1.0.0",
      aliases: { next: "1.1.0" },
    })
    expect(await answer("moving@next")).toBe("1.1.0")
    expect((await runHere(["promote", "moving@next"])).stdout).toBe("promoted default/moving@1.1.0\n")
    expect(await answer("moving")).toBe("1.1.0")

    expect(await runHere(["delete", "moving"])).toMatchObject({ code: 2, stderr: expect.stringMatching(/NOT_CONFIRMED[\s\S]*--yes/) })
    expect((await runHere(["delete", "moving@1.1.0", "--yes", "--json"])).json()).toMatchObject({ error: { reason: "VERSION_IN_USE" } })
    expect((await runHere(["delete", "moving@1.0.0", "--yes"])).code).toBe(0)
    expect((await runHere(["delete", "moving", "-y", "--json"])).json()).toMatchObject({ deleted: "default/moving" })
    expect((await runHere(["invoke", "moving"])).code).toBe(3)
  })

  test("rollback without an earlier version says so", async () => {
    await runHere(["deploy", "silent"])
    expect(await runHere(["rollback", "silent"])).toMatchObject({ code: 3, stderr: expect.stringContaining("VERSION_NOT_FOUND") })
  })

  test("setup says what is there, and with --print what it would do", async () => {
    const printed = (await runHere(["setup", "--print", "--json"], { env: { FN_PREFIX: "second" } })).json<{
      printed: boolean
      stores: { action: string; kind: string }[]
    }>()
    expect(printed.printed).toBe(true)
    expect(printed.stores.every(({ action }) => action === "created")).toBe(true)
    expect(printed.stores.map(({ kind }) => kind)).toEqual(["kv", "object", "stream", "stream", "stream", "stream", "stream", "object"])
    expect((await runHere(["list"], { env: { FN_PREFIX: "second" } })).code).toBe(4)
    expect((await runHere(["setup", "--max-bytes", "10MiB"], { env: { FN_PREFIX: "second" } })).stdout).toMatch(/created/)
    expect((await runHere(["list", "--json"], { env: { FN_PREFIX: "second" } })).json()).toEqual([])
    const again = await runHere(["setup", "--json"])
    expect(new Set(again.json<{ stores: { action: string }[] }>().stores.map(({ action }) => action))).toEqual(new Set(["unchanged"]))
    const changed = await runHere(["setup", "--result-age", "2h", "--max-pending", "5"], { env: { FN_PREFIX: "second" } })
    expect(changed.stdout).toMatch(/second-RESULTS +stream +changed +max_age: 3600 s → 7200 s/)
    expect(changed.stdout).toMatch(/second-QUEUE +stream +changed +max_msgs_per_subject: 100000 → 5/)
    expect(changed.stdout).toMatch(/second-PAYLOADS +object +unchanged/)
    expect((await runHere(["setup", "--result-age", "2"])).code).toBe(2)
  })
})

describe("the command itself", () => {
  test("--version and --help work without a platform", async () => {
    const { version } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` })
    const help = await run(["--help"])
    expect(help.code).toBe(0)
    for (const verb of ["init", "dev", "deploy", "invoke", "result", "status", "cancel", "list", "get", "delete", "setup"])
      expect(help.stdout).toMatch(new RegExp(`^ +${verb}\\b`, "m"))
    expect(await run(["deploy", "--help"])).toMatchObject({ code: 0, stdout: expect.stringContaining("--nats-url") })
  })

  test("no colours reach a pipe", async () => {
    const result = await run(["invoke", "nobody"], { env: { NO_COLOR: "" } })
    expect(result.stderr).not.toContain("\x1b[")
  })
})
