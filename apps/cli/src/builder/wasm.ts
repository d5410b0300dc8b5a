/** WebAssembly: a .wasm as it is, a .wat assembled, a Rust or Go package compiled. Whatever it was, it is checked as a host would. */
import { readFile, stat, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { basename, join, resolve } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { checkWasm } from "@fn/runtime"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"
import { buildGo } from "./go.js"
import { takePrebuilt } from "./prebuilt.js"
import { buildRust } from "./rust.js"

/** What a host gives a wasm function that says nothing. */
const DEFAULT_MEMORY_MB = 256

/** @throws {FnError} BUILD_FAILED with the compiler's text, or why a host would not run it; TOOLCHAIN_MISSING; INVALID_DEFINITION */
export async function buildWasm(input: BuildInput): Promise<BuiltArtifact> {
  const path = resolve(input.dir, input.manifest.entry ?? ".")
  if (path.endsWith(".wat")) return assemble(input, path)
  if (path.endsWith(".wasm")) return takePrebuilt(input)
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false
  if (basename(path) === "Cargo.toml" || (isFolder && (await exists(join(path, "Cargo.toml"))))) return buildRust(input, path, "wasm")
  if (input.manifest.language === "go" && (isFolder || path.endsWith(".go"))) return buildGo(input, "wasm")
  throw FnError.of(
    "INVALID_DEFINITION",
    "fn.yaml: entry: a wasm function is made from a .wasm, a .wat, a Rust package or a Go package; for any other language let build make a .wasm",
  )
}

/** Refuses what no host would run. @throws {FnError} BUILD_FAILED */
export async function requireRunnable({ manifest }: BuildInput, built: BuiltArtifact): Promise<BuiltArtifact> {
  try {
    await checkWasm(await readFile(built.path), manifest.memoryMb ?? DEFAULT_MEMORY_MB)
    return built
  } catch (thrown) {
    throw FnError.of("BUILD_FAILED", messageOf(thrown), { cause: thrown })
  }
}

async function assemble(input: BuildInput, path: string): Promise<BuiltArtifact> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: there is no file ${input.manifest.entry} in ${input.dir}`, { cause })
  })
  const sources = new SourceDigest()
  sources.add("main.wat", text)
  sources.add("wabt", wabtVersion())
  const cache = new BuildCache(input.cacheDir, ".wasm")
  const kept = await cache.find(sources.value)
  const artifact = kept ?? (await cache.keep(sources.value, (draft) => writeBinary(text, basename(path), draft)))
  const fileName = `${input.manifest.name}.wasm`
  return { path: artifact, fileName, sourceDigest: sources.value, inputs: [path], warnings: [], cached: kept !== undefined }
}

async function writeBinary(text: string, name: string, path: string): Promise<void> {
  // Only here: it is five megabytes, and few functions are written so.
  const { default: createWabt } = await import("wabt")
  const wabt = await createWabt()
  try {
    const module = wabt.parseWat(name, text)
    try {
      module.validate()
      await writeFile(path, module.toBinary({}).buffer)
    } finally {
      module.destroy()
    }
  } catch (thrown) {
    throw FnError.of("BUILD_FAILED", `the WebAssembly text does not assemble\n${messageOf(thrown).trim()}`, { cause: thrown })
  }
}

function wabtVersion(): string {
  return (createRequire(import.meta.url)("wabt/package.json") as { version: string }).version
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
