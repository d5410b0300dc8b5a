/** docs/command-protocol.md: each of its sentences through a real host. */
import { existsSync, readdirSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { findOnPath } from "@fn/process"
import { filesToPack, packArchive } from "@fn/registry"
import { tempDir, until, watchChildren } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { failure, header } from "../test-host.js"
import { type CommandHost, startCommandHost } from "./support.js"

jest.setTimeout(60_000)

let host: CommandHost
let names = 0

beforeAll(async () => {
  host = await startCommandHost()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

/** Deploys `script` under a new name and calls it. */
async function run(
  script: string,
  payload: string | Uint8Array = "{}",
  options: { headers?: Record<string, string>; manifest?: object } = {},
) {
  const name = `script${++names}`
  await host.deployScript(name, script, options.manifest)
  return await host.call(name, payload, options.headers)
}

function message(reply: Awaited<ReturnType<typeof run>>): string | undefined {
  return header(reply, "Nats-Service-Error")
}

describe("R-PL-8: a command gets its event", () => {
  test("as one line of structured JSON, with the end of stdin behind it", async () => {
    const event = {
      "ce-id": "e1",
      "ce-source": "/s",
      "ce-type": "t.asked",
      "ce-specversion": "1.0",
      "ce-count": "7",
      "content-type": "application/json",
    }
    const reply = await run("cat", '{\n  "n": 12345678901234567890\n}', { headers: event })
    // What came in is what goes out: cat is a function, too.
    expect(header(reply, "ce-id")).toBe("e1")
    expect(header(reply, "ce-type")).toBe("t.asked")
    expect(header(reply, "ce-count")).toBe("7")
    expect(reply.string()).toBe('{   "n": 12345678901234567890 }')
  })

  test("line by line: `read` has all of it at once", async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
    const reply = await run('read -r line; read -r more && exit 1; printf "%s" "${#line}"', '{"a":\n"b"}')
    expect(reply.json<number>()).toBeGreaterThan(50)
  })

  test("with stdin: data, the data alone, byte for byte: tr, sort and gzip are functions", async () => {
    await host.deployCommand("upper", ["tr", "a-z", "A-Z"], { stdin: "data" })
    expect((await host.call("upper", "grüße aus bern\n", { "content-type": "text/plain" })).string()).toBe("GRüßE AUS BERN")
    expect(header(await host.call("upper", "x", { "content-type": "text/plain" }), "ce-datacontenttype")).toBe("text/plain")
    await host.deployCommand("zip", ["gzip", "-c"], { stdin: "data", emits: ["com.example.zipped"] })
    const zipped = await host.call("zip", Buffer.alloc(100_000, "x"), { "content-type": "text/plain" })
    expect([header(zipped, "ce-datacontenttype"), header(zipped, "ce-type")]).toEqual(["application/octet-stream", "com.example.zipped"])
    expect(Buffer.from(zipped.data).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]))
    await host.deployCommand("wc", ["wc", "-c"], { stdin: "data" })
    expect((await host.call("wc", "")).json()).toBe(0)
  })

  test("stdin, stdout and stderr are pipes that can be opened by name", async () => {
    const reply = await run('cat /dev/stdin > /dev/null; echo "to stderr" > /dev/stderr; echo "to stdout" > /dev/stdout')
    expect(reply.string()).toBe("to stdout")
    await until(() => host.lines.some((line) => line.message === "to stderr"), { name: "the line on stderr" })
  })

  test("an event of a megabyte arrives whole, and may be left unread", async () => {
    const big = JSON.stringify("x".repeat(900_000))
    expect((await run("wc -c", big)).json<number>()).toBeGreaterThan(900_000)
    expect((await run("echo ignored", big)).string()).toBe("ignored")
    expect((await run("exec <&-; sleep 0.05; echo closed", big)).string()).toBe("closed")
  })
})

describe("R-PL-5, R-PL-6: a command's surroundings", () => {
  test("nothing of the host's environment, but the call's variables and the definition's", async () => {
    process.env.FN_TEST_SECRET = "of the host"
    const headers = {
      "ce-id": "e9",
      "ce-source": "/s",
      "ce-type": "t",
      "ce-specversion": "1.0",
      "ce-subject": "a b",
      "content-type": "application/json",
      "Fn-Invocation-Id": "inv-env",
      "Fn-Timeout-Ms": "20000",
    }
    const manifest = { env: { COLOUR: "blue", LANG: "C" }, config: { greeting: "hello", n: [1] }, version: "3.2.1" }
    const printed = (await run("env", "{}", { headers, manifest })).string()
    delete process.env.FN_TEST_SECRET
    const env = Object.fromEntries(printed.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]))
    expect(env).toEqual({
      PATH: "/usr/local/bin:/usr/bin:/bin",
      LANG: "C",
      COLOUR: "blue",
      HOME: expect.stringContaining("/run-"),
      TMPDIR: env.HOME,
      PWD: env.HOME,
      CE_ID: "e9",
      CE_SOURCE: "/s",
      CE_TYPE: "t",
      CE_SPECVERSION: "1.0",
      CE_SUBJECT: "a b",
      CE_DATACONTENTTYPE: expect.any(String),
      FN_NAMESPACE: "default",
      FN_NAME: expect.stringMatching(/^script/),
      FN_VERSION: "3.2.1",
      FN_INVOCATION_ID: "inv-env",
      FN_ATTEMPT: "1",
      FN_TIMEOUT_MS: expect.stringMatching(/^1\d{4}$|^20000$/),
      FN_CONFIG: '{"greeting":"hello","n":[1]}',
    })
  })

  test("a folder of its own to work in, empty at first and gone afterwards", async () => {
    const where = (await run("ls -A; echo x > left-behind; mkdir -p a/b; ln -s / a/root; mktemp > /dev/null; pwd")).string()
    expect(where).toMatch(/\/run-\w+$/)
    expect(existsSync(where)).toBe(false)
    expect(readdirSync("/").length).toBeGreaterThan(3)
  })
})

describe("R-FN-1: what a command writes is its events", () => {
  test("nothing: none; lines of JSON: one each; an array: its events; bare data: one event of the declared type", async () => {
    expect(header(await run("true"), "Fn-Events")).toBe("0")
    const many = await run(`echo '{"type":"a","data":1}'; echo '{"n":2}'`, "{}", { manifest: { emits: ["com.example.n"] } })
    expect(many.json<{ type: string; data: unknown }[]>().map(({ type, data }) => [type, data])).toEqual([
      ["a", 1],
      ["com.example.n", { n: 2 }],
    ])
    const array = await run(`echo '[{"type":"a"},{"type":"b"}]'`)
    expect(array.json<{ type: string }[]>().map(({ type }) => type)).toEqual(["a", "b"])
    const bare = await run("echo 42")
    expect([header(bare, "ce-type"), header(bare, "ce-source"), bare.json()]).toEqual([
      "fn.result",
      expect.stringMatching(/^\/functions\/default\/script/),
      42,
    ])
  })

  test("what is no event is BAD_OUTPUT, in words", async () => {
    const reply = await run(`echo '{"type":"a"'`)
    expect([failure(reply), message(reply)]).toEqual(["failed_precondition BAD_OUTPUT", expect.stringContaining("cut short")])
  })
})

describe("R-IV-8: how a command fails", () => {
  test("another exit code than 0 is FUNCTION_THREW with the last lines of stderr; the queue retries it", async () => {
    const reply = await run('echo \'{"type":"dropped"}\'; echo first >&2; echo no luck >&2; exit 3')
    expect([failure(reply), message(reply)]).toEqual(["unknown FUNCTION_THREW", expect.stringMatching(/first.*no luck/s)])
    expect(message(await run("exit 7"))).toBe("exit code 7")
  })

  test("65 says that the event is wrong, for good", async () => {
    const reply = await run("echo 'no name in it' >&2; exit 65")
    expect([failure(reply), message(reply)]).toEqual(["invalid_argument INVALID_EVENT", "no name in it"])
  })

  test("an error object on stdout is the author's own error", async () => {
    const reply = await run(`echo working; echo '{"error":{"reason":"NO_STOCK","message":"sold out","retryable":false}}'; exit 1`)
    expect([failure(reply), message(reply)]).toEqual(["failed_precondition NO_STOCK", "sold out"])
    const later = await run(`echo '{"error":{"message":"busy","retryAfterMs":1500}}'; exit 1`)
    expect(failure(later)).toBe("unavailable UNAVAILABLE")
    expect(header(later, "Fn-Retryable")).toBe("true")
  })

  test("a signal is FUNCTION_CRASHED, and costs nobody else a call", async () => {
    const reply = await run("kill -SEGV $$")
    expect([failure(reply), message(reply)]).toEqual(["unavailable FUNCTION_CRASHED", expect.stringContaining("SIGSEGV")])
    const name = `script${names}`
    for (let i = 0; i < 5; i++) expect(failure(await host.call(name))).toBe("unavailable FUNCTION_CRASHED")
  })

  test("a cancelled call ends its process", async () => {
    const children = watchChildren()
    const name = `script${++names}`
    await host.deployScript(name, "echo waiting >&2; sleep 100")
    const reply = host.call(name, "{}", { "Fn-Invocation-Id": "to-cancel" })
    await until(() => host.lines.some((line) => line.fields.invocationId === "to-cancel" && line.message === "waiting"), {
      name: "the command to wait",
    })
    host.nc.publish("function.cancel.default.to-cancel")
    expect(failure(await reply)).toBe("cancelled CANCELLED")
    await children.settled()
    await until(() => host.runtime.status().running === 0, { name: "its slot to be free" })
  })

  test.each<[string, string | Uint8Array, object, RegExp]>([
    ["a damaged program", Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]), Buffer.alloc(100, 1)]), {}, /ELF/],
    ["a text without #!", "echo hello\n", {}, /neither a program nor a script/],
    ["an interpreter that is not there", "#!/opt/nowhere/ruby\n", {}, /nowhere\/ruby/],
    ["an interpreter that is not on PATH", "#!/usr/bin/env no-such-language\n", {}, /no-such-language/],
    ["a carriage return behind #!", "#!/bin/sh\r\necho x\r\n", {}, /carriage return/],
    ["a command that is not on PATH", "x", { command: ["no-such-program", "{artifact}"] }, /no-such-program/],
    ["a command that only the host's PATH has", "x", { command: ["sh", "{artifact}"], env: { PATH: "/nowhere" } }, /sh/],
  ])("%s is COMMAND_NOT_EXECUTABLE, and is not run as a shell script", async (_, artifact, manifest, why) => {
    const name = `script${++names}`
    await host.deploy(
      { name, language: "shell", runtime: "command", entry: "main", ...manifest },
      { artifact: Buffer.from(artifact as string), fileName: "main" },
    )
    const reply = await host.call(name)
    expect([failure(reply), message(reply)]).toEqual(["failed_precondition COMMAND_NOT_EXECUTABLE", expect.stringMatching(why)])
  })
})

describe("R-OB-3: a command's log", () => {
  test("is its stderr, line by line, with the invocation", async () => {
    await run("printf 'one\\ntwo\\nthree' >&2", "{}", { headers: { "Fn-Invocation-Id": "inv-log" } })
    const logged = (): unknown[] =>
      host.lines.filter((line) => line.fields.invocationId === "inv-log" && line.fields.channel === "stderr").map((line) => line.message)
    await until(() => logged().length === 3, { name: "three lines" })
    expect(logged()).toEqual(["one", "two", "three"])
  })
})

describe("R-FN-3: executions of a command", () => {
  test("run one after the other by default, and as many at once as the definition says", async () => {
    const script = "date +%s%N; sleep 0.2; date +%s%N"
    const spans = async (name: string): Promise<number[][]> => {
      const replies = await Promise.all([host.call(name), host.call(name), host.call(name)])
      return replies.map((reply) => reply.string().split("\n").map(Number)).sort((a, b) => (a[0] as number) - (b[0] as number))
    }
    const overlaps = (all: number[][]): number =>
      all.filter(([start], at) => at > 0 && (start as number) < (all[at - 1]?.[1] as number)).length
    await host.deployScript("serial", script)
    expect(overlaps(await spans("serial"))).toBe(0)
    await host.deployScript("parallel", script, { concurrency: 3 })
    expect(overlaps(await spans("parallel"))).toBeGreaterThan(0)
  })

  test("R-FN-6: a function of several files is unpacked, and its command finds it", async () => {
    await using folder = await tempDir()
    const { mkdir, writeFile } = await import("node:fs/promises")
    await mkdir(folder.file("src/lib"), { recursive: true })
    await writeFile(folder.file("src/main.sh"), '. "$(dirname "$0")/lib/greet.sh"\ngreet Ada\n')
    await writeFile(folder.file("src/lib/greet.sh"), 'greet() { echo "Hello, $1!"; }\n')
    await packArchive(await filesToPack(folder.file("src")), folder.file("many.tar"))
    const artifact = await readFile(folder.file("many.tar"))
    const manifest = { name: "many", language: "shell", runtime: "command", command: ["sh", "{artifact}/main.sh"] } as const
    await host.deploy({ ...manifest, command: [...manifest.command] }, { artifact, fileName: "many.tar", archive: true })
    expect((await host.call("many")).string()).toBe("Hello, Ada!")
  })

  test("R-SEC-3: an archive that leads out of its folder is INVALID_ARTIFACT, and nothing of it is written", async () => {
    await using folder = await tempDir()
    const { symlink } = await import("node:fs/promises")
    const { execFileSync } = await import("node:child_process")
    await symlink(tmpdir(), folder.file("out"))
    execFileSync("tar", ["--format=ustar", "-cf", folder.file("evil.tar"), "-C", folder.path, "out"])
    const manifest = { name: "evil", language: "shell", runtime: "command", command: ["sh", "{artifact}/main.sh"] } as const
    await host.deploy({ ...manifest, command: [...manifest.command] }, { artifact: await readFile(folder.file("evil.tar")), archive: true })
    expect(failure(await host.call("evil"))).toBe("invalid_argument INVALID_ARTIFACT")
  })
})

describe("R-PL-8: languages that need no SDK", () => {
  const program: Record<string, string> = {
    ruby: `#!/usr/bin/env ruby
require "json"
event = JSON.parse($stdin.read)
puts JSON.generate(type: "greeted", data: { text: "Grüezi #{event["data"]["name"]}" })
`,
    php: `#!/usr/bin/env php
<?php
$event = json_decode(stream_get_contents(STDIN), true);
echo json_encode(["type" => "greeted", "data" => ["text" => "Grüezi " . $event["data"]["name"]]]), "\n";
`,
  }
  test.each(["ruby", "php"])("%s: UTF-8 in, UTF-8 out", async (language) => {
    if (findOnPath(language) === undefined) return console.warn(`SKIPPED: needs ${language}: a command in ${language}`)
    await host.deploy(
      { name: `greet-${language}`, language: language as "ruby", runtime: "command", entry: "main" },
      { artifact: Buffer.from(program[language] as string), fileName: "main" },
    )
    const reply = await host.request(`function.${language}.greet-${language}`, '{"name":"Zoë"}', {}, 30_000)
    expect([header(reply, "ce-type"), reply.json()]).toEqual(["greeted", { text: "Grüezi Zoë" }])
  })
})
