/** From a folder with a `fn.yaml` to what the registry takes. One file per language beside this one. */
import { stat } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import { type FunctionManifest, refuseUnsupported } from "@fn/registry"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { userCacheDir } from "./build-cache.js"
import { withDeclared } from "./declared.js"
import { buildGo } from "./go.js"
import { buildJava, isJava } from "./java.js"
import { buildJavaScript, isJavaScript } from "./javascript.js"
import { MANIFEST_FILE, readManifest } from "./manifest-file.js"
import { takePrebuilt } from "./prebuilt.js"
import { buildPython, isPython } from "./python.js"
import { buildFailed, runTool } from "./run-tool.js"
import { buildRust } from "./rust.js"
import { buildWasm, requireRunnable } from "./wasm.js"

/** Options of {@link buildFunction}. */
export interface BuildOptions {
  /** Environment of the compilers; they need at least PATH and HOME. */
  readonly env: Readonly<Record<string, string>>
  /** Where finished builds are kept. Default: fn's folder in the user's cache, by `env`. */
  readonly cacheDir?: string | undefined
  /** Says what is being done, in a few words. */
  readonly onProgress?: ((step: string) => void) | undefined
  /** Stops the compiler. */
  readonly signal?: AbortSignal | undefined
}

/** A function ready to deploy. */
export interface BuiltFunction {
  /** What fn.yaml says, and where it says nothing, what a module declares in code. */
  readonly manifest: FunctionManifest
  /** Absent for a builtin, and for a command that needs no file. */
  readonly artifact?: { readonly path: string; readonly fileName: string; readonly archive?: boolean }
  /** `sha256:<hex>` over what the artifact was made from; the same sources give the same digest, wherever they are. */
  readonly sourceDigest?: string
  /** Absolute paths of the files that went in, fn.yaml first, for watching. */
  readonly inputs: readonly string[]
  /** Absolute paths of what fn.yaml's own build command left in the folder. */
  readonly outputs: readonly string[]
  readonly warnings: readonly string[]
  /** Whether an earlier build was used. */
  readonly cached: boolean
}

/**
 * Builds the function in `dir`.
 * @throws {FnError} INVALID_DEFINITION with every problem of fn.yaml; ISOLATION_UNAVAILABLE, FEATURE_UNSUPPORTED; BUILD_FAILED with the compiler's text; TOOLCHAIN_MISSING
 */
export async function buildFunction(dir: string, options: BuildOptions): Promise<BuiltFunction> {
  const folder = resolve(dir)
  const manifest = await readManifest(folder)
  // What no deploy takes needs no build.
  refuseUnsupported(manifest)
  const input: BuildInput = {
    dir: folder,
    manifest,
    env: options.env,
    cacheDir: options.cacheDir ?? userCacheDir(options.env),
    onProgress: options.onProgress ?? (() => undefined),
    signal: options.signal,
  }
  const manifestPath = join(folder, MANIFEST_FILE)
  const built = await buildArtifact(input)
  if (built === undefined) return { manifest, inputs: [manifestPath], outputs: [], warnings: [], cached: false }
  const { path, fileName, archive, sourceDigest, inputs, cached, declared } = built
  const warnings = declared?.warning === undefined ? built.warnings : [...built.warnings, declared.warning]
  const outputs = manifest.build === undefined ? [] : [resolve(folder, manifest.entry ?? path)]
  return {
    manifest: declared ? withDeclared(manifest, declared) : manifest,
    artifact: { path, fileName, ...(archive ? { archive } : {}) },
    sourceDigest,
    inputs: [manifestPath, ...inputs],
    outputs,
    warnings,
    cached,
  }
}

async function buildArtifact(input: BuildInput): Promise<BuiltArtifact | undefined> {
  const { manifest } = input
  if (manifest.build !== undefined) return customBuild(input, manifest.build)
  switch (manifest.runtime) {
    case "builtin":
      return undefined
    case "module":
      return buildJavaScript(input)
    case "plugin":
      return buildPlugin(input)
    case "wasm":
      return requireRunnable(input, await buildWasm(input))
    case "command":
      return manifest.entry === undefined && manifest.command !== undefined ? undefined : takePrebuilt(input)
  }
}

async function buildPlugin(input: BuildInput): Promise<BuiltArtifact> {
  const { language, entry } = input.manifest
  if (language === "js" && (entry === undefined || isJavaScript(entry))) return buildJavaScript(input)
  if (language === "go" && !(await isProgram(input, entry))) return buildGo(input)
  if (language === "python" && isPython(entry)) return buildPython(input)
  if (language === "java" && isJava(entry)) return buildJava(input)
  if (language === "rust" && !(await isProgram(input, entry))) return buildRust(input, resolve(input.dir, entry ?? "."), "native")
  return takePrebuilt(input)
}

/** Whether `entry` is a file that names no sources: a binary somebody built before. */
async function isProgram(input: BuildInput, entry: string | undefined): Promise<boolean> {
  if (entry === undefined || entry.endsWith(".go") || basename(entry) === "Cargo.toml") return false
  return (await stat(resolve(input.dir, entry)).catch(() => undefined))?.isFile() ?? false
}

/** fn.yaml's own `build`: its command makes the file that `entry` names. */
async function customBuild(input: BuildInput, [command, ...args]: readonly string[]): Promise<BuiltArtifact> {
  if (command === undefined) throw FnError.of("INVALID_DEFINITION", "fn.yaml: build: it must name a command")
  if (!command.includes("/") && findOnPath(command, input.env.PATH ?? "") === undefined) {
    throw FnError.of("TOOLCHAIN_MISSING", `the build command of fn.yaml needs ${command}, and there is no such command on PATH`)
  }
  input.onProgress(`running ${[command, ...args].join(" ")}`)
  const ran = await runTool(command, { args, cwd: input.dir, env: input.env, signal: input.signal })
  if (ran.exit.code !== 0) throw buildFailed(`the build command of fn.yaml failed: ${[command, ...args].join(" ")}`, ran)
  const built = await takePrebuilt(input)
  return input.manifest.runtime === "wasm" ? requireRunnable(input, built) : built
}
