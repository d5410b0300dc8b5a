/**
 * JavaScript and TypeScript: one ES module with everything in it, made by esbuild.
 *
 * `@fn/plugin-sdk` and `@fn/core` come from the project or else from this command's own dependencies, so a folder without node_modules
 * builds too. The bundle does not depend on where the project or its dependencies lie.
 */

import { readFileSync } from "node:fs"
import { access, readFile, rename, writeFile } from "node:fs/promises"
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError, messageOf } from "@fn/core"
import type { BuildFailure, Message, Metafile, Plugin } from "esbuild"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { type Declared, readDeclared } from "./declared.js"
import { SourceDigest } from "./digest.js"

/** Where the code is when fn.yaml does not say. */
const DEFAULT_ENTRIES = ["src/index.ts", "src/index.mts", "src/index.js", "src/index.mjs", "index.ts", "index.mts", "index.js", "index.mjs"]
const EXTENSIONS: ReadonlySet<string> = new Set([".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"])
const OWN_PACKAGES = /^@fn\/(plugin-sdk|core)(\/.*)?$/
const OWN_FOLDER = dirname(fileURLToPath(import.meta.url))
/** Bare names of the author's would collide with a banner's, so unbound uses are renamed to these first. */
const UNBOUND = { __filename: "fnBundleFilename", __dirname: "fnBundleDirname" }

/** Whether `path` is source code this builder takes. */
export function isJavaScript(path: string): boolean {
  return EXTENSIONS.has(extname(path))
}

/** @throws {FnError} BUILD_FAILED with the compiler's text; INVALID_DEFINITION when there is no entry */
export async function buildJavaScript(input: BuildInput): Promise<BuiltArtifact> {
  const entry = await findEntry(input)
  input.onProgress(`bundling ${relative(input.dir, entry)}`)
  const { code, metafile, warnings } = await bundle(input.dir, entry)
  const inputs = Object.keys(metafile.inputs).map((path) => resolve(input.dir, path))
  const sources = new SourceDigest()
  sources.add("runtime", input.manifest.runtime)
  sources.add("bundle", code)
  const sourceDigest = sources.value
  const fileName = `${input.manifest.name}.mjs`
  const cache = new BuildCache(input.cacheDir, ".mjs")
  const kept = await cache.find(sourceDigest)
  const path = kept ?? (await cache.keep(sourceDigest, (draft) => writeFile(draft, code)))
  // A plugin says it to its host itself, and to load one is to serve it.
  const declared = input.manifest.runtime === "module" ? { declared: await declaredBy(path, input) } : {}
  return { path, fileName, sourceDigest, inputs, warnings, ...declared, cached: kept !== undefined }
}

/** Asked once per build: the answer is kept beside the artifact. */
async function declaredBy(path: string, { manifest, env }: BuildInput): Promise<Declared> {
  const file = `${path}.declared.json`
  const known = await readFile(file, "utf8").catch(() => undefined)
  if (known !== undefined) return JSON.parse(known) as Declared
  const declared = await readDeclared(path, { PATH: env.PATH ?? "", HOME: env.HOME ?? "", ...manifest.env })
  if (declared.warning !== undefined) return declared
  // Whole or not at all: another build may look for it now.
  await writeFile(`${file}.${process.pid}`, JSON.stringify(declared))
  await rename(`${file}.${process.pid}`, file)
  return declared
}

async function findEntry(input: BuildInput): Promise<string> {
  const { entry } = input.manifest
  if (entry !== undefined) {
    const path = resolve(input.dir, entry)
    if (await exists(path)) return path
    throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: there is no file ${entry} in ${input.dir}`)
  }
  for (const candidate of DEFAULT_ENTRIES) {
    const path = join(input.dir, candidate)
    if (await exists(path)) return path
  }
  throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: it is missing, and ${input.dir} has none of ${DEFAULT_ENTRIES.join(", ")}`)
}

async function bundle(dir: string, entry: string): Promise<{ code: string; metafile: Metafile; warnings: string[] }> {
  // Loaded here: every other verb starts 30 ms sooner without it.
  const esbuild = await import("esbuild")
  try {
    const built = await esbuild.build({
      entryPoints: [entry],
      absWorkingDir: dir,
      bundle: true,
      write: false,
      metafile: true,
      outfile: "function.mjs",
      format: "esm",
      platform: "node",
      target: "node20",
      charset: "utf8",
      legalComments: "none",
      logLevel: "silent",
      define: UNBOUND,
      plugins: [ownPackages],
    })
    const code = banner(built.outputFiles[0]?.text ?? "", built.metafile, dir)
    return { code, metafile: built.metafile, warnings: built.warnings.map((message) => formatMessage(message, "warning")) }
  } catch (thrown) {
    throw buildFailed(thrown)
  }
}

/** Finds our packages beside this command where the project has none of its own. */
const ownPackages: Plugin = {
  name: "fn-own-packages",
  setup(build) {
    const asked = Symbol("asked")
    build.onResolve({ filter: OWN_PACKAGES }, async (args) => {
      if (args.pluginData === asked) return undefined
      const options = { kind: args.kind, importer: args.importer, pluginData: asked }
      const own = await build.resolve(args.path, { ...options, resolveDir: args.resolveDir })
      return own.errors.length === 0 ? own : build.resolve(args.path, { ...options, resolveDir: OWN_FOLDER })
    })
  },
}

/** The bundle with what CommonJS code in it expects, and without the paths of this machine. */
function banner(text: string, metafile: Metafile, dir: string): string {
  const lines: string[] = []
  // Only where the helper is there: an author's own `const require` is renamed by esbuild exactly then.
  if (text.includes("var __require = "))
    lines.push(`import { createRequire as fnCreateRequire } from "node:module";`, "const require = fnCreateRequire(import.meta.url);")
  const { __filename: filename, __dirname: folder } = UNBOUND
  if (text.includes(filename) || text.includes(folder)) {
    lines.push(`import { fileURLToPath as fnFileUrlToPath } from "node:url";`, `const ${filename} = fnFileUrlToPath(import.meta.url);`)
    lines.push(`const ${folder} = ${filename}.slice(0, ${filename}.lastIndexOf("/"));`)
  }
  return [...lines, withoutPlaces(text, metafile, dir)].join("\n")
}

/**
 * esbuild names every file by its path from the project: in a comment, and as the key of each CommonJS module. Files outside the project
 * get the name of their package instead, or else the same sources would give another digest on another machine.
 */
function withoutPlaces(text: string, metafile: Metafile, dir: string): string {
  const names = new Map<string, string>()
  for (const path of Object.keys(metafile.inputs)) {
    const name = packagePath(path, dir)
    if (name !== path) names.set(path, name)
  }
  if (names.size === 0) return text
  return text
    .replace(/^( *\/\/ )(.+)$/gm, (line, slashes: string, path: string) => (names.has(path) ? `${slashes}${names.get(path)}` : line))
    .replace(/^( *)"(.+)"(\(.*)$/gm, (line, indent: string, path: string, rest: string) =>
      names.has(path) ? `${indent}"${names.get(path)}"${rest}` : line,
    )
}

function packagePath(path: string, dir: string): string {
  const modules = path.lastIndexOf("node_modules/")
  if (modules >= 0) return path.slice(modules + "node_modules/".length)
  if (!path.startsWith("../") && !isAbsolute(path)) return path
  const file = resolve(dir, path)
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    const name = packageName(folder)
    if (name !== undefined) return `${name}/${relative(folder, file)}`
  }
  return basename(path)
}

const packageNames = new Map<string, string | undefined>()

function packageName(folder: string): string | undefined {
  if (!packageNames.has(folder)) packageNames.set(folder, readPackageName(folder))
  return packageNames.get(folder)
}

function readPackageName(folder: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: unknown }
    return typeof name === "string" ? name : undefined
  } catch {
    return undefined // no package.json here: the parent may have one
  }
}

function buildFailed(thrown: unknown): FnError {
  const errors = (thrown as Partial<BuildFailure>).errors
  if (!Array.isArray(errors) || errors.length === 0)
    return FnError.of("BUILD_FAILED", `esbuild failed: ${messageOf(thrown)}`, { cause: thrown })
  const text = errors.map((message: Message) => formatMessage(message, "error")).join("\n")
  return FnError.of("BUILD_FAILED", `the source does not build\n${text}`, {
    details: {
      errors: errors.map(({ text: what, location }) => ({
        text: what,
        file: location?.file,
        line: location?.line,
        column: location?.column,
      })),
    },
  })
}

/** `src/index.ts:3:8: error: Could not resolve "zod"`, the line, and what helps. */
function formatMessage(message: Message, kind: "error" | "warning"): string {
  const { location } = message
  const lines = [
    location ? `${location.file}:${location.line}:${location.column + 1}: ${kind}: ${message.text}` : `${kind}: ${message.text}`,
  ]
  if (location) lines.push(`    ${location.lineText.trim()}`)
  const missing = /^Could not resolve "([^"./][^"]*)"/.exec(message.text)?.[1]
  if (missing !== undefined) lines.push(`    install it in the function's folder: npm install ${packageOf(missing)}`)
  return lines.join("\n")
}

function packageOf(specifier: string): string {
  const parts = specifier.split("/")
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : (parts[0] as string)
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
