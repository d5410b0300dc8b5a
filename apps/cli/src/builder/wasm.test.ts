import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { chmod, readdir, readFile } from "node:fs/promises"
import { findOnPath } from "@fn/process"
import { describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

// The first go build for WASI on a machine compiles the standard library.
jest.setTimeout(240_000)

const WAT = "name: hello\nlanguage: custom\nruntime: wasm\nentry: main.wat\n"
const RUST = "name: hello\nlanguage: rust\nruntime: wasm\n"
const CARGO = '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n'
const MODULE = '(module (memory (export "memory") 1) (func (export "_start")))'

function build(folder: TemporaryFolder, dir: string = folder.path, env: Record<string, string> = {}): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path, env) })
}

/** Whether this machine's Rust can build for WASI. */
function hasRust(): boolean {
  if (findOnPath("cargo") === undefined) return false
  try {
    const folder = execFileSync("rustc", ["--print", "target-libdir", "--target", "wasm32-wasip1"], { encoding: "utf8" }).trim()
    return existsSync(folder)
  } catch {
    return false // a Rust that has never heard of it
  }
}

describe("R-RG-6: WebAssembly text becomes a module", () => {
  test("the same text gives the same bytes, from the cache the second time", async () => {
    await using one = await temporaryFolder({ "fn.yaml": WAT, "main.wat": MODULE })
    await using two = await temporaryFolder({ "fn.yaml": WAT.replace("hello", "other"), "main.wat": MODULE })
    const [first, second] = [await build(one), await build(two)]
    expect(first).toMatchObject({ artifact: { fileName: "hello.wasm" }, cached: false })
    const bytes = await readFile(first.artifact?.path as string)
    expect(bytes.subarray(0, 4).toString("hex")).toBe("0061736d")
    expect(await readFile(second.artifact?.path as string)).toEqual(bytes)
    expect((await build(one)).cached).toBe(true)
  })

  test("a mistake is BUILD_FAILED with its line", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": WAT, "main.wat": '(module\n  (func (export "_start")\n    i32.add))' })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringMatching(/main\.wat:3:\d+: error: type mismatch/),
    })
    await folder.write({ "main.wat": "(module" })
    await expect(build(folder)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringContaining("main.wat:1") })
    await using missing = await temporaryFolder({ "fn.yaml": WAT })
    await expect(build(missing)).rejects.toMatchObject({
      reason: "INVALID_DEFINITION",
      message: expect.stringContaining("there is no file main.wat"),
    })
  })

  test("what no host would run is refused here already", async () => {
    const refuse = async (text: string, more = ""): Promise<string> => {
      await using folder = await temporaryFolder({ "fn.yaml": WAT + more, "main.wat": text })
      return await build(folder).then(
        () => "built",
        (thrown: { reason: string; message: string }) => `${thrown.reason} ${thrown.message}`,
      )
    }
    expect(await refuse('(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))')).toMatch(
      /BUILD_FAILED .*env\.f/,
    )
    expect(await refuse('(module (memory (export "memory") 1) (func (export "main")))')).toMatch(/BUILD_FAILED .*_start/)
    expect(await refuse('(module (memory (export "memory") 1000) (func (export "_start")))', "memoryMb: 32\n")).toMatch(
      /BUILD_FAILED .*memoryMb is 32/,
    )
  })

  test("a .wasm is taken as it is, by itself or from a build command, if it is one", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": WAT, "main.wat": MODULE })
    const { path } = (await build(folder)).artifact as { path: string }
    await folder.write({ "fn.yaml": `${WAT.replace("main.wat", "out.wasm")}build: [cp, "${path}", out.wasm]\n` })
    expect(await build(folder)).toMatchObject({
      artifact: { path: folder.join("out.wasm"), fileName: "out.wasm" },
      outputs: [folder.join("out.wasm")],
    })
    await folder.write({ "fn.yaml": WAT.replace("main.wat", "text.wasm"), "text.wasm": "#!/bin/sh\n" })
    await expect(build(folder)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringContaining("no WebAssembly module") })
    await folder.write({ "fn.yaml": WAT.replace("main.wat", "main.c"), "main.c": "int main() {}" })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "INVALID_DEFINITION",
      message: expect.stringContaining("let build make a .wasm"),
    })
  })
})

describe("R-RG-6: a Rust package becomes a module", () => {
  const rustTest = hasRust() ? test : (name: string) => test(name, () => console.warn(`SKIPPED: needs wasm32-wasip1: ${name}`))

  rustTest("the same sources give the same bytes wherever they lie, with nothing of this machine in them", async () => {
    const files = {
      "fn.yaml": RUST,
      "Cargo.toml": CARGO,
      "src/main.rs": 'mod greet;\nfn main() { if std::env::args().count() > 9 { panic!("no") } println!("{}", greet::greet()) }\n',
      "src/greet.rs": 'pub fn greet() -> &\'static str { "hello" }\n',
    }
    await using one = await temporaryFolder(files)
    await using two = await temporaryFolder(Object.fromEntries(Object.entries(files).map(([name, text]) => [`deeper/${name}`, text])))
    const [first, second] = [await build(one), await build(two, two.join("deeper"))]
    const bytes = await readFile(first.artifact?.path as string)
    expect(await readFile(second.artifact?.path as string)).toEqual(bytes)
    expect(second.sourceDigest).toBe(first.sourceDigest)
    expect(bytes.includes(one.path)).toBe(false)
    expect(first.inputs).toEqual(
      expect.arrayContaining(["fn.yaml", "Cargo.toml", "Cargo.lock", "src/main.rs", "src/greet.rs"].map((name) => one.join(name))),
    )
    // Nothing but the lock is written beside the author's files.
    expect((await readdir(one.path)).sort()).toEqual(["Cargo.lock", "Cargo.toml", "cache", "fn.yaml", "src"])
    expect((await build(one)).cached).toBe(true)
    await one.write({ "src/greet.rs": 'pub fn greet() -> &\'static str { "goodbye" }\n' })
    const changed = await build(one)
    expect(changed.sourceDigest).not.toBe(first.sourceDigest)
    expect((await readFile(changed.artifact?.path as string)).includes("goodbye")).toBe(true)
  })

  rustTest("a mistake is BUILD_FAILED in the compiler's words; a library is none of ours", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": RUST, "Cargo.toml": CARGO, "src/main.rs": 'fn main() { let x: u8 = "no"; }\n' })
    await expect(build(folder)).rejects.toMatchObject({
      reason: "BUILD_FAILED",
      message: expect.stringMatching(/error\[E0308\][\s\S]*src\/main\.rs:1/),
    })
    await using library = await temporaryFolder({ "fn.yaml": RUST, "Cargo.toml": CARGO, "src/lib.rs": "pub fn f() {}\n" })
    await expect(build(library)).rejects.toMatchObject({ reason: "BUILD_FAILED", message: expect.stringContaining("src/main.rs") })
    await using broken = await temporaryFolder({ "fn.yaml": RUST, "Cargo.toml": "[package\n", "src/main.rs": "fn main() {}\n" })
    await expect(build(broken)).rejects.toMatchObject({ reason: "BUILD_FAILED" })
  })

  test("without Rust, or without its WASI library, it says what is missing", async () => {
    await using folder = await temporaryFolder({
      "fn.yaml": RUST,
      "Cargo.toml": CARGO,
      "src/main.rs": "fn main() {}\n",
      "bin/cargo": "#!/bin/sh\n",
      "bin/rustc": "#!/bin/sh\necho /nowhere\n",
    })
    await expect(build(folder, folder.path, { PATH: folder.join("none") })).rejects.toMatchObject({
      reason: "TOOLCHAIN_MISSING",
      details: { toolchain: "rust" },
    })
    for (const tool of ["cargo", "rustc"]) await chmod(folder.join("bin", tool), 0o755)
    await expect(build(folder, folder.path, { PATH: folder.join("bin") })).rejects.toMatchObject({
      reason: "TOOLCHAIN_MISSING",
      details: { toolchain: "wasm32-wasip1" },
    })
    await folder.write({ "bin/rustup": "#!/bin/sh\necho 'could not download' >&2\nexit 1\n" })
    await chmod(folder.join("bin/rustup"), 0o755)
    await expect(build(folder, folder.path, { PATH: folder.join("bin") })).rejects.toMatchObject({
      reason: "TOOLCHAIN_MISSING",
      message: expect.stringContaining("could not download"),
    })
  })
})

describe("R-RG-6: a Go package becomes a module", () => {
  test("with GOOS=wasip1, reproducibly", async () => {
    if (findOnPath("go") === undefined) return console.warn("SKIPPED: needs go: building Go as WebAssembly")
    const files = {
      "fn.yaml": "name: hello\nlanguage: go\nruntime: wasm\n",
      "go.mod": "module example.com/hello\n\ngo 1.21\n",
      "main.go": "package main\n\nfunc main() { println(1) }\n",
    }
    await using one = await temporaryFolder(files)
    await using two = await temporaryFolder(files)
    const [first, second] = [await build(one), await build(two)]
    expect(first.artifact?.fileName).toBe("hello.wasm")
    expect(await readFile(second.artifact?.path as string)).toEqual(await readFile(first.artifact?.path as string))
    expect((await build(one)).cached).toBe(true)
  })
})
