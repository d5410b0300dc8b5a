/** RG-6: what `fn init` writes builds, deploys, answers and passes its own tests, with nothing installed. */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, symlink } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { findOnPath } from "@fn/process"
import { findJava, findPython, findRust, javaNeeds } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "./support/environment.js"
import { type FnDev, fn, startDev } from "./support/fn.js"
import { type TemporaryFolder, temporaryFolder } from "./support/folder.js"
import { fnInProcess } from "./support/in-process.js"

jest.setTimeout(120_000)

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL("../../..", import.meta.url))
const hasGo = findOnPath("go") !== undefined
if (!hasGo) process.stderr.write("SKIPPED: needs go: the Go template\n")
const goTest = hasGo ? test : test.skip

let folder: TemporaryFolder
let dev: FnDev

beforeAll(async () => {
  folder = await temporaryFolder()
  dev = await startDev([], { cwd: folder.path })
})

afterAll(async () => {
  await dev?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

/** init → deploy → invoke, by the words the command itself suggests. */
async function greetFrom(template: string, name: string, env: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const options = { cwd: folder.path, env: { FN_NATS_URL: dev.nats, ...env } }
  const made = await fn(["init", name, "--template", template], options)
  expect(made).toMatchObject({ code: 0, stdout: expect.stringContaining(`fn dev ${name}`) })
  const deployed = await fn(["deploy", name, "--json"], options)
  expect(deployed.stdout).toContain(`"status":"accepted"`)
  expect(deployed.json()).toMatchObject({ name, version: "0.1.0", warnings: [], hosts: [{ served: true }] })
  const invoked = await fn(["invoke", name, "--data", `{"name":"Ada"}`, "--json"], options)
  expect(invoked).toMatchObject({ code: 0 })
  return invoked.json<{ events: unknown[] }>().events
}

async function hasRustTarget(): Promise<boolean> {
  if (findOnPath("cargo") === undefined) return false
  const { stdout } = await run("rustc", ["--print", "target-libdir", "--target", "wasm32-wasip1"]).catch(() => ({ stdout: "" }))
  return stdout.trim() !== "" && existsSync(stdout.trim())
}

const GREETING = [expect.objectContaining({ type: "com.example.greeted", data: { text: "Hello, Ada!" } })]

describe("fn init", () => {
  test("ts: a module, live without an install", async () => {
    expect(await greetFrom("ts", "hello-ts")).toEqual(GREETING)
  })

  test("ts-plugin: a program of its own, live without an install", async () => {
    expect(await greetFrom("ts-plugin", "hello-plugin")).toEqual(GREETING)
  })

  goTest("go: a program of its own, whose go.mod is as `go mod tidy` would leave it", async () => {
    expect(await greetFrom("go", "hello-go")).toEqual(GREETING)
    const go = { cwd: folder.join("hello-go"), env: testEnvironment(folder.path, { GOFLAGS: "-mod=mod", GOPROXY: "off" }) }
    await run("go", ["vet", "./..."], go)
    await run("go", ["test", "./..."], go)
    expect(await readFile(folder.join("hello-go/go.mod"), "utf8")).toMatch(/\nreplace \S+ => \.\/\.fn-sdk\n$/)
    expect((await readdir(folder.join("hello-go/.fn-sdk"))).filter((file) => file.endsWith("_test.go"))).toEqual([])
  })

  test("python: a program of its own, with the packages of its SDK, whose own test passes", async () => {
    const python = findPython()
    if (!python) return console.warn("SKIPPED: needs grpcio: the template python (npm run setup)")
    expect(await greetFrom("python", "hello-python", python.pipEnv)).toEqual(GREETING)
    expect(await readdir(folder.join("hello-python"))).toEqual(expect.arrayContaining([".fn-sdk", "requirements.lock"]))
    await run("python3", ["-m", "unittest"], { cwd: folder.join("hello-python"), env: testEnvironment(folder.path) })
  })

  test("java: a program of its own, one jar, whose own test passes", async () => {
    const java = findJava()
    if (!java) return console.warn(`SKIPPED: needs ${javaNeeds()}: the template java (npm run setup)`)
    expect(await greetFrom("java", "hello-java", java.mavenEnv)).toEqual(GREETING)
    expect(await readdir(folder.join("hello-java"))).toEqual(expect.arrayContaining([".fn-sdk", "pom.xml"]))
    await java.maven(folder.join("hello-java"), "test")
  })

  test("rust: a program of its own, whose own test passes", async () => {
    const rust = findRust()
    if (!rust) return console.warn("SKIPPED: needs cargo: the template rust")
    expect(await greetFrom("rust", "hello-rust-plugin", rust.builderEnv)).toEqual(GREETING)
    expect(await rust.test(folder.join("hello-rust-plugin"))).toMatch(/2 passed/)
  }, 480_000)

  test.each<[template: string, needs: string, ownTest: string[]]>([
    ["shell", "sh", ["sh", "greet.test.sh"]],
    ["ruby", "ruby", ["ruby", "greet_test.rb"]],
    ["php", "php", ["php", "greet_test.php"]],
    ["command", "awk", ["sh", "greet.test.sh"]],
    ["wasm-wat", "sh", ["true"]],
  ])("%s: live without an install, and its own test passes", async (template, needs, [command, ...args]) => {
    if (findOnPath(needs) === undefined) return console.warn(`SKIPPED: needs ${needs}: the template ${template}`)
    const name = `hello-${template}`
    expect(await greetFrom(template, name)).toEqual(GREETING)
    const awkward = await fnInProcess(["invoke", name, "--data", `{"name": "\\"Zoë\\" \\\\"}`, "--json"], {
      cwd: folder.path,
      env: { FN_NATS_URL: dev.nats },
    })
    expect(awkward.json()).toMatchObject({ events: [{ data: { text: 'Hello, "Zoë" \\!' } }] })
    const nobody = await fnInProcess(["invoke", name, "--json"], { cwd: folder.path, env: { FN_NATS_URL: dev.nats } })
    expect(nobody.json()).toMatchObject({ events: [{ data: { text: "Hello, world!" } }] })
    await run(command as string, args, { cwd: folder.join(name), env: testEnvironment(folder.path) })
  })

  test("wasm-rust: compiled, live, and its own test passes", async () => {
    if (!(await hasRustTarget())) return console.warn("SKIPPED: needs wasm32-wasip1: the template wasm-rust")
    expect(await greetFrom("wasm-rust", "hello-rust")).toEqual(GREETING)
    const env = testEnvironment(folder.path, { CARGO_TARGET_DIR: folder.join("target") })
    expect((await run("cargo", ["test", "--offline"], { cwd: folder.join("hello-rust"), env })).stdout).toMatch(/2 passed/)
  })

  test.each(["ts", "ts-plugin"])("%s: its own tests and types pass once its packages are there", async (template) => {
    const name = `tested-${template}`
    expect((await fn(["init", name, "-t", template], { cwd: folder.path })).code).toBe(0)
    await mkdir(folder.join(name, "node_modules/@fn"), { recursive: true })
    await mkdir(folder.join(name, "node_modules/@types"), { recursive: true })
    await symlink(`${ROOT}packages/plugin-sdk`, folder.join(name, "node_modules/@fn/plugin-sdk"))
    for (const dependency of ["tsx", "typescript", "@types/node"])
      await symlink(`${ROOT}node_modules/${dependency}`, folder.join(name, "node_modules", dependency))
    const { scripts } = JSON.parse(await readFile(folder.join(name, "package.json"), "utf8")) as { scripts: { test: string } }
    const env = testEnvironment(folder.path)
    const options = { cwd: folder.join(name), env: { ...env, NODE_OPTIONS: "" } }
    expect((await run("sh", ["-c", scripts.test], options)).stdout).toMatch(/# pass 1\b|ℹ pass 1\b/)
    // The sources of the other are among those of this one.
    if (template === "ts-plugin") await run(process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit"], options)
  })

  test("refuses a folder that has something in it, and changes nothing", async () => {
    await folder.write({ "mine/notes.txt": "mine" })
    const refused = await fnInProcess(["init", "mine"], { cwd: folder.path })
    expect(refused).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(/FOLDER_NOT_EMPTY/) })
    expect(await readdir(folder.join("mine"))).toEqual(["notes.txt"])
    expect((await fnInProcess(["init", "mine/notes.txt"], { cwd: folder.path })).code).toBe(2)
  })

  test("names the function after the folder, or as told, and refuses what is no name", async () => {
    const init = async (...args: string[]): Promise<unknown> =>
      (await fnInProcess(["init", ...args, "--json"], { cwd: folder.path })).json()
    expect(await init("My New Thing!")).toMatchObject({
      name: "my-new-thing",
      template: "ts",
      files: expect.arrayContaining([".gitignore", "fn.yaml", "src/index.ts"]),
    })
    expect(await init("x", "--name", "other")).toMatchObject({ name: "other" })
    expect(await readFile(folder.join("x/fn.yaml"), "utf8")).toContain("name: other\n")
    expect(await init("y", "--name", "No Name")).toMatchObject({ error: { reason: "INVALID_NAME" } })
    expect(await init("123")).toMatchObject({ error: { reason: "INVALID_NAME" } })
    expect(await init("z", "--template", "cobol")).toMatchObject({
      error: { reason: "TEMPLATE_UNKNOWN", message: expect.stringContaining("ts, ts-plugin, go") },
    })
  })
})

describe("npm run fn", () => {
  test("runs the command in the folder it was called from, with its output and exit code", async () => {
    const script = `${ROOT}scripts/fn.mjs`
    const env = testEnvironment(folder.path, { INIT_CWD: folder.path })
    const made = await run(process.execPath, [script, "init", "from-npm", "--json"], { cwd: ROOT, env })
    expect(JSON.parse(made.stdout)).toMatchObject({ path: folder.join("from-npm") })
    await expect(run(process.execPath, [script, "init", "from-npm"], { cwd: ROOT, env })).rejects.toMatchObject({ code: 2, stdout: "" })
  })
})
