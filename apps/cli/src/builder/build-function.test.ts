import { execFile } from "node:child_process"
import { chmod, mkdir, readFile, rename, stat, symlink } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { findOnPath } from "@fn/process"
import { describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

// The first go build on a machine compiles the standard library.
jest.setTimeout(60_000)

const run = promisify(execFile)
const goTest = findOnPath("go") ? test : test.skip
if (!findOnPath("go")) process.stderr.write("SKIPPED: needs go: building Go functions\n")

const MODULE = "name: hello\nlanguage: js\nruntime: module\n"
const GO = "name: hello\nlanguage: go\nruntime: plugin\n"

function build(folder: TemporaryFolder, dir: string = folder.path, env: Record<string, string> = {}): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path, env) })
}

async function artifactText(built: BuiltFunction): Promise<string> {
  return readFile(built.artifact?.path as string, "utf8")
}

/** What the bundle's default export returns for `event`, in a Node process of its own. */
async function callBundle(built: BuiltFunction, event: unknown): Promise<unknown> {
  const url = pathToFileURL(built.artifact?.path as string).href
  const script = `const m = await import(${JSON.stringify(url)}); process.stdout.write(JSON.stringify(await m.default(${JSON.stringify(event)})))`
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script])
  return JSON.parse(stdout) as unknown
}

describe("R-RG-6: a TypeScript folder becomes one module", () => {
  test("imports of other files are in it, types are gone", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "src/index.ts": `import { greet } from "./greet.js"\nexport default (event: { data: string }): unknown => ({ type: "greeted", data: greet(event.data) })\n`,
      "src/greet.ts": `export const greet = (name: string): string => \`Grüezi \${name}\`\n`,
    })
    const built = await build(folder)
    expect(built.artifact?.fileName).toBe("hello.mjs")
    expect(await callBundle(built, { data: "Ada" })).toEqual({ type: "greeted", data: "Grüezi Ada" })
    expect(built.inputs).toEqual(expect.arrayContaining([folder.join("fn.yaml"), folder.join("src/index.ts"), folder.join("src/greet.ts")]))
  })

  test("CommonJS packages work, also beside names of the author's own", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "node_modules/old/package.json": `{"name":"old","version":"1.0.0","main":"index.js"}`,
      "node_modules/old/index.js": `const { basename } = require("path"); module.exports = () => [basename(__filename), typeof __dirname]\n`,
      "index.mjs": `import { createRequire } from "node:module"\nimport old from "old"\nconst require = createRequire(import.meta.url)\nconst __dirname = "mine"\nexport default () => [...old(), __dirname, require("node:path").sep]\n`,
    })
    expect(await callBundle(await build(folder), {})).toEqual(["artifact.mjs", "string", "mine", "/"])
  })

  test("the author's own `require` is left alone where no CommonJS is in the bundle", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "index.js": `import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)\nconst __filename = "mine"\nexport default () => [__filename, typeof require]\n`,
    })
    expect(await callBundle(await build(folder), {})).toEqual(["mine", "function"])
  })

  test("@fn/core resolves in a folder without node_modules", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "index.ts": `import { nextVersion } from "@fn/core"\nexport default () => nextVersion("1.2.3")\n`,
    })
    expect(await callBundle(await build(folder), {})).toBe("1.2.4")
  })

  test("the same sources give the same bytes and digest, wherever they and their dependencies lie", async () => {
    const files = {
      "fn.yaml": MODULE,
      "index.ts": `import old from "old"\nimport { nextVersion } from "@fn/core"\nexport default () => [old, nextVersion("1.0.0")]\n`,
    }
    const old = {
      "old/package.json": `{"name":"old","main":"index.js"}`,
      "old/index.js": "module.exports = require('./other.js')\n",
      "old/other.js": "module.exports = 1\n",
    }
    await using one = await temporaryFolder({ ...files, "node_modules/x/y": "" })
    await using two = await temporaryFolder({})
    await using store = await temporaryFolder(old)
    await symlink(store.join("old"), one.join("node_modules/old"))
    await mkdir(two.join("deeper/down/node_modules"), { recursive: true })
    await two.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`deeper/down/${name}`, text])))
    await two.write(Object.fromEntries(Object.entries(old).map(([name, text]) => [`store/${name}`, text])))
    await symlink(two.join("store/old"), two.join("deeper/down/node_modules/old"))
    const first = await build(one)
    const second = await build(two, two.join("deeper/down"))
    expect(await artifactText(second)).toBe(await artifactText(first))
    expect(second.sourceDigest).toBe(first.sourceDigest)
    expect(first.sourceDigest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect((await build(one)).cached).toBe(true)
  })

  test("two functions of the same sources share an artifact under names of their own", async () => {
    await using one = await temporaryFolder({ "fn.yaml": MODULE, "index.ts": "export default () => 1\n" })
    await using two = await temporaryFolder({ "fn.yaml": MODULE.replace("hello", "other"), "index.ts": "export default () => 1\n" })
    const first = await build(one)
    const second = await buildFunction(two.path, { env: testEnvironment(one.path) })
    expect([first.artifact?.fileName, second.artifact?.fileName]).toEqual(["hello.mjs", "other.mjs"])
    expect(await callBundle(second, {})).toBe(1)
  })

  test("what defineFunction declares holds where fn.yaml says nothing", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": `${MODULE}timeoutMs: 700\n`,
      "index.ts": `import { defineFunction } from "@fn/plugin-sdk"
console.log("noise")
setInterval(() => undefined, 1000)
export default defineFunction({ name: "other", on: "a.b", emits: ["c.d"], timeout: "9s", concurrency: 7, retry: { maxAttempts: 5 }, handler: () => ({ type: "c.d" }) })\n`,
    })
    const { manifest, warnings } = await build(folder)
    expect(manifest).toEqual({
      name: "hello",
      language: "js",
      runtime: "module",
      timeoutMs: 700,
      accepts: ["a.b"],
      emits: ["c.d"],
      concurrency: 7,
      retry: { attempts: 5 },
    })
    expect(warnings).toEqual([])
    expect(await build(folder)).toMatchObject({ cached: true, manifest })
  })

  test("a module that does not load here is built all the same, with a warning", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "index.js": "if (!process.env.DATABASE) throw new Error('no DATABASE')\nexport default () => 1\n",
    })
    expect((await build(folder)).warnings).toEqual(["the module does not load here: Error: no DATABASE"])
    await folder.write({ "fn.yaml": `${MODULE}env: { DATABASE: x }\n` })
    expect((await build(folder)).warnings).toEqual([])
  })

  test("BUILD_FAILED names file, line and column of each error, and no stack", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MODULE,
      "src/index.ts": `import { x } from "left-pad-9"\nimport { y } from "./gone.js"\nexport default () => [x, y]\n`,
    })
    const error = await build(folder).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ reason: "BUILD_FAILED", code: "failed_precondition" })
    const { message } = error as Error
    expect(message).toContain(`src/index.ts:1:19: error: Could not resolve "left-pad-9"`)
    expect(message).toContain("npm install left-pad-9")
    expect(message).toContain(`src/index.ts:2:19: error: Could not resolve "./gone.js"`)
    expect(message).not.toMatch(/^\s+at /m)
  })

  test("a syntax error is shown with its line", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": MODULE, "index.ts": "export default (event) => {\n  return [\n" })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringMatching(/index\.ts:\d+:\d+: error: /),
    })
  })

  test("an entry that is not there is a problem of fn.yaml", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": `${MODULE}entry: src/gone.ts\n` })
    await expect(build(folder)).rejects.toMatchObject({ reason: "INVALID_DEFINITION", message: expect.stringContaining("src/gone.ts") })
    await folder.write({ "fn.yaml": MODULE })
    await expect(build(folder)).rejects.toMatchObject({ reason: "INVALID_DEFINITION", message: expect.stringContaining("src/index.ts") })
  })
})

describe("R-RG-6: a Go folder becomes a program", () => {
  const files = {
    "fn.yaml": GO,
    "go.mod": "module example.com/hello\n\ngo 1.21\n",
    "main.go": `package main\n\nfunc main() { println("hi") }\n`,
  }

  goTest("the same sources give the same bytes, and are compiled once", async () => {
    await using one = await temporaryFolder(files)
    await using two = await temporaryFolder()
    await two.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`deeper/${name}`, text])))
    const first = await build(one)
    const second = await build(two, two.join("deeper"))
    expect([first.cached, second.cached]).toEqual([false, false])
    expect(second.sourceDigest).toBe(first.sourceDigest)
    expect(await readFile(second.artifact?.path as string)).toEqual(await readFile(first.artifact?.path as string))
    expect((await stat(first.artifact?.path as string)).mode & 0o111).not.toBe(0)
    expect((await run(first.artifact?.path as string, [])).stderr).toBe("hi\n")

    expect((await build(one)).cached).toBe(true)
    await one.write({ "main.go": `package main\n\nfunc main() { println("ho") }\n` })
    const changed = await build(one)
    expect(changed.cached).toBe(false)
    expect(changed.sourceDigest).not.toBe(first.sourceDigest)
  })

  goTest("a change in a module that `replace` names is seen", async () => {
    await using folder = await temporaryFolder({
      "fn/fn.yaml": GO,
      "fn/go.mod": "module example.com/hello\n\ngo 1.21\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n",
      "fn/main.go": `package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n`,
      "lib/go.mod": "module example.com/lib\n\ngo 1.21\n",
      "lib/lib.go": `package lib\n\nconst Word = "one"\n`,
    })
    const first = await build(folder, folder.join("fn"))
    expect(first.inputs).toContain(folder.join("lib/lib.go"))
    await folder.write({ "lib/lib.go": `package lib\n\nconst Word = "two"\n` })
    const second = await build(folder, folder.join("fn"))
    expect(second.sourceDigest).not.toBe(first.sourceDigest)
    expect((await run(second.artifact?.path as string, [])).stderr).toBe("two\n")
  })

  goTest("BUILD_FAILED has the compiler's own words with file and line", async () => {
    await using folder = await temporaryFolder({ ...files, "main.go": `package main\n\nfunc main() { nothing() }\n` })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringContaining("main.go:3:15: undefined: nothing"),
    })
  })

  goTest("a package that is not main is refused", async () => {
    await using folder = await temporaryFolder({ ...files, "main.go": "package hello\n" })
    await expect(build(folder)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringContaining("package main") })
  })

  test("TOOLCHAIN_MISSING says what to install when Go is not on PATH", async () => {
    await using folder = await temporaryFolder(files)
    await expect(build(folder, folder.path, { PATH: folder.path })).rejects.toMatchObject({
      reason: "TOOLCHAIN_MISSING",
      message: expect.stringContaining("https://go.dev/dl"),
    })
  })
})

describe("a program built before", () => {
  test("is taken as it is", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": "name: hello\nlanguage: rust\nruntime: plugin\nentry: bin/hello\n",
      "bin/hello": "#!/bin/sh\n",
    })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "PLUGIN_NOT_EXECUTABLE",
      message: expect.stringContaining("chmod +x bin/hello"),
    })
    await chmod(folder.join("bin/hello"), 0o755)
    const built = await build(folder)
    expect(built.artifact).toEqual({ path: folder.join("bin/hello"), fileName: "hello" })
    await rename(folder.join("bin"), folder.join("elsewhere"))
    await expect(build(folder)).rejects.toMatchObject({ reason: "INVALID_DEFINITION" })
  })

  test("a command that needs no file has no artifact", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": "name: hello\nlanguage: shell\nruntime: command\ncommand: [cat]\n" })
    expect(await build(folder)).toMatchObject({ inputs: [join(folder.path, "fn.yaml")], cached: false })
  })

  test("fn.yaml's own build command makes it, and its failure is a BUILD_FAILED with its words", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": `name: hello\nlanguage: shell\nruntime: plugin\nentry: out\nbuild: [sh, -c, "cp in out && chmod +x out"]\n`,
      in: "#!/bin/sh\n",
    })
    expect((await build(folder)).artifact?.path).toBe(folder.join("out"))
    await folder.write({
      "fn.yaml": `name: hello\nlanguage: shell\nruntime: plugin\nentry: out\nbuild: [sh, -c, "echo no flour >&2; exit 3"]\n`,
    })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringContaining("no flour"),
      details: { exitCode: 3 },
    })
    await folder.write({ "fn.yaml": `name: hello\nlanguage: shell\nruntime: plugin\nentry: out\nbuild: [no-such-compiler]\n` })
    await expect(build(folder)).rejects.toMatchObject({ reason: "TOOLCHAIN_MISSING" })
  })
})

describe("R-PL-6: what no host could keep is refused before anything is built", () => {
  test.each([
    ["a process without network", "isolation: { level: process, network: none }", "only a sandbox restricts"],
    ["a module at level wasm", "isolation: { level: wasm }", "only wasm functions"],
  ])("%s", async (_what, line, why) => {
    await using folder = await temporaryFolder({ "fn.yaml": `${MODULE}${line}\n`, "index.ts": "this is no TypeScript" })
    await expect(build(folder)).rejects.toMatchObject({ reason: "ISOLATION_UNAVAILABLE", message: expect.stringContaining(why) })
  })
})
