/** RG-6: Rust packages become programs. */
import { readdir, readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { findRust } from "@fn/testing"
import { describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { createProject } from "../project/create-project.js"
import { sortLock } from "../project/rust-sdk.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

// What programs are built of is compiled the first time on a machine.
jest.setTimeout(480_000)

const MANIFEST = "name: hello\nlanguage: rust\nruntime: plugin\n"
const CARGO = '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n'

const rust = findRust()
const rustTest = rust ? test : (name: string) => test(name, () => console.warn(`SKIPPED: needs cargo: ${name}`))

function build(folder: TemporaryFolder, dir: string = folder.path, env: Record<string, string> = {}): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path, { ...rust?.builderEnv, ...env }) })
}

describe("R-RG-6: a Rust package becomes a program", () => {
  rustTest("the same sources give the same bytes wherever they lie, with nothing of this machine in them", async () => {
    await using one = await temporaryFolder({})
    await using two = await temporaryFolder({})
    const places = [one.join("hello"), two.join("deeper/hello")] as const
    for (const path of places) await createProject({ path, name: "hello", template: "rust" })
    const [first, second] = [await build(one, places[0]), await build(two, places[1])]
    expect(first).toMatchObject({ artifact: { fileName: "hello" } })
    const bytes = await readFile(first.artifact?.path as string)
    expect(bytes.subarray(1, 4).toString()).toMatch(/ELF|\xfe\xed|\xed\xfe/)
    expect(second.sourceDigest).toBe(first.sourceDigest)
    expect((await readFile(second.artifact?.path as string)).equals(bytes)).toBe(true)
    for (const path of [one.path, two.path, `${homedir()}/`]) expect(bytes.includes(path)).toBe(false)
    const inputs = ["fn.yaml", "Cargo.toml", "Cargo.lock", "src/main.rs", ".fn-sdk/src/lib.rs"].map((name) => one.join(`hello/${name}`))
    expect(first.inputs).toEqual(expect.arrayContaining(inputs))
    // Nothing is written beside the author's files, and the lock of the template is whole.
    expect((await readdir(places[0])).sort()).toEqual([".fn-sdk", ".gitignore", "Cargo.lock", "Cargo.toml", "README.md", "fn.yaml", "src"])

    expect((await build(one, places[0])).cached).toBe(true)
    const source = await readFile(one.join("hello/src/main.rs"), "utf8")
    await one.write({ "hello/src/main.rs": source.replace('"world"', '"everybody there is"') })
    const changed = await build(one, places[0])
    expect(changed).toMatchObject({ cached: false })
    expect(changed.sourceDigest).not.toBe(first.sourceDigest)
    expect((await readFile(changed.artifact?.path as string)).includes("everybody there is")).toBe(true)
  })

  rustTest("a mistake is BUILD_FAILED in the compiler's words; a library is none of ours", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": MANIFEST,
      "Cargo.toml": CARGO,
      "src/main.rs": 'fn main() { let x: u8 = "no"; }\n',
    })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringMatching(/error\[E0308\][\s\S]*src\/main\.rs:1/),
    })
    await using library = await temporaryFolder({ "fn.yaml": MANIFEST, "Cargo.toml": CARGO, "src/lib.rs": "pub fn f() {}\n" })
    await expect(build(library)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringContaining("src/main.rs") })
  })

  test("a folder without a package is told, though a folder above it has one; so is a machine without Rust", async () => {
    await using folder = await temporaryFolder({ "Cargo.toml": CARGO, "src/main.rs": "fn main() {}\n", "inner/fn.yaml": MANIFEST })
    await expect(build(folder, folder.join("inner"))).rejects.toMatchObject({
      reason: "INVALID_DEFINITION",
      message: expect.stringContaining("there is no Rust package ."),
    })
    await folder.write({ "fn.yaml": MANIFEST })
    await expect(build(folder, folder.path, { PATH: folder.join("none") })).rejects.toMatchObject({
      reason: "TOOLCHAIN_MISSING",
      details: { toolchain: "rust" },
    })
  })
})

test("a lock is sorted by the names of its packages", () => {
  const entry = (name: string): string => `[[package]]\nname = "${name}"\nversion = "1.0.0"\n`
  const lock = (...names: string[]): string => `version = 4\n\n${names.map(entry).join("\n")}`
  expect(sortLock(lock("middle", "a", "z"))).toBe(lock("a", "middle", "z"))
})
