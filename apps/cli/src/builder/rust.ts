/**
 * Rust: `cargo build`, for this machine or for wasm32-wasip1, stripped and with nothing of this machine's paths in it, so that the same sources
 * give the same bytes. cargo knows itself what changed; its target folder is kept in fn's cache, not in the author's.
 */
import { createHash } from "node:crypto"
import { copyFile, readFile, stat } from "node:fs/promises"
import { homedir } from "node:os"
import { basename, dirname, join, relative } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"
import { buildFailed, runTool, type ToolOptions } from "./run-tool.js"

const WASI = "wasm32-wasip1"

/** What the program is to run on: this platform, or any that has WASI. */
const TARGETS = {
  native: { extension: "", args: [] },
  wasm: { extension: ".wasm", args: ["--target", WASI] },
} as const
type Target = keyof typeof TARGETS

/** A program that cargo made, or found unchanged. */
interface CargoProgram {
  readonly name: string
  readonly path: string
  readonly manifestPath: string
  readonly fresh: boolean
}

/** Builds the package at `entry`, a folder or its Cargo.toml. @throws {FnError} TOOLCHAIN_MISSING, BUILD_FAILED */
export async function buildRust(input: BuildInput, entry: string, target: Target): Promise<BuiltArtifact> {
  const { extension, args: targetArgs } = TARGETS[target]
  const packageDir = await packageFolder(input, entry)
  const cargo = findCargo(input.env)
  const tool = { cwd: packageDir, env: await environment(input, packageDir, target), signal: input.signal }
  if (target === "wasm") await requireWasi(input, tool)

  input.onProgress("compiling Rust (the first time takes longest)")
  const locked = (await findLock(cargo, tool)) === undefined ? [] : ["--locked"]
  const args = ["build", "--release", ...targetArgs, ...locked, "--message-format=json-render-diagnostics"]
  const built = await runTool(cargo, { ...tool, args })
  if (built.exit.code !== 0) throw buildFailed("the Rust package does not build", built)
  const program = chooseProgram(programsIn(built.stdout, extension), input.manifest.name)

  const lock = await findLock(cargo, tool)
  const files = [...new Set([...(await sourceFiles(program)), ...(lock === undefined ? [] : [lock])])].sort()
  const sources = new SourceDigest()
  sources.add("target", target)
  sources.add("toolchain", (await runTool("rustc", { ...tool, args: ["-vV"] })).stdout)
  for (const file of files) await sources.addFile(relative(packageDir, file), file)
  const cache = new BuildCache(input.cacheDir, extension)
  const path = (await cache.find(sources.value)) ?? (await cache.keep(sources.value, (draft) => copyFile(program.path, draft)))
  return {
    path,
    fileName: `${input.manifest.name}${extension}`,
    sourceDigest: sources.value,
    inputs: files,
    warnings: [],
    cached: program.fresh,
  }
}

async function packageFolder(input: BuildInput, entry: string): Promise<string> {
  const folder = basename(entry) === "Cargo.toml" ? dirname(entry) : entry
  // Without its own, cargo would take that of a folder above.
  if (await stat(join(folder, "Cargo.toml")).catch(() => undefined)) return folder
  throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: there is no Rust package ${input.manifest.entry ?? "."} in ${input.dir}`)
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

async function environment(input: BuildInput, packageDir: string, target: Target): Promise<Record<string, string>> {
  const { env } = input
  const id = createHash("sha256").update(packageDir).digest("hex").slice(0, 16)
  const own = { CARGO_TARGET_DIR: join(input.cacheDir, "cargo", id), CARGO_PROFILE_RELEASE_STRIP: "symbols", CARGO_TERM_COLOR: "never" }
  const shared = target === "native" ? { CARGO_BUILD_BUILD_DIR: env.CARGO_BUILD_BUILD_DIR || join(input.cacheDir, "cargo", "build") } : {}
  const given = env.CARGO_ENCODED_RUSTFLAGS?.split("\u001f") ?? env.RUSTFLAGS?.split(/\s+/).filter((flag) => flag !== "") ?? []
  // Flags in the environment make cargo leave those of its files: an author's own go first, at the price of paths in the binary.
  if (given.length === 0 && (await hasOwnFlags(packageDir))) return { ...env, ...own, ...shared }
  const cargoHome = env.CARGO_HOME || join(env.HOME || homedir(), ".cargo")
  const flags = [...given, ...remapped({ cargoHome, packageDir, buildDir: shared.CARGO_BUILD_BUILD_DIR })]
  return { ...env, ...own, ...shared, CARGO_ENCODED_RUSTFLAGS: flags.join("\u001f") }
}

/**
 * Takes this machine's paths out of what is compiled. Plugins have dozens of crates in common, so what those are built into is shared (by cargo 1.91
 * and newer), and their flags must be the same for all: cargo itself names the files of a package relative to it.
 */
function remapped(paths: { cargoHome: string; packageDir: string; buildDir: string | undefined }): string[] {
  const [place, name] = paths.buildDir === undefined ? [paths.packageDir, "."] : [paths.buildDir, "/build"]
  return [`--remap-path-prefix=${paths.cargoHome}=/cargo`, `--remap-path-prefix=${place}=${name}`]
}

async function hasOwnFlags(packageDir: string): Promise<boolean> {
  for (const name of ["config.toml", "config"]) {
    const text = await readFile(join(packageDir, ".cargo", name), "utf8").catch(() => "")
    if (/^\s*rustflags\b/m.test(text)) return true
  }
  return false
}

/** The standard library for WASI, fetched by rustup if there is one. */
async function requireWasi(input: BuildInput, tool: Omit<ToolOptions, "args">): Promise<void> {
  if (await hasTarget(tool)) return
  const missing = `building this function needs Rust's standard library for ${WASI}`
  const rustup = findOnPath("rustup", input.env.PATH ?? "")
  if (rustup === undefined)
    throw FnError.of("TOOLCHAIN_MISSING", `${missing}, which this Rust has not and without rustup cannot fetch`, {
      details: { toolchain: WASI },
    })
  input.onProgress(`fetching Rust's standard library for ${WASI}`)
  const added = await runTool(rustup, { ...tool, args: ["target", "add", WASI] })
  if (added.exit.code === 0 && (await hasTarget(tool))) return
  throw FnError.of("TOOLCHAIN_MISSING", `${missing}, and rustup target add ${WASI} failed\n${(added.stderr || added.stdout).trim()}`, {
    details: { toolchain: WASI },
  })
}

async function hasTarget(tool: Omit<ToolOptions, "args">): Promise<boolean> {
  const { exit, stdout } = await runTool("rustc", { ...tool, args: ["--print", "target-libdir", "--target", WASI] })
  return exit.code === 0 && (await stat(stdout.trim()).catch(() => undefined)) !== undefined
}

function programsIn(messages: string, extension: string): CargoProgram[] {
  return messages
    .split("\n")
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line) as { executable: string | null; manifest_path: string; fresh: boolean; target: { name: string } })
    .flatMap(({ executable, manifest_path, fresh, target }) =>
      executable?.endsWith(extension) ? [{ name: target.name, path: executable, manifestPath: manifest_path, fresh }] : [],
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
  const list = await readFile(`${program.path.replace(/\.wasm$/, "")}.d`, "utf8")
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
