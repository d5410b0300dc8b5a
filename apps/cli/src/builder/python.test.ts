import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { newId, noopLogger, PLUGIN_HANDSHAKE } from "@fn/core"
import { type FunctionDefinition, unpackArchive } from "@fn/registry"
import { createPluginStarter } from "@fn/runtime"
import { findPython } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

// Forty megabytes of packages are installed, compiled and packed.
jest.setTimeout(180_000)

const run = promisify(execFile)
const python = findPython()
const PYTHON = "name: hello\nlanguage: python\nruntime: plugin\n"
const SOURCES = {
  "fn.yaml": PYTHON,
  "main.py": `import fn_sdk as fn\nfrom words.greeting import text\n\nfn.serve(lambda event, ctx: fn.Event("greeted", text(event.data)), name="hello")\n`,
  "words/greeting.py": `def text(name):\n    return f"Grüezi {name}"\n`,
  "test_words.py": "raise SystemExit('never part of it')\n",
}

function build(folder: TemporaryFolder, dir: string = folder.path, env: Record<string, string> = {}): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path, { ...python?.pipEnv, ...env }) })
}

async function unpacked(built: BuiltFunction, folder: TemporaryFolder): Promise<string> {
  const target = folder.join(`unpacked-${newId()}`)
  await unpackArchive(built.artifact?.path as string, target)
  return target
}

/** What the function gives for `data`, started as a host would: with nothing in its environment. */
async function call(built: BuiltFunction, folder: TemporaryFolder, data: unknown): Promise<unknown> {
  const artifactPath = await unpacked(built, folder)
  const fn = { namespace: "default", name: "hello", version: "1.0.0", instance: newId() }
  const definition: FunctionDefinition = {
    ...fn,
    schema: 1,
    language: "python",
    runtime: "plugin",
    command: built.manifest.command as string[],
    artifact: { digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1, fileName: "hello.tar", executable: false, archive: true },
    config: {},
    env: {},
    timeoutMs: 10_000,
    concurrency: 1,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00Z",
  }
  const starter = createPluginStarter({ logger: noopLogger, startTimeoutMs: 60_000 })
  const instance = await starter.start({ fn, definition, artifactPath, logger: noopLogger }, new AbortController().signal)
  try {
    const attributes = { id: "1", source: "/test", type: "greet", specversion: "1.0" as const, datacontenttype: "application/json" }
    const event = { attributes, data: Buffer.from(JSON.stringify(data)) }
    const [answer] = await instance.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + 10_000, event })
    return JSON.parse(Buffer.from(answer?.data as Uint8Array).toString("utf8"))
  } finally {
    await instance.close({ graceMs: 2_000 })
  }
}

test("without python3 it says what is missing", async () => {
  await using folder = await temporaryFolder(SOURCES)
  await expect(build(folder, folder.path, { PATH: "/nonexistent" })).rejects.toMatchObject({ reason: "TOOLCHAIN_MISSING" })
})

test("an entry that is not there is told", async () => {
  await using folder = await temporaryFolder({ "fn.yaml": PYTHON })
  await expect(build(folder)).rejects.toMatchObject({ reason: "INVALID_DEFINITION", message: expect.stringContaining("main.py") })
})

if (!python) {
  test("Python and the packages of its SDK are needed", () => {
    console.warn("SKIPPED: needs grpcio: building functions in Python (npm run setup)")
  })
} else {
  describe("R-RG-6: a Python folder becomes an archive with all it needs", () => {
    let folder: TemporaryFolder
    let first: BuiltFunction
    let lock: string

    beforeAll(async () => {
      folder = await temporaryFolder({})
      await write("one", SOURCES)
      first = await build(folder, folder.join("one"))
      lock = await readFile(folder.join("one/requirements.lock"), "utf8")
    })
    afterAll(async () => await folder?.[Symbol.asyncDispose]())

    async function write(dir: string, files: Record<string, string>): Promise<string> {
      await folder.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`${dir}/${name}`, text])))
      return folder.join(dir)
    }

    test("it runs with nothing installed, by python3", async () => {
      expect(first).toMatchObject({ artifact: { fileName: "hello.tar", archive: true }, cached: false })
      expect(first.manifest.command).toEqual(["python3", "{artifact}"])
      expect(await call(first, folder, "Ada")).toBe("Grüezi Ada")
    })

    test("the first build locks all packages by hash", () => {
      expect(lock).toMatch(/^grpcio==\S+ --hash=sha256:[0-9a-f]{64}$/m)
      expect(first.inputs).toEqual(expect.arrayContaining(["main.py", "requirements.lock"].map((name) => folder.join("one", name))))
    })

    test("the same sources give the same bytes, wherever they lie; what did not change is not built again", async () => {
      await using elsewhere = await temporaryFolder({})
      await elsewhere.write(
        Object.fromEntries(Object.entries({ ...SOURCES, "requirements.lock": lock }).map(([name, text]) => [`deep/er/${name}`, text])),
      )
      const second = await build(elsewhere, elsewhere.join("deep/er"))
      expect(second).toMatchObject({ sourceDigest: first.sourceDigest, cached: false })
      expect((await readFile(second.artifact?.path as string)).equals(await readFile(first.artifact?.path as string))).toBe(true)
      expect(await build(folder, folder.join("one"))).toMatchObject({ sourceDigest: first.sourceDigest, cached: true })
    })

    test("packages of requirements.txt are in it, and locked anew when it changes", async () => {
      const dir = await write("more", { ...SOURCES, "requirements.txt": "pathspec\n" })
      const built = await build(folder, dir)
      expect(built.sourceDigest).not.toBe(first.sourceDigest)
      expect(await readFile(join(dir, "requirements.lock"), "utf8")).toMatch(/^pathspec==/m)
      expect(await readFile(join(await unpacked(built, folder), "vendor/pathspec/__init__.py"), "utf8")).not.toBe("")
      await write("more", { "requirements.txt": "no-such-package-of-fn\n" })
      await expect(build(folder, dir)).rejects.toMatchObject({
        reason: "BUILD_FAILED",
        message: expect.stringContaining("no-such-package-of-fn"),
      })
    })

    test("a package that is not the locked one is refused", async () => {
      const other = lock.replace(/(grpcio==\S+ --hash=sha256:)[0-9a-f]{8}/, "$100000000")
      const dir = await write("tampered", { ...SOURCES, "requirements.lock": other })
      await expect(build(folder, dir)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringMatching(/hash/i) })
    })

    test("a lock without what the SDK needs, and a source that does not compile, fail the build with the reason", async () => {
      const byHand = await write("by-hand", { ...SOURCES, "requirements.lock": "# by hand\n" })
      await expect(build(folder, byHand)).rejects.toMatchObject({
        reason: "BUILD_FAILED",
        message: expect.stringContaining("lacks what the SDK needs"),
      })
      const wrong = await write("wrong", { ...SOURCES, "requirements.lock": lock, "main.py": "def handle(:\n" })
      await expect(build(folder, wrong)).rejects.toMatchObject({
        reason: "BUILD_FAILED",
        message: expect.stringMatching(/main\.py.*SyntaxError/s),
      })
    })

    test("an archive for another Python says so instead of failing somewhere", async () => {
      const start = await readFile(join(await unpacked(first, folder), "__main__.py"), "utf8")
      const other = await write("other", { "__main__.py": start.replace(/BUILT_FOR = ".*"/, `BUILT_FOR = "cpython-27 vax"`) })
      const env = { [PLUGIN_HANDSHAKE.cookieKey]: PLUGIN_HANDSHAKE.cookieValue, PATH: process.env.PATH }
      await expect(run("python3", [other], { env })).rejects.toMatchObject({
        code: 1,
        stdout: "",
        stderr: expect.stringContaining("this function was built for cpython-27 vax"),
      })
    })
  })
}
