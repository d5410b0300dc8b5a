import { chmod, readFile, symlink } from "node:fs/promises"
import { unpackArchive } from "@fn/registry"
import { describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

jest.setTimeout(60_000)

const SCRIPT = "name: hello\nlanguage: ruby\nruntime: command\nentry: main.rb\n"
const FOLDER = 'name: hello\nlanguage: ruby\nruntime: command\nentry: src\ncommand: [ruby, "{artifact}/main.rb"]\n'

function build(folder: TemporaryFolder, dir: string = folder.path): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path) })
}

describe("R-RG-6: a script becomes a command", () => {
  test("as it lies there; the same bytes have the same digest", async () => {
    const files = { "fn.yaml": SCRIPT, "main.rb": "#!/usr/bin/env ruby\nputs 1\n" }
    await using one = await temporaryFolder(files)
    await using two = await temporaryFolder(files)
    const first = await build(one)
    expect(first.artifact).toEqual({ path: one.join("main.rb"), fileName: "main.rb" })
    expect(first.inputs).toEqual([one.join("fn.yaml"), one.join("main.rb")])
    expect((await build(two)).sourceDigest).toBe(first.sourceDigest)
  })

  test("one that does not say what runs it is refused, with what to do", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": SCRIPT, "main.rb": "puts 1\n" })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "COMMAND_NOT_EXECUTABLE",
      message: expect.stringContaining("#!/usr/bin/env"),
    })
    await folder.write({ "main.rb": "#!/usr/bin/env ruby\r\nputs 1\r\n" })
    await expect(build(folder)).rejects.toThrow("carriage return")
    await folder.write({ "fn.yaml": `${SCRIPT}command: [ruby, "{artifact}"]\n` })
    expect((await build(folder)).artifact?.fileName).toBe("main.rb")
  })

  test("a command of this machine's programs needs no file", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": "name: hello\nlanguage: shell\nruntime: command\ncommand: [tr, a-z, A-Z]\nstdin: data\n",
    })
    const built = await build(folder)
    expect(built).not.toHaveProperty("artifact")
    expect(built.manifest).toMatchObject({ stdin: "data", command: ["tr", "a-z", "A-Z"] })
  })
})

describe("R-RG-6: a folder becomes an archive", () => {
  test("of everything in it, the same wherever it lies, and from the cache when nothing changed", async () => {
    const files = {
      "fn.yaml": FOLDER,
      "src/main.rb": 'require_relative "lib/greet"\n',
      "src/lib/greet.rb": "def greet = 1\n",
      "src/.hidden": "too",
    }
    await using one = await temporaryFolder(files)
    await using two = await temporaryFolder(Object.fromEntries(Object.entries(files).map(([name, text]) => [`deeper/${name}`, text])))
    await chmod(one.join("src/main.rb"), 0o755)
    await chmod(two.join("deeper/src/main.rb"), 0o755)
    const [first, second] = [await build(one), await build(two, two.join("deeper"))]
    expect(first).toMatchObject({ artifact: { fileName: "hello.tar", archive: true }, cached: false })
    expect(await readFile(second.artifact?.path as string)).toEqual(await readFile(first.artifact?.path as string))
    expect(second.sourceDigest).toBe(first.sourceDigest)
    expect(first.inputs).toEqual(expect.arrayContaining([one.join("src/main.rb"), one.join("src/lib/greet.rb")]))
    await unpackArchive(first.artifact?.path as string, one.join("out"))
    expect(await readFile(one.join("out/lib/greet.rb"), "utf8")).toBe("def greet = 1\n")
    expect(await readFile(one.join("out/.hidden"), "utf8")).toBe("too")
    expect((await build(one)).cached).toBe(true)
    await one.write({ "src/lib/greet.rb": "def greet = 2\n" })
    const changed = await build(one)
    expect([changed.cached, changed.sourceDigest === first.sourceDigest]).toEqual([false, false])
    await chmod(two.join("deeper/src/main.rb"), 0o644)
    expect((await build(two, two.join("deeper"))).sourceDigest).not.toBe(first.sourceDigest)
  })

  test("a folder needs a command, and holds nothing that leads out of it", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": FOLDER.replace(/command:.*\n/, ""), "src/main.rb": "puts 1\n" })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "INVALID_DEFINITION",
      message: expect.stringContaining("command must say"),
    })
    await folder.write({ "fn.yaml": FOLDER })
    await symlink("/etc/passwd", folder.join("src/passwd"))
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringContaining("passwd is a link that leads out"),
    })
  })

  test("what fn.yaml's own build command makes is packed, and not watched", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": `${FOLDER.replace("entry: src", "entry: dist")}build: [sh, -c, "mkdir -p dist && cp main.rb dist/main.rb"]\n`,
      "main.rb": "puts 1\n",
    })
    const built = await build(folder)
    expect(built).toMatchObject({ artifact: { archive: true }, outputs: [folder.join("dist")] })
    await unpackArchive(built.artifact?.path as string, folder.join("out"))
    expect(await readFile(folder.join("out/main.rb"), "utf8")).toBe("puts 1\n")
  })
})
