/**
 * Rust: `cargo build` for wasm32-wasip1, stripped and with nothing of this machine's paths in it, so that the same sources give the same bytes.
 * cargo knows itself what changed; its target folder is kept in fn's cache, not in the author's.
 */
import { createHash } from "node:crypto"
import { copyFile, readFile, stat } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join, relative } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"
import { buildFailed, runTool, type ToolOptions } from "./run-tool.js"

const TARGET = "wasm32-wasip1"

/** A program that cargo made, or found unchanged. */
interface CargoProgram {
  readonly name: string
  readonly path: string
  readonly manifestPath: string
  readonly fresh: boolean
}

/** Builds the package at `entry`, a folder or its Cargo.toml. @throws {FnError} TOOLCHAIN_MISSING, BUILD_FAILED */
export async function buildRust(input: BuildInput, entry: string): Promise<BuiltArtifact> {
  const cargo = findCargo(input.env)
  const packageDir = entry.endsWith("Cargo.toml") ? dirname(entry) : entry
  const tool = { cwd: packageDir, env: await environment(input, packageDir), signal: input.signal }
  await requireTarget(input, tool)

  input.onProgress("compiling Rust (the first time takes longest)")
  const locked = (await findLock(cargo, tool)) === undefined ? [] : ["--locked"]
  const args = ["build", "--release", "--target", TARGET, ...locked, "--message-format=json-render-diagnostics"]
  const built = await runTool(cargo, { ...tool, args })
  if (built.exit.code !== 0) throw buildFailed("the Rust package does not build", built)
  const program = chooseProgram(programsIn(built.stdout), input.manifest.name)

  const lock = await findLock(cargo, tool)
  const files = [...new Set([...(await sourceFiles(program)), ...(lock === undefined ? [] : [lock])])].sort()
  const sources = new SourceDigest()
  sources.add("toolchain", (await runTool("rustc", { ...tool, args: ["-vV"] })).stdout)
  for (const file of files) await sources.addFile(relative(packageDir, file), file)
  const cache = new BuildCache(input.cacheDir, ".wasm")
  const path = (await cache.find(sources.value)) ?? (await cache.keep(sources.value, (draft) => copyFile(program.path, draft)))
  return { path, fileName: `${input.manifest.name}.wasm`, sourceDigest: sources.value, inputs: files, warnings: [], cached: program.fresh }
}

function findCargo(env: Readonly<Record<string, string>>): string {
  const cargo = findOnPath("cargo", env.PATH ?? "")
  if (cargo !== undefined && findOnPath("rustc", env.PATH ?? "") !== undefined) return cargo
  throw FnError.of(
    "TOOLCHAIN_MISSING",
    "building this function needs Rust, and there are no cargo and rustc on PATH (https://rustup.rs has them)",
    {
      details: { toolchain: "rust" },
    },
  )
}

async function environment(input: BuildInput, packageDir: string): Promise<Record<string, string>> {
  const { env } = input
  const id = createHash("sha256").update(packageDir).digest("hex").slice(0, 16)
  const own = { CARGO_TARGET_DIR: join(input.cacheDir, "cargo", id), CARGO_PROFILE_RELEASE_STRIP: "symbols", CARGO_TERM_COLOR: "never" }
  const given = env.CARGO_ENCODED_RUSTFLAGS?.split("\u001f") ?? env.RUSTFLAGS?.split(/\s+/).filter((flag) => flag !== "") ?? []
  // Flags in the environment make cargo leave those of its files: an author's own go first, at the price of paths in the binary.
  if (given.length === 0 && (await hasOwnFlags(packageDir))) return { ...env, ...own }
  const cargoHome = env.CARGO_HOME || join(env.HOME || homedir(), ".cargo")
  const flags = [...given, `--remap-path-prefix=${cargoHome}=/cargo`, `--remap-path-prefix=${packageDir}=.`]
  return { ...env, ...own, CARGO_ENCODED_RUSTFLAGS: flags.join("\u001f") }
}

async function hasOwnFlags(packageDir: string): Promise<boolean> {
  for (const name of ["config.toml", "config"]) {
    const text = await readFile(join(packageDir, ".cargo", name), "utf8").catch(() => "")
    if (/^\s*rustflags\b/m.test(text)) return true
  }
  return false
}

/** The standard library for WASI, fetched by rustup if there is one. */
async function requireTarget(input: BuildInput, tool: Omit<ToolOptions, "args">): Promise<void> {
  if (await hasTarget(tool)) return
  const missing = `building this function needs Rust's standard library for ${TARGET}`
  const rustup = findOnPath("rustup", input.env.PATH ?? "")
  if (rustup === undefined)
    throw FnError.of("TOOLCHAIN_MISSING", `${missing}, which this Rust has not and without rustup cannot fetch`, {
      details: { toolchain: TARGET },
    })
  input.onProgress(`fetching Rust's standard library for ${TARGET}`)
  const added = await runTool(rustup, { ...tool, args: ["target", "add", TARGET] })
  if (added.exit.code === 0 && (await hasTarget(tool))) return
  throw FnError.of("TOOLCHAIN_MISSING", `${missing}, and rustup target add ${TARGET} failed\n${(added.stderr || added.stdout).trim()}`, {
    details: { toolchain: TARGET },
  })
}

async function hasTarget(tool: Omit<ToolOptions, "args">): Promise<boolean> {
  const { exit, stdout } = await runTool("rustc", { ...tool, args: ["--print", "target-libdir", "--target", TARGET] })
  return exit.code === 0 && (await stat(stdout.trim()).catch(() => undefined)) !== undefined
}

function programsIn(messages: string): CargoProgram[] {
  return messages
    .split("\n")
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line) as { executable: string | null; manifest_path: string; fresh: boolean; target: { name: string } })
    .flatMap(({ executable, manifest_path, fresh, target }) =>
      executable?.endsWith(".wasm") ? [{ name: target.name, path: executable, manifestPath: manifest_path, fresh }] : [],
    )
}

function chooseProgram(programs: readonly CargoProgram[], name: string): CargoProgram {
  const [only, ...more] = programs
  const named = more.length === 0 ? only : programs.find((program) => program.name === name)
  if (named) return named
  const why =
    only === undefined
      ? "it makes no program: it needs a src/main.rs"
      : `it makes several programs (${programs.map((program) => program.name).join(", ")}), none called ${name}`
  throw FnError.of("BUILD_FAILED", `the Rust package is no function: ${why}`)
}

/** What the author may change: the manifest, and cargo's own list of local sources. Crates are fixed by the lock. */
async function sourceFiles(program: CargoProgram): Promise<string[]> {
  const list = await readFile(program.path.replace(/\.wasm$/, ".d"), "utf8")
  const sources = list
    .slice(list.indexOf(": ") + 2)
    .split(/(?<!\\)\s+/)
    .filter((file) => file !== "")
    .map((file) => file.replaceAll("\\ ", " "))
  return [...sources, program.manifestPath]
}

/** Cargo.lock lies beside the manifest, or at the root of the workspace. Undefined where there is none yet. */
async function findLock(cargo: string, tool: Omit<ToolOptions, "args">): Promise<string | undefined> {
  const located = await runTool(cargo, { ...tool, args: ["locate-project", "--workspace", "--message-format", "plain"] })
  if (located.exit.code !== 0) throw buildFailed("the Rust package does not load", located)
  const path = join(dirname(located.stdout.trim()), "Cargo.lock")
  return (await stat(path).catch(() => undefined)) === undefined ? undefined : path
}
