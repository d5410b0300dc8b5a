/**
 * Go: `go build` of the package, without cgo and without anything of this machine in the binary, so that the same sources give the same
 * bytes. What goes in is asked of `go list`, hashed, and an earlier binary of the same sources is used again: linking takes seconds.
 */
import { stat } from "node:fs/promises"
import { join, relative, resolve } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"
import { buildFailed, runTool } from "./run-tool.js"

const BUILD_FLAGS = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="]
const FILE_FIELDS = ["GoFiles", "SFiles", "HFiles", "EmbedFiles"] as const

/** The part of `go list -json` that says which files are compiled. */
type GoPackage = { readonly [field in (typeof FILE_FIELDS)[number]]?: readonly string[] } & {
  readonly Dir: string
  readonly ImportPath: string
  readonly Name: string
  readonly Standard?: boolean
  readonly Module?: GoModule
}
interface GoModule {
  readonly Path: string
  readonly Main?: boolean
  readonly GoMod?: string
  readonly Replace?: { readonly Path: string; readonly Version?: string }
}

/** What the program is to run on: this platform, or any that has WASI. */
const TARGETS = { native: {}, wasm: { GOOS: "wasip1", GOARCH: "wasm" } } as const

/** @throws {FnError} TOOLCHAIN_MISSING without Go; BUILD_FAILED with the compiler's text; INVALID_DEFINITION when there is no such package */
export async function buildGo(input: BuildInput, target: keyof typeof TARGETS = "native"): Promise<BuiltArtifact> {
  const go = findGo(input.env)
  const packageDir = await packageFolder(input)
  const env = { ...input.env, CGO_ENABLED: "0", ...TARGETS[target] }
  const tool = { cwd: packageDir, env, ...(input.signal ? { signal: input.signal } : {}) }

  input.onProgress("reading Go packages")
  const listed = await runTool(go, {
    ...tool,
    args: ["list", "-deps", "-trimpath", `-json=Dir,ImportPath,Name,Standard,Module,${FILE_FIELDS.join(",")}`, "."],
  })
  if (listed.exit.code !== 0) throw buildFailed("the Go package does not load", listed)
  const packages = parsePackages(listed.stdout)
  if (packages.at(-1)?.Name !== "main")
    throw FnError.of(
      "BUILD_FAILED",
      `${relative(input.dir, packageDir) || "."} is package ${packages.at(-1)?.Name}, but a program is package main`,
    )

  const files = await localFiles(packages)
  const sourceDigest = await digest(
    files,
    (await runTool(go, { ...tool, args: ["env", "GOVERSION", "GOOS", "GOARCH", "GOAMD64", "GOARM64"] })).stdout,
  )
  const extension = target === "wasm" ? ".wasm" : ""
  const fileName = `${input.manifest.name}${extension}`
  const cache = new BuildCache(input.cacheDir, extension)
  const inputs = files.map(({ path }) => path)
  const kept = await cache.find(sourceDigest)
  if (kept !== undefined) return { path: kept, fileName, sourceDigest, inputs, warnings: [], cached: true }

  input.onProgress("compiling Go (the first time takes longest)")
  const path = await cache.keep(sourceDigest, async (draft) => {
    const built = await runTool(go, { ...tool, args: ["build", ...BUILD_FLAGS, "-o", draft, "."] })
    if (built.exit.code !== 0) throw buildFailed("the Go package does not build", built)
  })
  return { path, fileName, sourceDigest, inputs, warnings: [], cached: false }
}

function findGo(env: Readonly<Record<string, string>>): string {
  const go = findOnPath("go", env.PATH ?? "")
  if (go !== undefined) return go
  throw FnError.of("TOOLCHAIN_MISSING", "building this function needs Go, and there is no go command on PATH (https://go.dev/dl has it)", {
    details: { toolchain: "go" },
  })
}

async function packageFolder(input: BuildInput): Promise<string> {
  const entry = input.manifest.entry ?? "."
  const path = resolve(input.dir, entry)
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) return path
  if (found && path.endsWith(".go")) return resolve(path, "..")
  throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: there is no Go package ${entry} in ${input.dir}`)
}

/** `go list -json` prints one object after the other, each closing with a brace in the first column. */
function parsePackages(text: string): GoPackage[] {
  return text
    .split(/^}$/m)
    .filter((part) => part.trim() !== "")
    .map((part) => JSON.parse(`${part}}`) as GoPackage)
}

/** Files that the author may change. Modules of a version are fixed by go.sum, the standard library by Go's own version. */
async function localFiles(packages: readonly GoPackage[]): Promise<{ name: string; path: string }[]> {
  const files = new Map<string, string>()
  for (const { Dir, ImportPath, Standard, Module, ...fields } of packages) {
    if (Standard || !Module || !isLocal(Module)) continue
    for (const field of FILE_FIELDS) for (const file of fields[field] ?? []) files.set(join(Dir, file), `${ImportPath}/${file}`)
    if (Module.GoMod === undefined) continue
    for (const file of [Module.GoMod, Module.GoMod.replace(/go\.mod$/, "go.sum")]) {
      if (await stat(file).catch(() => undefined)) files.set(file, `${Module.Path}/${file.endsWith("go.mod") ? "go.mod" : "go.sum"}`)
    }
  }
  return [...files].map(([path, name]) => ({ path, name }))
}

function isLocal(module: GoModule): boolean {
  return module.Main === true || (module.Replace !== undefined && module.Replace.Version === undefined)
}

async function digest(files: readonly { name: string; path: string }[], toolchain: string): Promise<string> {
  const sources = new SourceDigest()
  sources.add("toolchain", toolchain)
  sources.add("flags", BUILD_FLAGS.join(" "))
  for (const { name, path } of files) await sources.addFile(name, path)
  return sources.value
}
